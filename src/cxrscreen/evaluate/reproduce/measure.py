"""Figures of the reproduced tables: held-out images of one or several trainings, intervals by patient."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from cxrscreen.data.manifest import PNEUMONIA_LABELS
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap, grouped_rate
from cxrscreen.evaluate.card import DEFAULT_RULE, source_weights
from cxrscreen.evaluate.classification import MIN_PER_CLASS
from cxrscreen.evaluate.metrics import Floats, auc, choose_operating_point
from cxrscreen.evaluate.weighted import weighted_auc
from cxrscreen.systems.cascade.cohort import NEW_DISEASE

DECISIONS: Mapping[str, str] = {"2": "pneumonia", "3": "covid19"}
"""Decision by stage."""

Choose = Callable[[pd.DataFrame], "pd.Series[bool]"]
"""From held-out images, which of them are meant."""


@dataclass(frozen=True)
class Figures:
    """One stage on one set of images, averaged over trainings.

    Parameters
    ----------
    positives, negatives
        Images of each class.
    pooled
        ``auc``, ``sensitivity``, ``specificity`` over all images; a figure that is not defined is missing.
    within
        The same as means over ``sources``, so that telling sources apart earns nothing.
    sources
        Those with at least `classification.MIN_PER_CLASS` images of either class.
    source_alone
        AUC of a reader who sees nothing but the name of the source and knows from the validation images how many of
        each source are positive; None where it is not defined. A pooled AUC near it proves nothing.
    auc_by_training
        Pooled AUC of each training.
    """

    positives: int
    negatives: int
    pooled: Mapping[str, Estimate]
    within: Mapping[str, Estimate]
    sources: tuple[str, ...]
    source_alone: float | None
    auc_by_training: tuple[float, ...]


def measure(
    trainings: Sequence[pd.DataFrame],
    stage: str,
    part: str,
    chosen: Choose,
    chosen_on: Choose,
    *,
    moment: str = "",
    replicates: int = REPLICATES,
) -> Figures:
    """Measure a stage at a threshold that the validation images gave.

    Parameters
    ----------
    trainings
        Outputs of trainings that differ in the seed alone: same images, same splits.
    stage
        ``"2"`` or ``"3"``.
    part
        ``"validation"`` or ``"test"``.
    chosen
        Which images of the part are measured.
    chosen_on
        Which validation images the threshold is chosen on: Youden's, all sources weighing the same.
    moment
        ``"_before"`` or ``"_after"`` for outputs of an adaptation.
    replicates
        Of the bootstrap by patient group.
    """
    column = f"{DECISIONS[stage]}{moment}"
    tables = [asked(outputs, stage, column) for outputs in trainings]
    first = tables[0][(tables[0]["part"] == part) & chosen(tables[0])]
    truth, groups = first["truth"].to_numpy(dtype=bool), first["group"].to_numpy(dtype=np.str_)
    scores, called = [], []
    for table in tables:
        own = table.loc[first.index]
        if not (own["image_id"] == first["image_id"]).all():
            raise ValueError("trainings of one table must hold out the same images")
        threshold = threshold_of(table[(table["part"] == "validation") & chosen_on(table)])
        scores.append(own["score"].to_numpy(np.float64))
        if threshold is not None:
            called.append(scores[-1] >= threshold)
    right = np.mean([each == truth for each in called], axis=0) if called else None
    members = {
        str(source): np.flatnonzero((first["source"] == source).to_numpy())
        for source, counts in first.groupby("source")["truth"].agg(["sum", "size"]).iterrows()
        if min(counts["sum"], counts["size"] - counts["sum"]) >= MIN_PER_CLASS
    }
    pooled: dict[str, Estimate] = {}
    within: dict[str, Estimate] = {}
    each_auc: tuple[float, ...] = ()
    if 0 < truth.sum() < truth.size:
        each_auc = tuple(auc(truth, score) for score in scores)
        pooled["auc"] = bootstrap(lambda w: mean_auc(truth, scores, w), groups.tolist(), replicates=replicates)
    if members:
        parts = list(members.values())
        within["auc"] = bootstrap(
            lambda w: np.mean([mean_auc(truth[m], [s[m] for s in scores], w[:, m]) for m in parts], axis=0),
            groups.tolist(),
            replicates=replicates,
        )
    for name, rows in (("sensitivity", truth), ("specificity", ~truth)):
        if right is not None and rows.any():
            pooled[name] = grouped_rate(right[rows], groups[rows])
        if right is not None and members:
            within[name] = _mean_rate([m[rows[m]] for m in members.values()], right, groups, replicates)
    return Figures(
        positives=int(truth.sum()),
        negatives=int((~truth).sum()),
        pooled=pooled,
        within=within,
        sources=tuple(members),
        source_alone=_source_alone(first, tables[0][tables[0]["part"] == "validation"]),
        auc_by_training=each_auc,
    )


def asked(outputs: pd.DataFrame, stage: str, column: str) -> pd.DataFrame:
    """The images that a stage is asked about, with ``truth`` (0 or 1) and ``score`` (probability)."""
    decided = outputs[outputs["label"].isin(PNEUMONIA_LABELS)] if stage == "3" else outputs
    decided = decided[decided[column].notna()]
    truth = decided["label"] == NEW_DISEASE if stage == "3" else decided["label"] != "normal"
    table = decided.assign(truth=truth.astype(int), score=expit(decided[column].to_numpy(np.float64)))
    return table.reset_index(drop=True)


def threshold_of(rows: pd.DataFrame) -> float | None:
    """Youden's threshold on images with ``truth``, ``score`` and ``source``; None for one class only."""
    if rows["truth"].nunique() < 2:
        return None
    point = choose_operating_point(rows["truth"], rows["score"], DEFAULT_RULE, source_weights(rows))
    return point.threshold


def mean_auc(truth: NDArray[np.bool_], scores: Sequence[Floats], weights: Floats) -> Floats:
    """AUC in each resample (B,), averaged over trainings."""
    mean: Floats = np.mean([weighted_auc(truth, score, weights) for score in scores], axis=0)
    return mean


def _mean_rate(
    members: Sequence[NDArray[np.intp]], right: NDArray[np.float64], groups: NDArray[np.str_], replicates: int
) -> Estimate:
    if len(members) == 1:
        return grouped_rate(right[members[0]], groups[members[0]])

    def rate(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            each = [(weights[:, m] @ right[m]) / weights[:, m].sum(axis=1) for m in members]
        mean: Floats = np.mean(each, axis=0)
        return mean

    rows = np.concatenate(members)
    place = {int(row): index for index, row in enumerate(rows)}
    members = [np.array([place[int(row)] for row in m], dtype=np.intp) for m in members]
    right = right[rows]
    return bootstrap(rate, groups[rows].tolist(), replicates=replicates)


def _source_alone(rows: pd.DataFrame, known: pd.DataFrame) -> float | None:
    if rows["truth"].nunique() < 2 or rows["source"].nunique() < 2:
        return None
    share = known.groupby("source")["truth"].mean()
    return auc(rows["truth"], rows["source"].map(share).fillna(float(known["truth"].mean())))
