"""A system on one part of a protocol: a row for every image it screened, a reason for every image it did not."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.contract import Screening, Stage, System

STAGES = {"stage2": "pneumonia", "stage3": "covid19"}
"""The decision that a classification protocol measures, by the first word of the protocol's name."""

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
        One row per screened image, with the columns ``SCORE_COLUMNS`` (a decision) or ``OVERLAP_COLUMNS`` and
        ``DISTANCE_COLUMNS`` (lungs).
    failures
        The others.
    stage
        The decision as the system stated it, with its threshold; None for lungs.
    """

    bundle: str
    requested: int
    rows: pd.DataFrame
    failures: tuple[Failure, ...]
    stage: Stage | None


def run_system(
    system: System,
    read: Callable[[Path], Radiograph],
    manifest: Manifest,
    split: Split,
    image_ids: Sequence[str],
    *,
    advance: Callable[[], None] = lambda: None,
) -> Run:
    """Screen images in order and note what the protocol measures.

    For a decision the score is its probability, asked also where an earlier stage would stop. For ``lungs`` it is the
    overlap of the system's lungs with the manifest's mask (right and left lung together; the heart is not lung).

    Parameters
    ----------
    system
        What is measured.
    read
        From a file to a radiograph; two files are read ahead in a thread.
    manifest
        Files, masks, sources and labels.
    split
        The protocol's split; gives the truth and the groups.
    image_ids
        The images, of one part of the split.
    advance
        Called after each image.

    Raises
    ------
    ManifestError
        If there is no image, if those of a decision hold one class only, or if none could be screened.
    """
    if not image_ids:
        raise ManifestError(f"This part of the protocol {split.name} has no image: choose another part or manifest.")
    lungs = PROTOCOLS[split.name].lungs
    stage_name = "" if lungs else STAGES[split.name.partition("-")[0]]
    if not lungs and len({split.truth[image_id] for image_id in image_ids}) == 1:
        raise ManifestError(
            f"All {len(image_ids)} images of {split.name} are of one class: take more, or another part."
        )
    rows: list[dict[str, Any]] = []
    failures: list[Failure] = []
    stage: Stage | None = None
    for image_id, loading in _ahead(lambda image_id: read(manifest.image_file(image_id)), image_ids):
        entry = manifest.table.loc[image_id]
        row = {"image_id": image_id, "source": entry["source"], "group": entry["group"], "label": entry["label"]}
        try:
            radiograph = loading.result()
            screening = system.screen(radiograph, force=not lungs, explain=False)
            if lungs:
                rows.append(row | _overlap(radiograph, screening, manifest.mask_file(image_id)))
            else:
                stage = _stage(screening, stage_name)
                rows.append(row | {"truth": split.truth[image_id], "score": stage.probability})
        except CxrscreenError as error:
            # Relative to the manifest, so that results of two machines compare.
            reason = str(error).replace(f"{manifest.root}/", "")
            failures.append(Failure(image_id, str(entry["source"]), str(entry["label"]), reason))
        # A fault of the program in one image must not cost a run of hours; it is listed and counted like any other.
        except Exception as error:
            reason = f"Screening stopped with {type(error).__name__}: {error}"
            failures.append(Failure(image_id, str(entry["source"]), str(entry["label"]), reason))
        advance()
    if not rows:
        raise ManifestError(f"None of {len(image_ids)} image(s) could be screened; the first: {failures[0].reason}")
    return Run(
        bundle=system.bundle_id,
        requested=len(image_ids),
        rows=pd.DataFrame(rows, columns=list((*OVERLAP_COLUMNS, *DISTANCE_COLUMNS) if lungs else SCORE_COLUMNS)),
        failures=tuple(failures),
        stage=stage,
    )


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
