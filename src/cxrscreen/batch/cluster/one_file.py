"""One radiograph, from where it lies to its row."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrscreen.batch.cluster.items import Item
from cxrscreen.batch.cluster.table import table_of
from cxrscreen.batch.pictures import write_pictures
from cxrscreen.batch.run import Options, reason_of
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.record import ScreeningRecord, as_text
from cxrscreen.systems.contract import Screening, System
from cxrscreen.systems.triage import TriagePolicy

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What is asked of every file of a run, and what every row says about the run.

    Parameters
    ----------
    bundle
        ``name@version``.
    software
        Version of cxrscreen.
    options
        How it is screened.
    triage
        Makes the suggestion; None: the package's.
    pictures
        Folder below which each radiograph gets one for its pictures; not used where the options want none.
    """

    bundle: str
    software: str
    options: Options
    triage: TriagePolicy | None = None
    pictures: Path | None = None


def screened_row(
    item: Item,
    system: System,
    asked: Asked,
    *,
    fetched: Callable[[Item], AbstractContextManager[Path]],
    read: Callable[[Path], Radiograph],
) -> dict[str, Any]:
    """Screen one file; whatever happens, it gets a row.

    Parameters
    ----------
    item
        The file.
    system
        The loaded system.
    asked
        What is asked.
    fetched
        Gives a local file for as long as it is needed.
    read
        Makes a radiograph of it.

    Returns
    -------
    dict
        By column name of :data:`~cxrscreen.batch.cluster.table.ROWS`, without ``shard``.
    """
    options = asked.options
    local = None
    try:
        start = time.perf_counter()
        with fetched(item) as local:
            radiograph = read(local)
        read_seconds = time.perf_counter() - start
        screening = system.screen(radiograph, force=options.force, explain=options.explain, policy=options.policy)
        start = time.perf_counter()
        if asked.pictures is not None and options.pictures != "none":
            write_pictures(asked.pictures / item.key[:2] / item.key, radiograph, screening, options.pictures)
        record = ScreeningRecord.screened(
            Path(item.location),
            radiograph,
            screening,
            read_seconds=read_seconds,
            write_seconds=time.perf_counter() - start,
            policy=asked.triage,
        )
        row = _head(item, asked) | _answers(record, radiograph, screening)
        # What does not fit into the columns fails here, alone, and not with the whole shard.
        table_of([row])
        return row
    except Exception as error:
        return failed_row(item, _reason(item, local, error), asked)


def failed_row(item: Item, reason: str, asked: Asked) -> dict[str, Any]:
    """Make the row of a file that could not be screened."""
    return _head(item, asked) | {"status": "failed", "error": as_text(reason)}


def shown(item: Item) -> str:
    """Name a file in a sentence that stands beside its location: the last part of it."""
    return as_text(Path(item.location).name)


def _head(item: Item, asked: Asked) -> dict[str, Any]:
    head = {"key": item.key, "source": as_text(item.location), "stamp": item.stamp, "warnings": []}
    return head | {"bundle": asked.bundle, "engine": asked.options.engine, "software": asked.software}


def _answers(record: ScreeningRecord, radiograph: Radiograph, screening: Screening) -> dict[str, Any]:
    kept = record.model_dump(
        mode="json", include={"status", "finding", "triage_score", "triage", "quality", "warnings", "seconds"}
    )
    refused = record.status == "refused"
    return kept | {
        "lung_area_fraction": record.lung_area_fraction,
        "stages": [
            {
                "name": stage.name,
                "probability": None if refused else stage.probability,
                "threshold": stage.threshold,
                "operating_point": stage.operating_point,
                "positive": None if refused else stage.positive,
            }
            for stage in screening.stages
        ],
        "classes": list(screening.classes.items()),
        "gate": {
            "policy": screening.verdict.policy,
            "overridden": screening.verdict.overridden,
            "concerns": [
                {"code": concern.code, "severity": concern.severity, "sentence": concern.sentence}
                for concern in screening.verdict.concerns
            ],
        },
        "rows": radiograph.shape[0],
        "columns": radiograph.shape[1],
        "timings": list((record.timings or {}).items()),
    }


def _reason(item: Item, local: Path | None, error: Exception) -> str:
    _LOG.debug("%s failed (%s)", item.key, type(error).__name__)
    sentence = reason_of(error, shown(item), "screen it alone with --debug")
    return sentence if local is None else sentence.replace(str(local), shown(item))
