"""Section 4.2 beside Table 4: how often all three decisions of COMiT-Net are right at one half."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrscreen.evaluate.bootstrap import Estimate, bootstrap, grouped_rate
from cxrscreen.evaluate.classification import MIN_PER_CLASS
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.reproduce.comit_net import wording as say
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS
from cxrscreen.evaluate.reproduce.comit_net.paper import (
    COVID19_ACCURACY,
    COVID19_UNHEALTHY,
    HEALTH_ACCURACY,
    OTHER_ACCURACY,
)
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.paper import Printed
from cxrscreen.evaluate.reproduce.table import Part, as_printed, percent, recomputed
from cxrscreen.evaluate.screening_points import screening_points
from cxrscreen.evaluate.weighted import weighted_mean
from cxrscreen.systems.comit_net.labels import COVID19, OTHER, STAGES, UNHEALTHY

HALF = 0.5
"""The larger of two softmax outputs, or a sigmoid above its middle; no threshold is chosen."""
PRINTED = {UNHEALTHY: HEALTH_ACCURACY, COVID19: COVID19_ACCURACY, OTHER: OTHER_ACCURACY}
CALLED_SO = "COVID-19 images called unhealthy"
TITLE = "COMiT-Net's three decisions at one half (section 4.2)"


@dataclass(frozen=True)
class Decision:
    """One decision, a mean over trainings.

    Parameters
    ----------
    name
        Of :data:`~cxrscreen.systems.comit_net.labels.STAGES`.
    positives, negatives
        Images of the test part.
    accuracy
        On it: (TP + TN) / all, the paper's footnote 7.
    sensitivity, specificity
        Its two halves.
    within_accuracy, never_accuracy
        Mean within sources of the test part, and of those that trainings did without, as the columns' AUC; None where
        no source has enough images of either answer.
    auc, within_auc, never_auc
        Pooled; the mean within sources of the test part; within sources never trained on. None where not defined.
    """

    name: str
    positives: int
    negatives: int
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    within_accuracy: Estimate | None
    never_accuracy: Estimate | None
    auc: Estimate | None
    within_auc: Estimate | None
    never_auc: Estimate | None


def decisions(runs: ComitRuns) -> tuple[Decision, ...]:
    """Measure the three decisions; one of which a training says nothing, or that only one answer has, is left out."""
    found = []
    for name in STAGES:
        tests, never = runs.trainings(ALL_TASKS, "test", name), runs.left_out(ALL_TASKS, decision=name)
        if tests[0]["truth"].nunique() < 2:
            continue
        points = screening_points(tests)
        elsewhere = screening_points(never) if never and not never[0].empty else None
        found.append(
            Decision(
                name,
                points.positives,
                points.negatives,
                _right(tests),
                _right(tests, 1),
                _right(tests, 0),
                _right_within(tests),
                None if elsewhere is None else _right_within(never),
                points.pooled.get("auc"),
                points.within.get("auc"),
                None if elsewhere is None else elsewhere.within.get("auc"),
            )
        )
    return tuple(found)


def called_unhealthy(runs: ComitRuns) -> Estimate | None:
    """Share of the test part's COVID-19 images that are called unhealthy; None where the training does not say it."""
    tests = [table[table["label"] == "covid19"] for table in runs.trainings(ALL_TASKS, "test", UNHEALTHY)]
    return None if tests[0].empty else _right(tests, 1)


def decisions_part(found: Sequence[Decision], unhealthy: Estimate | None) -> Part:
    """Lay the decisions out as a grid beside the paper's figures."""
    rows = []
    for each in found:
        counts = f"{each.positives} / {each.negatives}"
        rows += [
            _row(
                each.name,
                "Accuracy",
                PRINTED[each.name],
                each.accuracy,
                each.within_accuracy,
                each.never_accuracy,
                counts,
            ),
            _row(each.name, "Sensitivity", None, each.sensitivity, None, None, counts),
            _row(each.name, "Specificity", None, each.specificity, None, None, counts),
            _row(each.name, "AUC", None, each.auc, each.within_auc, each.never_auc, counts),
        ]
    if unhealthy is not None:
        rows.append(_row(UNHEALTHY, CALLED_SO, COVID19_UNHEALTHY, unhealthy, None, None, f"{unhealthy.n} / 0"))
    return Part(TITLE, ("Decision", *say.HEAD, "n+ / n-"), tuple(rows))


def misprints() -> tuple[str, ...]:
    """What is wrong or unclear in these figures of the paper."""
    figures = {**{STAGES[name]: printed for name, printed in PRINTED.items()}, CALLED_SO: COVID19_UNHEALTHY}
    return tuple(f"{word}: {printed.remark}." for word, printed in figures.items() if printed.remark)


def _row(
    name: str,
    figure: str,
    printed: Printed | None,
    pooled: Estimate | None,
    within: Estimate | None,
    never: Estimate | None,
    counts: str,
) -> tuple[str, ...]:
    ours = (percent(pooled), percent(within), percent(never))
    return (STAGES[name], figure, as_printed(printed), recomputed(printed), *ours, counts)


def _right(trainings: Sequence[pd.DataFrame], truth: int | None = None) -> Estimate:
    """How often the call is right, of all images or of those of one truth."""
    own = [table if truth is None else table[table["truth"] == truth] for table in trainings]
    right = np.mean([(table["score"] >= HALF) == (table["truth"] == 1) for table in own], axis=0)
    return grouped_rate(right, own[0]["group"])


def _right_within(trainings: Sequence[pd.DataFrame]) -> Estimate | None:
    """How often the call is right, as the mean over the sources with enough images of either answer."""
    own = trainings[0]
    right = np.mean([(table["score"] >= HALF) == (table["truth"] == 1) for table in trainings], axis=0)
    counts = own.groupby("source")["truth"].agg(positives="sum", images="count")
    fewest = np.minimum(counts["positives"], counts["images"] - counts["positives"])
    members = [(own["source"] == source).to_numpy(np.float64) for source in counts.index[fewest >= MIN_PER_CLASS]]
    if not members:
        return None

    def mean(weights: Floats) -> Floats:
        return np.asarray(np.mean([weighted_mean(right, weights * member) for member in members], axis=0), np.float64)

    return bootstrap(mean, own["group"].astype(str).tolist())
