"""What an adaptation to a new disease gave and what it cost: held-out images before and after, by decision."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from cxrscreen.data.manifest import PNEUMONIA_LABELS
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap_all, grouped_rate
from cxrscreen.evaluate.card import RULES, calibrate, stage_card
from cxrscreen.evaluate.classification import MIN_PER_CLASS
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.run import Run
from cxrscreen.evaluate.weighted import weighted_auc
from cxrscreen.systems.bundle import StageCard
from cxrscreen.systems.cascade.cohort import NEW_DISEASE

TOLERATED = 0.01
"""Largest drop of the AUC on old images that counts as not having forgotten."""

OUTPUT_COLUMNS = (
    "image_id",
    "source",
    "group",
    "label",
    "part",
    "new",
    "pneumonia_before",
    "pneumonia_after",
    "covid19_before",
    "covid19_after",
)
"""Columns of a table of outputs: a row for each held-out image, logits before and after, NaN where not asked."""


@dataclass(frozen=True)
class Question:
    """A set of held-out images and a decision on them.

    Parameters
    ----------
    name
        Short name: ``"old"``, ``"old-disease"``, ``"new"``, ``"new-disease"``, ``"new-against-old"`` and so on.
    title
        In plain words.
    decision
        ``"pneumonia"`` or ``"covid19"``.
    caution
        What its figures must not be taken for; empty where there is nothing to add.
    """

    name: str
    title: str
    decision: str
    caution: str = ""


_SITES = (
    "Here the disease comes from the new site and its opposite from other hospitals: this also measures how well the "
    "hospitals are told apart."
)
FORGETTING = Question("old", "Old images: pneumonia of any type, against normal (D_o)", "pneumonia")
QUESTIONS = (
    FORGETTING,
    Question("old-disease", "Old images: COVID-19, against other pneumonia", "covid19"),
    Question("new", "New site alone: pneumonia of any type, against normal", "pneumonia"),
    Question("new-disease", "New site alone: COVID-19, against other pneumonia", "covid19"),
    Question("found-as-pneumonia", "New cases of COVID-19, against old normals", "pneumonia", _SITES),
    Question("told-apart", "New cases of COVID-19, against all other pneumonia", "covid19", _SITES),
)
"""What is asked of an adaptation, in the order of the report."""


@dataclass(frozen=True)
class Answer:
    """Figures on one set of images, before and after.

    Parameters
    ----------
    question
        What was asked.
    positives, negatives
        Images of each class.
    estimates
        By name. Where both classes are there: ``auc_before``, ``auc_after``, ``auc_change`` (after less before, on the
        same resamples), and where one of several sources holds both classes ``within_auc_before``, ``_after`` and
        ``_change``, the mean over ``sources``. Where a class is there: ``sensitivity`` or ``specificity`` with
        ``_before`` (bundle at its own operating point), ``_after_old_point`` (adapted, at the bundle's) and ``_after``
        (adapted, at its own).
    sources
        Those with at least `classification.MIN_PER_CLASS` images of either class.
    """

    question: Question
    positives: int
    negatives: int
    estimates: Mapping[str, Estimate]
    sources: tuple[str, ...]


def choose_points(outputs: pd.DataFrame, decision: str) -> StageCard:
    """Choose temperature and operating points of an adapted decision on the validation images, old and new.

    Parameters
    ----------
    outputs
        The columns of `OUTPUT_COLUMNS`.
    decision
        ``"pneumonia"`` or ``"covid19"``.

    Raises
    ------
    ManifestError
        If the validation images hold one class only.
    """
    rows = _rows(outputs[outputs["part"] == "validation"], decision)
    if rows["truth"].nunique() < 2:
        raise ManifestError(f"The validation images for {decision} are of one class only: add images of the other one.")
    named = rows["source"] + np.where(rows["new"], " (new)", "")
    counts = ", ".join(f"{source} {count}" for source, count in named.value_counts().sort_index().items())
    site = f"validation images of the adaptation, sources weighing the same: {counts}"
    run = Run("", len(rows), rows.assign(score=expit(rows["after"])), (), None)
    return stage_card(run, calibrate(run), RULES, site)


def before_and_after(
    outputs: pd.DataFrame,
    before: Mapping[str, StageCard],
    after: Mapping[str, StageCard],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[Answer, ...]:
    """Measure the test images before and after an adaptation.

    Parameters
    ----------
    outputs
        The columns of `OUTPUT_COLUMNS`; the validation images in it are not looked at.
    before, after
        Operating points of the bundle and of the adapted one, by decision.
    replicates, seed
        Of the bootstrap by patient group.

    Returns
    -------
    tuple of Answer
        Of the questions for which there is any image.
    """
    test = outputs[outputs["part"] == "test"]
    answers = []
    for question in QUESTIONS:
        rows = _rows(test[_asked(test, question.name)], question.decision)
        if len(rows):
            points = before[question.decision], after[question.decision]
            answers.append(_answer(question, rows, *points, replicates=replicates, seed=seed))
    return tuple(answers)


def _asked(rows: pd.DataFrame, question: str) -> "pd.Series[bool]":
    new, ill = rows["new"].astype(bool), rows["label"] == NEW_DISEASE
    chosen: dict[str, pd.Series[bool]] = {
        # D_o of the paper holds no COVID-19.
        "old": ~new & ~ill,
        "old-disease": ~new,
        "new": new,
        "new-disease": new,
        "found-as-pneumonia": (new & ill) | (~new & (rows["label"] == "normal")),
        "told-apart": (new & ill) | ~ill,
    }
    return chosen[question]


def _rows(outputs: pd.DataFrame, decision: str) -> pd.DataFrame:
    """The images that a decision is about, with ``truth``, and the logits ``before`` and ``after``."""
    if decision == "covid19":
        outputs = outputs[outputs["label"].isin(PNEUMONIA_LABELS)]
        truth = outputs["label"] == NEW_DISEASE
    else:
        truth = outputs["label"] != "normal"
    columns = {
        "truth": truth.astype(int),
        "before": outputs[f"{decision}_before"],
        "after": outputs[f"{decision}_after"],
    }
    return outputs.assign(**columns)


def _answer(
    question: Question, rows: pd.DataFrame, before: StageCard, after: StageCard, *, replicates: int, seed: int
) -> Answer:
    truth = rows["truth"].to_numpy(dtype=bool)
    groups, sources = rows["group"].astype(str).to_numpy(), rows["source"].to_numpy()
    logits = {when: rows[when].to_numpy(np.float64) for when in ("before", "after")}
    counts = rows.groupby("source")["truth"].agg(["sum", "size"])
    enough = counts[(counts["sum"] >= MIN_PER_CLASS) & (counts["size"] - counts["sum"] >= MIN_PER_CLASS)]
    averaged = tuple(str(source) for source in enough.index)
    estimates: dict[str, Estimate] = {}
    if 0 < truth.sum() < truth.size:
        members = [np.flatnonzero(sources == source) for source in averaged if len(counts) > 1]
        estimates |= bootstrap_all(
            lambda weights: _areas(truth, logits, weights, members), groups.tolist(), replicates=replicates, seed=seed
        )
    called = {
        "before": _called(logits["before"], before),
        "after_old_point": _called(logits["after"], before),
        "after": _called(logits["after"], after),
    }
    for name, rows_of, right in (("sensitivity", truth, True), ("specificity", ~truth, False)):
        if rows_of.any():
            estimates |= {
                f"{name}_{when}": grouped_rate(positive[rows_of] == right, groups[rows_of])
                for when, positive in called.items()
            }
    return Answer(question, int(truth.sum()), int((~truth).sum()), estimates, averaged)


def _areas(
    truth: NDArray[np.bool_], logits: Mapping[str, Floats], weights: Floats, members: list[NDArray[np.intp]]
) -> dict[str, Floats]:
    """AUCs before and after and their change, pooled and averaged within sources, on the same resamples."""
    result = {f"auc_{when}": weighted_auc(truth, values, weights) for when, values in logits.items()}
    if members:
        for when, values in logits.items():
            each = [weighted_auc(truth[m], values[m], weights[:, m]) for m in members]
            result[f"within_auc_{when}"] = np.mean(each, axis=0)
    for name in [name.removesuffix("_after") for name in result if name.endswith("_after")]:
        result[f"{name}_change"] = result[f"{name}_after"] - result[f"{name}_before"]
    return result


def _called(logits: Floats, stage: StageCard) -> NDArray[np.bool_]:
    positive: NDArray[np.bool_] = expit(logits / stage.temperature) >= stage.point().threshold
    return positive
