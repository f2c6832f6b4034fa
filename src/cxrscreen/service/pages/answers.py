"""What a page shows of a result: decisions in words, maps, warnings, and measurements of the lung mask."""

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, Final, Literal, cast, get_args

import cv2
import numpy as np

from cxrscreen.biomarkers.cardiothoracic import cardiothoracic_ratio
from cxrscreen.biomarkers.morphology import lung_shape
from cxrscreen.biomarkers.under_segmentation import SYMMETRY, missing_share
from cxrscreen.report.figures import COLOUR_MAPS
from cxrscreen.report.folder import COVERAGE_NOTE
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.report.wording import printable, stage_sentence
from cxrscreen.service.store.files import Files
from cxrscreen.service.store.models import Image, Job, Result, StoredMap
from cxrscreen.service.store.results import HEART, LUNGS, load_map, record_of
from cxrscreen.systems.contract import MapKind, Stage

SYSTEM_TITLES: Final = {
    "cascade": "Cascade",
    "covid_cxnet": "COVID-CXNet",
    "patch_voting": "Patch voting",
    "comit_net": "COMiT-Net",
}

_COMPATIBLE: Final = {
    frozenset(pair) for pair in (("covid19", "viral"), ("other_pneumonia", "viral"), ("other_pneumonia", "bacterial"))
}
"""A viral pneumonia may be COVID-19, and where it is none it is another pneumonia, as a bacterial one is."""


@dataclass(frozen=True)
class ShownMap:
    """A map to choose.

    Parameters
    ----------
    name
        In the address of its values.
    title
        In plain words.
    note
        One fact on it.
    kind
        Whether it explains or tells where the system looked.
    looked_at
        Name of the mask of where the map knows anything, empty where it does everywhere.
    """

    name: str
    title: str
    note: str
    kind: MapKind
    looked_at: str


@dataclass(frozen=True)
class Answer:
    """What one system said of an image, ready for a page.

    Parameters
    ----------
    result
        As stored.
    title
        Of the system.
    record
        Its record.
    decisions
        Title, probability, threshold, operating point, whether it is reached, and a sentence, by decision.
    classes
        Scores of classes that exclude each other, greatest first.
    warnings
        Sentences, those of the gate's concerns left out.
    maps
        In the order to show them, without the lung mask.
    has_lungs
        Whether lungs were found.
    """

    result: Result
    title: str
    record: ScreeningRecord
    decisions: tuple[dict[str, Any], ...]
    classes: tuple[tuple[str, float], ...]
    warnings: tuple[str, ...]
    maps: tuple[ShownMap, ...]
    has_lungs: bool


@dataclass(frozen=True)
class Open:
    """Work of a system on an image that has no result: it waits, is in hand, or was set aside for a reason."""

    image_id: str
    system: str
    title: str
    state: Literal["waiting", "leased", "set_aside"]
    reason: str | None


@dataclass(frozen=True)
class Measurement:
    """One measured value: what, how much, and how to read it."""

    title: str
    value: str
    note: str = ""


def answers_of(image: Image, first: str) -> list[Answer]:
    """Give the latest result of each system on an image, that of the system that orders the worklist first."""
    latest = {result.system: result for result in sorted(image.results, key=lambda result: result.made_at)}
    return [answer_of(latest[system]) for system in sorted(latest, key=lambda name: (name != first, name))]


def answer_of(result: Result) -> Answer:
    """Prepare a result for a page."""
    record = record_of(result)
    concerns = () if record.verdict is None else record.verdict.concerns
    told = {concern.sentence for concern in concerns}
    names = {stored.name for stored in result.maps}
    maps = [stored for stored in result.maps if stored.kind in get_args(MapKind)]
    return Answer(
        result=result,
        title=title_of(result.system),
        record=record,
        decisions=tuple(_decision(Stage(**stage)) for stage in result.stages) if record.status == "screened" else (),
        classes=tuple(sorted(result.classes.items(), key=lambda item: -item[1])),
        warnings=tuple(printable(warning) for warning in record.warnings if warning not in told),
        maps=tuple(_shown(stored, names) for stored in maps),
        has_lungs=any(stored.name == LUNGS for stored in result.maps) and bool(record.lung_area_fraction),
    )


