"""A system on one part of a protocol: a row for every image it screened, a reason for every image it did not."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import lung_target, read_lung_mask
from cxrscreen.data.protocols import PROTOCOLS, Split
from cxrscreen.errors import CxrscreenError, ManifestError
from cxrscreen.evaluate.classification import SCORE_COLUMNS
from cxrscreen.evaluate.overlap import DISTANCE_COLUMNS, OVERLAP_COLUMNS, compare_masks
from cxrscreen.evaluate.several_classes import PREFIX
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.contract import Screening, Stage, System

_READ_AHEAD = 2

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Failure:
    """An image that gave no figure, with its reason in one sentence."""

    image_id: str
    source: str
    label: str
    reason: str


@dataclass(frozen=True, eq=False)
class Run:
    """What a system gave on some images.

    Parameters
    ----------
    bundle
        ``name@version``.
    requested
        Number of images asked for: the rows and the failures.
    rows
        One row per screened image, with the columns ``SCORE_COLUMNS`` (a decision), those and a ``p_NAME`` for each
        class in place of ``score`` (several classes), or ``OVERLAP_COLUMNS`` and ``DISTANCE_COLUMNS`` (lungs).
    failures
        The others.
    stage
        The decision as the system stated it, with its threshold; None for lungs and several classes.
    classes
        The classes where several are told apart; else empty.
    """

    bundle: str
    requested: int
    rows: pd.DataFrame
    failures: tuple[Failure, ...]
    stage: Stage | None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Question:
    """What a system is asked about some images.

    Parameters
    ----------
    split
        A protocol's split; gives the truth and the groups.
    image_ids
        The images, of one part of the split.
    stage
        Name of the decision that answers the protocol; None where it asks for lungs or for one of several classes.

    Raises
    ------
    ValueError
        If a stage is given where none can answer, or none where one must.
    """

    split: Split
    image_ids: Sequence[str]
    stage: str | None = None

    def __post_init__(self) -> None:
        if (self.stage is None) != (self.lungs or bool(self.classes)):
            raise ValueError(f"{self.split.name} is answered by a stage or needs none")

    @property
    def lungs(self) -> bool:
        """Whether lung masks are compared."""
        return PROTOCOLS[self.split.name].lungs

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are told apart; empty for lungs and decisions."""
        return tuple(PROTOCOLS[self.split.name].classes)

    @property
    def columns(self) -> list[str]:
        """Columns of the rows."""
        if self.lungs:
            return [*OVERLAP_COLUMNS, *DISTANCE_COLUMNS]
        if self.classes:
            return [*(name for name in SCORE_COLUMNS if name != "score"), *(PREFIX + name for name in self.classes)]
        return list(SCORE_COLUMNS)

    def check(self) -> None:
        """Raise a :class:`ManifestError` where there is no image, or those of a decision or vote are of one class."""
        if not self.image_ids:
            raise ManifestError(
                f"This part of the protocol {self.split.name} has no image: choose another part or manifest."
            )
        if not self.lungs and len({self.split.truth[image_id] for image_id in self.image_ids}) == 1:
            raise ManifestError(
                f"All {len(self.image_ids)} images of {self.split.name} are of one class: take more, or another part."
            )


