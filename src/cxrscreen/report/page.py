"""``report.html``: one page without scripts or outside requests, for reading on a screen and on paper."""

import base64
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.report.figures import COLOUR_MAPS, colour_scale
from cxrscreen.report.folder import ResultNotWrittenError, Thumbnail
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.report.wording import (
    FINDING_LABELS,
    LIMITS,
    TRIAGE_LABELS,
    column_title,
    findings_of,
    printable,
    shown_name,
    stage_sentence,
    without_folders,
)
from cxrscreen.systems.contract import MapKind, Stage

LARGEST_NUMBER_OF_CARDS: Final = 500
"""Cards with pictures on the page; with more, a browser and a printer choke, and the worklist links the folders."""


@dataclass(frozen=True)
class Details:
    """What the card of a radiograph shows beyond its record: the decisions and the small pictures."""

    stages: tuple[Stage, ...]
    thumbnails: tuple[Thumbnail, ...]


@dataclass(frozen=True)
class Entry:
    """One file of the report.

    Parameters
    ----------
    path
        The file as it was given; the page shows its name alone.
    record
        Its line in ``screenings.jsonl``.
    folder
        Name of its result folder beside the page, None where it failed.
    details
        For the card; None where there is no card.
    """

    path: Path
    record: ScreeningRecord
    folder: str | None = None
    details: Details | None = None


def render_report(entries: Sequence[Entry], *, bundle: str, made_at: datetime) -> Iterator[str]:
    """Render the page piece by piece.

    Parameters
    ----------
    entries
        The files in any order; the worklist is ordered by triage score, highest first, refused and failed files apart.
    bundle
        ``name@version`` of the model bundle.
    made_at
        When the batch ended, with its time zone.

    Yields
    ------
    str
        HTML; user-given names are escaped, folders are not shown.
    """
    screened = sorted(
        (entry for entry in entries if entry.record.status == "screened"),
        key=lambda entry: -(entry.record.triage_score or 0.0),
    )
    refused = [entry for entry in entries if entry.record.status == "refused"]
    failed = [entry for entry in entries if entry.record.status == "failed"]
    names = Counter(shown_name(entry.path) for entry in entries)
    columns = list(dict.fromkeys(name for entry in screened for name in entry.record.probabilities or {}))
    rows = [_row(rank, entry, columns, names) for rank, entry in enumerate(screened, start=1)]
    yield from _ENVIRONMENT.get_template("report.html.j2").generate(
        research_use=RESEARCH_USE,
        version=__version__,
        bundle=printable(bundle),
        made_at=made_at,
        summary=_summary(screened, refused, failed, columns),
        columns=[column_title(name) for name in columns],
        rows=rows,
        cards=(_card(row, entry) for row, entry in zip(rows, screened, strict=True) if entry.details is not None),
        cards_left_out=sum(entry.details is None for entry in screened),
        refused=[_refusal(entry, names) for entry in refused],
        failed=[
            {"name": shown_name(entry.path), "reason": without_folders(entry.record.error or "", entry.path)}
            for entry in failed
        ],
        limits=LIMITS,
        scales={kind: _css_scale(kind) for kind in COLOUR_MAPS},
    )