def open_work(image: Image) -> list[Open]:
    """List the systems whose latest job on an image did not end with a result."""
    latest: dict[str, Job] = {}
    for job in sorted(image.jobs, key=lambda job: job.round):
        latest[job.system] = job
    return [
        Open(image.id, job.system, title_of(job.system), job.state, job.reason)  # type: ignore[arg-type]
        for job in latest.values()
        if job.state != "done"
    ]


def title_of(system: str) -> str:
    """Return a system's name for people."""
    return SYSTEM_TITLES.get(system, printable(system))


def unasked(image: Image, systems: Iterable[str]) -> list[tuple[str, str]]:
    """Give name and title of the service's systems that were never asked about an image."""
    asked = {job.system for job in image.jobs}
    return [(system, title_of(system)) for system in systems if system not in asked]


def measurements(files: Files, answer: Answer) -> list[Measurement]:
    """Measure the masks of a result.

    Parameters
    ----------
    files
        Where the masks are.
    answer
        The result.

    Returns
    -------
    list
        Empty where no lungs were found.
    """
    by_name = {stored.name: stored for stored in answer.result.maps}
    if LUNGS not in by_name or not answer.has_lungs:
        return []
    lungs = load_map(files, by_name[LUNGS])
    shape = lung_shape(lungs)
    missing = missing_share(shape.right_area, shape.left_area, SYMMETRY)
    doubt = missing >= SYMMETRY.threshold
    found = [
        Measurement("Lung area", f"{100 * (answer.record.lung_area_fraction or 0):.1f}% of the image"),
        Measurement("Right lung", f"{100 * shape.right_area:.1f}%", "viewer's left"),
        Measurement("Left lung", f"{100 * shape.left_area:.1f}%", "viewer's right"),
    ]
    if shape.right_area > 0 and shape.left_area > 0:
        found.append(Measurement("Left lung / right lung", f"{shape.left_area / shape.right_area:.2f}"))
    note = "a part of one lung may not be outlined: check the outline" if doubt else "the lungs' sizes fit each other"
    found.append(Measurement("Missing, estimated", f"{100 * missing:.0f}% of one lung", note))
    heart = load_map(files, by_name[HEART]) > 0 if HEART in by_name else None
    ratio = None if heart is None else cardiothoracic_ratio(lungs, heart)
    if ratio is not None:
        caution = "larger in AP projection, lying down and in expiration; no diagnosis of the heart"
        found.append(Measurement("Cardiothoracic ratio", f"{ratio.ratio:.2f}", caution))
    return found


@lru_cache(maxsize=1)
def scales() -> Mapping[MapKind, str]:
    """Return the colours of maps from value 0 to 255, by kind, each as base64 of 768 bytes: red, green, blue.

    They are the report's.
    """
    return {kind: _colours(table) for kind, table in COLOUR_MAPS.items()}


def differ(answers: Sequence[Answer]) -> bool:
    """Tell whether answers contradict each other; those that another system's words include do not."""
    called = {answer.record.finding for answer in answers if answer.record.finding is not None}
    return any(frozenset(pair) not in _COMPATIBLE for pair in combinations(called, 2))


def _colours(table: int) -> str:
    colours = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], table)[0, :, ::-1]
    return base64.b64encode(np.ascontiguousarray(colours).tobytes()).decode("ascii")


def _decision(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "title": printable(stage.title),
        "probability": stage.probability,
        "threshold": stage.threshold,
        "operating_point": printable(stage.operating_point),
        "positive": stage.positive,
        "sentence": stage_sentence(stage),
    }


def _shown(stored: StoredMap, names: Collection[str]) -> ShownMap:
    if stored.kind == "coverage":
        note = COVERAGE_NOTE
    elif stored.lung_share is None:
        note = "The map is empty: nothing spoke for it."
    else:
        note = f"{stored.lung_share:.0%} of it lies inside the lungs."
    looked_at = f"{stored.name}_looked_at"
    return ShownMap(
        stored.name, printable(stored.title), note, cast(MapKind, stored.kind), looked_at if looked_at in names else ""
    )
