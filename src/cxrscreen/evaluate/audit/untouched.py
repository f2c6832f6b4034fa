"""The images of an audit screened once as they are; every edit is measured against these scores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.data.protocols import Split
from cxrscreen.errors import CxrscreenError, ManifestError
from cxrscreen.evaluate.audit.part import AuditData
from cxrscreen.evaluate.classification import SCORE_COLUMNS
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.contract import Stage

UNTOUCHED = "untouched"
"""Name of the column of scores that no edit changed."""

_MASK_SIDE = 256

Edit = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.float32]]
"""From pixels, float32 (H, W) in [0, 1], and the lungs found in them, bool (H, W), to other pixels of that shape."""


@dataclass(frozen=True, eq=False)
class Untouched:
    """What a system gave for the test images as they are.

    Parameters
    ----------
    scores
        Indexed by ``image_id``; ``source``, ``group``, ``label`` and a column of probabilities for each decision.
    stages
        Each decision as the system stated it, by name; its threshold holds, its probability is one image's.
    lungs
        The lungs found, by image id; see `lungs_of`.
    failures
        Reason by image id of the images that could not be screened.
    """

    scores: pd.DataFrame
    stages: Mapping[str, Stage]
    lungs: Mapping[str, tuple[NDArray[np.uint8], tuple[int, int]]]
    failures: Mapping[str, str]

    def lungs_of(self, image_id: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Lung mask of an image, bool (H, W) of ``shape``; enlarged from at most 256 pixels a side."""
        packed, small = self.lungs[image_id]
        mask = np.unpackbits(packed, count=small[0] * small[1]).reshape(small)
        enlarged = cv2.resize(mask.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged >= 0.5, dtype=np.bool_)


@lru_cache(maxsize=1)
def untouched(data: AuditData) -> Untouched:
    """Screen the chosen test images of all protocols once, every decision asked; the last result is kept.

    Raises
    ------
    ManifestError
        If none could be screened.
    """
    image_ids = sorted({image_id for protocol in data.splits for image_id in data.images(protocol)})
    rows: list[dict[str, Any]] = []
    lungs: dict[str, tuple[NDArray[np.uint8], tuple[int, int]]] = {}
    failures: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for number, image_id in enumerate(image_ids, start=1):
        data.advance(f"untouched images: {number} of {len(image_ids)}")
        try:
            screening = data.system.screen(data.radiograph(image_id), force=True, explain=False)
        # One damaged file, or a fault of the program in one image, must not cost an audit of hours.
        except Exception as error:
            failures[image_id] = reason_of(error, data)
            continue
        stages |= {stage.name: stage for stage in screening.stages if stage.probability is not None}
        rows.append(_facts(data, image_id) | screening.probabilities)
        lungs[image_id] = _packed(screening.lung_mask > 0)
    if not rows:
        raise ManifestError(f"None of {len(image_ids)} image(s) could be screened; the first: {failures[image_ids[0]]}")
    return Untouched(pd.DataFrame(rows).set_index("image_id", drop=False), stages, lungs, failures)


def rescored(
    data: AuditData, edits: Mapping[str, Edit], doing: str, image_ids: Sequence[str] | None = None
) -> pd.DataFrame:
    """Screen edited copies of the images.

    Parameters
    ----------
    data
        The audit's.
    edits
        By name; each acts on the untouched pixels.
    doing
        A few words for the progress display.
    image_ids
        Some of the images, None: all that `untouched` screened.

    Returns
    -------
    DataFrame
        One row per image and edit, columns ``image_id``, ``edit`` and a column of probabilities for each decision;
        images that an edit made impossible to screen have no row.
    """
    known = untouched(data)
    ids = list(known.scores.index) if image_ids is None else list(image_ids)
    rows: list[dict[str, Any]] = []
    for number, image_id in enumerate(ids, start=1):
        data.advance(f"{doing}: {number} of {len(ids)} images")
        radiograph = data.radiograph(image_id)
        lungs = known.lungs_of(image_id, radiograph.shape)
        for name, edit in edits.items():
            probabilities = _probabilities(data, edited(radiograph, edit(radiograph.pixels, lungs)))
            if probabilities is not None:
                rows.append({"image_id": image_id, "edit": name} | probabilities)
    return pd.DataFrame(rows, columns=["image_id", "edit", *known.stages])


def edited(radiograph: Radiograph, pixels: NDArray[np.float32]) -> Radiograph:
    """The radiograph with other pixels, brought into [0, 1]."""
    return replace(radiograph, pixels=np.clip(pixels, 0.0, 1.0).astype(np.float32))


def side_by_side(data: AuditData, protocol: str, scored: pd.DataFrame) -> pd.DataFrame:
    """Scores of one protocol's decision, untouched and edited, an image a row.

    Parameters
    ----------
    data
        The audit's.
    protocol
        One of its protocols.
    scored
        From `rescored`.

    Returns
    -------
    DataFrame
        The columns of `SCORE_COLUMNS` without ``score``, `UNTOUCHED`, and a column for each edit; images that lack one
        of the scores are left out, so that all columns are of the same images.
    """
    stage = data.decision(protocol).stage
    wide = scored.pivot(index="image_id", columns="edit", values=stage)
    rows = score_rows(data, protocol).rename(columns={"score": UNTOUCHED}).set_index("image_id", drop=False)
    return rows.join(wide, how="inner").dropna(subset=list(wide.columns)).reset_index(drop=True)


def score_rows(data: AuditData, protocol: str) -> pd.DataFrame:
    """Untouched scores of one protocol's decision, with the columns of `SCORE_COLUMNS`."""
    known, split, stage = untouched(data), data.splits[protocol], data.decision(protocol).stage
    if stage not in known.stages:
        raise CxrscreenError(f"The system gave no probability for {stage}: leave out {protocol}.")
    rows = known.scores.loc[[image_id for image_id in data.images(protocol) if image_id in known.scores.index]]
    rows = rows.assign(score=rows[stage], truth=_truth(rows, split))
    return rows[list(SCORE_COLUMNS)].reset_index(drop=True)


def threshold_of(data: AuditData, protocol: str) -> float:
    """Operating point of a protocol's decision, in [0, 1]."""
    return untouched(data).stages[data.decision(protocol).stage].threshold


def protocols(data: AuditData) -> Iterator[tuple[str, str]]:
    """Each protocol with its decision in words, for tables."""
    for protocol in data.splits:
        yield protocol, data.decision(protocol).words


def reason_of(error: Exception, data: AuditData) -> str:
    """Why an image gave no score, without the folder of the images."""
    if isinstance(error, CxrscreenError):
        return str(error).replace(f"{data.manifest.root}/", "")
    return f"Screening stopped with {type(error).__name__}."


def _probabilities(data: AuditData, radiograph: Radiograph) -> dict[str, float | None] | None:
    try:
        return data.system.screen(radiograph, force=True, explain=False).probabilities
    # As for the untouched images: an edit that no system can take is left out and counted, not an end.
    except Exception:
        return None


def _facts(data: AuditData, image_id: str) -> dict[str, Any]:
    entry = data.manifest.table.loc[image_id]
    return {"image_id": image_id} | {name: str(entry[name]) for name in ("source", "group", "label")}


def _truth(rows: pd.DataFrame, split: Split) -> list[int]:
    return [split.truth[image_id] for image_id in rows["image_id"]]


def _packed(mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    scale = min(1.0, _MASK_SIDE / max(mask.shape))
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    small = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) >= 128
    return np.packbits(small), (size[1], size[0])