@dataclass
class Report:
    """Collects the files of a batch, keeps the pictures of the most urgent ones only, and writes the page.

    Parameters
    ----------
    bundle
        ``name@version`` of the model bundle.
    cards
        Radiographs that get a card; the memory used is bounded by it.
    """

    bundle: str
    cards: int = LARGEST_NUMBER_OF_CARDS
    _entries: list[Entry] = field(default_factory=list)
    _urgent: list[tuple[float, int, Details]] = field(default_factory=list)

    def add(
        self, path: Path, record: ScreeningRecord, folder: str | None = None, details: Details | None = None
    ) -> None:
        """Take in one file; parameters as in :class:`Entry`."""
        if details is not None:
            heapq.heappush(self._urgent, (record.triage_score or 0.0, -len(self._entries), details))
            if len(self._urgent) > self.cards:
                heapq.heappop(self._urgent)
        self._entries.append(Entry(path, record, folder))

    def write(self, path: Path) -> None:
        """Write the page; an older one is replaced only when the new one is complete.

        Raises
        ------
        ResultNotWrittenError
            If the page cannot be written.
        """
        urgent = {-place: details for _, place, details in self._urgent}
        entries = [
            Entry(entry.path, entry.record, entry.folder, urgent.get(place))
            for place, entry in enumerate(self._entries)
        ]
        unfinished = path.with_name(path.name + ".part")
        try:
            with unfinished.open("w", encoding="utf-8") as page:
                page.writelines(render_report(entries, bundle=self.bundle, made_at=datetime.now().astimezone()))
            unfinished.replace(path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise ResultNotWrittenError(
                f"The report {path.name} could not be written ({error.strerror}); check space and rights."
            ) from error


def _summary(
    screened: Sequence[Entry], refused: Sequence[Entry], failed: Sequence[Entry], stages: Sequence[str]
) -> dict[str, Any]:
    records = [entry.record for entry in screened]
    counts = Counter(record.finding for record in records)
    seconds = [record.seconds for record in records if record.seconds is not None]
    shown = [finding for finding in FINDING_LABELS if finding in findings_of(stages) or counts[finding]]
    return {
        "files": len(screened) + len(refused) + len(failed),
        "screened": len(screened),
        "refused": len(refused),
        "failed": len(failed),
        "findings": [(finding, FINDING_LABELS[finding], counts[finding]) for finding in shown],
        "gated": sum(None in (record.probabilities or {}).values() for record in records),
        "limited": sum(record.quality == "limited" for record in records),
        "seconds": median(seconds) if seconds else None,
    }


def _place(entry: Entry, names: Counter[str]) -> str:
    """Name of the result folder, which is no other file's, where several have one name; their own folders stay out."""
    repeated = names[shown_name(entry.path)] > 1
    return shown_name(Path(entry.folder)) if repeated and entry.folder is not None else ""


def _refusal(entry: Entry, names: Counter[str]) -> dict[str, Any]:
    return {
        "name": shown_name(entry.path),
        "place": _place(entry, names),
        "folder": None if entry.folder is None else _link(entry.folder),
        "concerns": _concerns(entry.record),
    }


def _triage(record: ScreeningRecord) -> dict[str, str]:
    if record.triage is None:
        raise ValueError("a screened file has a suggestion or says that it has none")
    title, meaning = TRIAGE_LABELS[record.triage.action]
    return {
        "action": record.triage.action,
        "title": title,
        "meaning": meaning,
        "reason": printable(record.triage.reason),
        "policy": printable(record.triage.policy),
    }


def _concerns(record: ScreeningRecord) -> list[dict[str, str]]:
    concerns = () if record.verdict is None else record.verdict.concerns
    return [
        {"code": concern.code, "sentence": printable(concern.sentence), "severity": concern.severity}
        for concern in concerns
    ]


def _row(rank: int, entry: Entry, columns: Sequence[str], names: Counter[str]) -> dict[str, Any]:
    record = entry.record
    probabilities = record.probabilities or {}
    concerns = _concerns(record)
    with_code = {concern["sentence"] for concern in concerns}
    warnings = [printable(warning) for warning in record.warnings]
    return {
        "rank": rank,
        "name": shown_name(entry.path),
        "place": _place(entry, names),
        "folder": None if entry.folder is None else _link(entry.folder),
        "has_card": entry.details is not None,
        "finding": record.finding,
        "label": FINDING_LABELS[record.finding or "normal"],
        "score": record.triage_score,
        "probabilities": [probabilities.get(name) for name in columns],
        "lung_area": record.lung_area_fraction,
        "quality": record.quality,
        "triage": _triage(record),
        "concerns": concerns,
        "warnings": [warning for warning in warnings if warning not in with_code],
        "seconds": record.seconds,
    }


def _card(row: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    details = entry.details
    if details is None:
        raise ValueError("an entry without details has no card")
    return {
        **row,
        "stages": [
            {
                "title": printable(stage.title),
                "probability": stage.probability,
                "threshold": stage.threshold,
                "operating_point": printable(stage.operating_point),
                "positive": stage.positive,
                "sentence": stage_sentence(stage),
            }
            for stage in details.stages
        ],
        "figures": [_figure(thumbnail, str(row["folder"])) for thumbnail in details.thumbnails],
        "has_maps": any(thumbnail.is_map and not thumbnail.is_coverage for thumbnail in details.thumbnails),
        "has_coverage": any(thumbnail.is_coverage for thumbnail in details.thumbnails),
    }


def _figure(thumbnail: Thumbnail, folder: str) -> dict[str, Any]:
    return {
        "title": printable(thumbnail.title),
        "note": printable(thumbnail.note),
        "link": f"{folder}/{quote(thumbnail.file)}",
        "source": "data:image/jpeg;base64," + base64.b64encode(thumbnail.jpeg).decode("ascii"),
        "width": thumbnail.width,
        "height": thumbnail.height,
    }


def _link(folder: str) -> str:
    # "./" keeps a browser from reading a name such as "javascript:x" as a scheme
    return "./" + quote(folder.encode("utf-8", "surrogateescape"))


def _css_scale(kind: MapKind) -> str:
    return ", ".join(f"rgb({r} {g} {b})" for r, g, b in colour_scale(12, kind).tolist())


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("cxrscreen.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["score"] = lambda value: "–" if value is None else f"{value:.2f}"
