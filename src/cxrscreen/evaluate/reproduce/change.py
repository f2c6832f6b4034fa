"""What a fine-tuning changed on held-out images: AUCs before and after on the same resamples of patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap_all
from cxrscreen.evaluate.classification import MIN_PER_CLASS
from cxrscreen.evaluate.metrics import Floats, auc
from cxrscreen.evaluate.reproduce.measure import DECISIONS, Choose, asked, mean_auc


@dataclass(frozen=True)
class Change:
    """A stage before and after on one set of images, averaged over fine-tunings.

    Parameters
    ----------
    positives, negatives
        Images of each class.
    pooled
        AUC ``before``, ``after`` and ``change``.
    within
        The same as means over ``sources``; empty where no source holds enough of both classes.
    sources
        Those with at least `classification.MIN_PER_CLASS` images of either class.
    by_tuning
        Pooled change of each fine-tuning.
    """

    positives: int
    negatives: int
    pooled: dict[str, Estimate]
    within: dict[str, Estimate]
    sources: tuple[str, ...]
    by_tuning: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The smallest change of a single fine-tuning."""
        return min(self.by_tuning)


def change(
    tunings: Sequence[pd.DataFrame], stage: str, chosen: Choose, *, replicates: int = REPLICATES
) -> Change | None:
    """Measure the change on test images; None where they hold one class only.

    Parameters
    ----------
    tunings
        Outputs of fine-tunings that differ in the seed alone.
    stage
        ``"2"`` or ``"3"``.
    chosen
        Which of the test images.
    replicates
        Of the bootstrap by patient group.
    """
    moments = ("before", "after")
    tables = {when: [asked(each, stage, f"{DECISIONS[stage]}_{when}") for each in tunings] for when in moments}
    first = tables["before"][0]
    first = first[(first["part"] == "test") & chosen(first)]
    truth = first["truth"].to_numpy(dtype=bool)
    if not 0 < truth.sum() < truth.size:
        return None
    scores: dict[str, list[Floats]] = {
        when: [each.loc[first.index, "score"].to_numpy(np.float64) for each in tables[when]] for when in moments
    }
    counts = first.groupby("source")["truth"].agg(["sum", "size"])
    enough = counts[(counts["sum"] >= MIN_PER_CLASS) & (counts["size"] - counts["sum"] >= MIN_PER_CLASS)]
    members = [np.flatnonzero((first["source"] == source).to_numpy()) for source in enough.index]

    def areas(weights: Floats) -> dict[str, Floats]:
        found = {when: mean_auc(truth, scores[when], weights) for when in moments}
        result = {**found, "change": found["after"] - found["before"]}
        if members:
            inside = {when: _within(truth, scores[when], members, weights) for when in moments}
            inside["change"] = inside["after"] - inside["before"]
            result |= {f"within_{name}": value for name, value in inside.items()}
        return result

    estimates = bootstrap_all(areas, first["group"].astype(str).tolist(), replicates=replicates)
    return Change(
        positives=int(truth.sum()),
        negatives=int((~truth).sum()),
        pooled={name: each for name, each in estimates.items() if not name.startswith("within_")},
        within={name.removeprefix("within_"): each for name, each in estimates.items() if name.startswith("within_")},
        sources=tuple(str(source) for source in enough.index),
        by_tuning=tuple(
            auc(truth, after) - auc(truth, before)
            for before, after in zip(scores["before"], scores["after"], strict=True)
        ),
    )


def _within(
    truth: NDArray[np.bool_], scores: Sequence[Floats], members: Sequence[NDArray[np.intp]], weights: Floats
) -> Floats:
    mean: Floats = np.mean([mean_auc(truth[m], [s[m] for s in scores], weights[:, m]) for m in members], axis=0)
    return mean
