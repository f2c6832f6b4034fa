"""Whether a faster arithmetic decides as the exact one does, and which one a bundle should therefore use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import CxrscreenError, ManifestError
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, grouped_rate
from cxrscreen.evaluate.paired import compare_scores
from cxrscreen.evaluate.run import Question
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.runtime.engine import Precision
from cxrscreen.systems.contract import System

MOST_FLIPS = 0.005
"""Share of decisions that may become the other one."""
LARGEST_AUC_CHANGE = 0.002
FASTEST_FIRST: tuple[Precision, ...] = ("int8", "bf16", "f32")
"""By the processor time of the whole cascade (``python benchmarks/speed.py engines``)."""


@dataclass(frozen=True)
class Agreement:
    """One decision in a faster arithmetic against the same in f32, on the same images.

    Parameters
    ----------
    images, groups
        Numbers of images and of patient groups.
    largest_difference
        Of a probability, in [0, 1].
    flips
        Share of decisions that are the other one, with its interval.
    auc_change
        AUC less that in f32, with its interval.
    """

    images: int
    groups: int
    largest_difference: float
    flips: Estimate
    auc_change: Estimate

    @property
    def holds(self) -> bool:
        """Whether it may stand in for f32: few decisions flip and the AUC hardly changes."""
        flips, change = self.flips.value, self.auc_change.value
        return flips is not None and flips <= MOST_FLIPS and change is not None and abs(change) <= LARGEST_AUC_CHANGE


def measure_agreement(
    exact: pd.DataFrame, other: pd.DataFrame, threshold: float, *, replicates: int = REPLICATES
) -> Agreement:
    """Compare one decision's probabilities with those in f32.

    Parameters
    ----------
    exact, other
        Tables as for :func:`~cxrscreen.evaluate.paired.compare_scores`, of the same images in the same order.
    threshold
        The operating point in use, in [0, 1].
    replicates
        Of the bootstrap by patient group.

    Raises
    ------
    ManifestError
        If the tables differ in their images, or hold one class only.
    """
    if list(exact["image_id"]) != list(other["image_id"]):
        raise ManifestError("The two precisions were asked about different images: measure them on the same.")
    compared = compare_scores(exact, other, replicates=replicates)
    one, two = exact["score"].to_numpy(np.float64), other["score"].to_numpy(np.float64)
    flips = grouped_rate((one >= threshold) != (two >= threshold), exact["group"].astype(str))
    return Agreement(compared.n, compared.groups, float(np.abs(one - two).max()), flips, compared.differences["auc"])


def choose_precision(measured: Mapping[Precision, Mapping[str, Agreement]]) -> Precision:
    """The fastest precision of which every decision agrees with f32; made on the validation part.

    Parameters
    ----------
    measured
        Agreement by precision and decision; f32 needs none.
    """
    for precision in FASTEST_FIRST:
        found = measured.get(precision)
        if found and all(agreement.holds for agreement in found.values()):
            return precision
    return "f32"


def ask_in_each(
    systems: Mapping[Precision, System],
    read: Callable[[Path], Radiograph],
    manifest: Manifest,
    questions: Sequence[Question],
    *,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[Precision, dict[str, pd.DataFrame]], dict[Precision, pd.Series]]:
    """Screen each image once with every system.

    Parameters
    ----------
    systems
        The same bundle in several precisions, f32 among them.
    read
        From a file to a radiograph.
    manifest
        Files, groups and sources.
    questions
        Decisions, and the images on which they are asked.
    advance
        Called after each image.

    Returns
    -------
    tuple
        By precision and protocol the probabilities, as :func:`measure_agreement` takes them; and by precision the Dice
        overlap of each image's lung mask with that in f32, by image id. An image that cannot be read is in none.
    """
    wanted = list(dict.fromkeys(image_id for question in questions for image_id in question.image_ids))
    found: dict[str, dict[Precision, Mapping[str, float | None]]] = {}
    overlap: dict[Precision, dict[str, float]] = {precision: {} for precision in systems}
    for image_id in wanted:
        try:
            radiograph = read(manifest.image_file(image_id))
        except CxrscreenError:
            continue
        finally:
            advance()
        given = {name: system.screen(radiograph, force=True, explain=False) for name, system in systems.items()}
        exact = given["f32"].lung_mask > 0
        for name, screening in given.items():
            mask = screening.lung_mask > 0
            both = int(exact.sum()) + int(mask.sum())
            overlap[name][image_id] = 2.0 * int((exact & mask).sum()) / both if both else 1.0
        found[image_id] = {name: screening.probabilities for name, screening in given.items()}
    tables = {
        name: {question.split.name: _scores(question, manifest, found, name) for question in questions}
        for name in systems
    }
    return tables, {name: pd.Series(values, dtype=np.float64) for name, values in overlap.items()}


def _scores(
    question: Question,
    manifest: Manifest,
    found: Mapping[str, Mapping[Precision, Mapping[str, float | None]]],
    precision: Precision,
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for image_id in question.image_ids:
        if image_id not in found:
            continue
        entry = manifest.table.loc[image_id]
        score = found[image_id][precision].get(question.stage or "")
        facts = {"image_id": image_id, **{name: entry[name] for name in ("source", "group", "label")}}
        rows.append({**facts, "truth": question.split.truth[image_id], "score": score})
    return pd.DataFrame(rows)