def run_system(
    system: System,
    read: Callable[[Path], Radiograph],
    manifest: Manifest,
    question: Question,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Run:
    """Screen images in order and note what one protocol measures; see :func:`run_questions`."""
    return run_questions(system, read, manifest, (question,), advance=advance)[0]


def run_questions(
    system: System,
    read: Callable[[Path], Radiograph],
    manifest: Manifest,
    questions: Sequence[Question],
    *,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Run, ...]:
    """Screen images in order, each once, and note what several protocols measure.

    For a decision the score is its probability, asked also where an earlier stage would stop. For several classes it is
    their scores. For lungs it is the overlap of the system's lungs with the manifest's mask (right and left lung
    together; the heart is not lung).

    Parameters
    ----------
    system
        What is measured.
    read
        From a file to a radiograph; two files are read ahead in a thread.
    manifest
        Files, masks, sources and labels.
    questions
        What is asked of which images.
    advance
        Called after each image.

    Returns
    -------
    tuple of Run
        One for each question.

    Raises
    ------
    ManifestError
        If a question has no image, if those of a decision hold one class only, or if none could be screened.
    """
    for question in questions:
        question.check()
    asked: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        for image_id in question.image_ids:
            asked.setdefault(image_id, []).append(place)
    answers = [_Answers() for _ in questions]
    for image_id, loading in _ahead(lambda image_id: read(manifest.image_file(image_id)), asked):
        places = asked[image_id]
        decides = any(not questions[place].lungs for place in places)
        screened = _attempt(partial(_screened, system, loading, decides))
        for place in places:
            row: dict[str, Any] | str
            if isinstance(screened, str):
                row = screened
            else:
                row = _attempt(partial(_row, questions[place], manifest, image_id, *screened, answers[place]))
            answers[place].add(manifest, image_id, row)
        advance()
    return tuple(answer.run(system.bundle_id, question) for answer, question in zip(answers, questions, strict=True))


@dataclass
class _Answers:
    """What a question has been answered so far."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stage: Stage | None = None

    def add(self, manifest: Manifest, image_id: str, row: dict[str, Any] | str) -> None:
        """Take in a row, or the reason why there is none."""
        entry = manifest.table.loc[image_id]
        facts = {"image_id": image_id, **{name: entry[name] for name in ("source", "group", "label")}}
        if isinstance(row, str):
            # Relative to the manifest, so that results of two machines compare.
            reason = row.replace(f"{manifest.root}/", "")
            self.failures.append(Failure(image_id, str(entry["source"]), str(entry["label"]), reason))
        else:
            self.rows.append(facts | row)

    def run(self, bundle: str, question: Question) -> Run:
        if not self.rows:
            raise ManifestError(
                f"None of {len(question.image_ids)} image(s) could be screened; the first: {self.failures[0].reason}"
            )
        # In the question's own order, whatever else was asked beside it: the same question gives the same figures.
        place = {image_id: number for number, image_id in enumerate(question.image_ids)}
        rows = sorted(self.rows, key=lambda row: place[row["image_id"]])
        failures = tuple(sorted(self.failures, key=lambda failure: place[failure.image_id]))
        table = pd.DataFrame(rows, columns=question.columns)
        return Run(bundle, len(question.image_ids), table, failures, self.stage, question.classes)


def _attempt(work: Callable[[], _Result]) -> _Result | str:
    """What is made, or why it could not be: a fault in one image must not cost a run of hours."""
    try:
        return work()
    except CxrscreenError as error:
        return str(error)
    except Exception as error:
        return f"Screening stopped with {type(error).__name__}: {error}"


def _screened(system: System, loading: Future[Radiograph], decides: bool) -> tuple[Radiograph, Screening]:
    radiograph = loading.result()
    return radiograph, system.screen(radiograph, force=decides, explain=False)


def _row(
    question: Question,
    manifest: Manifest,
    image_id: str,
    radiograph: Radiograph,
    screening: Screening,
    answers: _Answers,
) -> dict[str, Any]:
    if question.lungs:
        return dict(_overlap(radiograph, screening, manifest.mask_file(image_id)))
    truth = question.split.truth[image_id]
    if question.stage is not None:
        answers.stage = _stage(screening, question.stage)
        return {"truth": truth, "score": answers.stage.probability}
    if set(screening.classes) != set(question.classes):
        raise CxrscreenError(
            f"The system does not choose among {', '.join(question.classes)}: take a protocol that it decides."
        )
    return {
        "truth": question.classes[truth],
        **{PREFIX + name: screening.classes[name] for name in question.classes},
    }


def chosen_images(image_ids: Sequence[str], limit: int | None, seed: int = 0) -> tuple[str, ...]:
    """All images, or a seeded draw of ``limit`` of them in their order (so that a short trial sees every source)."""
    if limit is None or limit >= len(image_ids):
        return tuple(image_ids)
    drawn = np.random.default_rng(seed).choice(len(image_ids), size=limit, replace=False)
    return tuple(image_ids[int(i)] for i in np.sort(drawn))


def _stage(screening: Screening, name: str) -> Stage:
    for stage in screening.stages:
        if stage.name == name and stage.probability is not None:
            return stage
    raise CxrscreenError(f"The system gave no probability for {name}: evaluate it on a protocol that it decides.")


def _overlap(radiograph: Radiograph, screening: Screening, mask_file: Path | None) -> dict[str, float]:
    if mask_file is None:
        raise ManifestError("The image has no lung mask in the manifest: fill its lung_mask column.")
    reference: NDArray[np.bool_] = lung_target(read_lung_mask(mask_file)) > 0
    predicted: NDArray[np.bool_] = screening.lung_mask > 0
    if predicted.shape != reference.shape:
        raise ManifestError(
            f"The lung mask {mask_file.name} is {reference.shape} pixels and the image {predicted.shape}: "
            "give a mask of the stored image's size."
        )
    return compare_masks(predicted, reference, radiograph.pixel_spacing_mm)


def _ahead(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[tuple[_Item, Future[_Result]]]:
    """Each item with the future of its result, in order, a few of them worked on ahead."""
    waiting: deque[tuple[_Item, Future[_Result]]] = deque()
    with ThreadPoolExecutor(max_workers=1) as pool:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > _READ_AHEAD:
                yield waiting.popleft()
        yield from waiting
