"""Pooled and within-source figures: the confounded case, the one-class sources, and refused input."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.classification import evaluate_scores


def scored(spec, seed=0):
    """Rows from (source, truth, n, centre of the scores); two images a patient."""
    rng = np.random.default_rng(seed)
    rows = []
    for source, truth, n, centre in spec:
        for i in range(n):
            score = float(np.clip(centre + 0.08 * rng.normal(), 0, 1))
            rows.append(
                (
                    f"{source}/{truth}/{i}",
                    source,
                    f"{source}{truth}p{i // 2}",
                    "covid19" if truth else "normal",
                    truth,
                    score,
                )
            )
    return pd.DataFrame(rows, columns=["image_id", "source", "group", "label", "truth", "score"])


CONFOUNDED = [
    ("east", 1, 30, 0.8),
    ("east", 0, 6, 0.8),
    ("west", 0, 30, 0.2),
    ("west", 1, 6, 0.2),
    ("north", 1, 20, 0.8),
]


def test_a_system_that_knows_the_source_alone_is_good_pooled_and_useless_within():
    scores = scored(CONFOUNDED)
    result = evaluate_scores(scores, 0.5, replicates=300)
    assert result.pooled.estimates["auc"].value > 0.85
    assert result.mean_within_source_auc.ci_low < 0.5 < result.mean_within_source_auc.ci_high
    assert result.mean_sources == ("east", "west")
    assert set(result.within) == {"east", "west"}


def test_figures_are_those_of_scikit_learn_and_hand_counts():
    scores = scored(CONFOUNDED)
    result = evaluate_scores(scores, 0.5, replicates=200)
    areas = [
        roc_auc_score(rows["truth"], rows["score"])
        for _, rows in scores.groupby("source")
        if rows["truth"].nunique() > 1
    ]
    assert result.mean_within_source_auc.value == pytest.approx(np.mean(areas), abs=1e-9)
    assert result.pooled.estimates["auc"].value == pytest.approx(
        roc_auc_score(scores["truth"], scores["score"]), abs=1e-9
    )
    called = scores["score"] >= 0.5
    east = result.within["east"]
    assert (east.positives, east.negatives) == (30, 6)
    assert east.counts.true_positive == (called & (scores["source"] == "east") & (scores["truth"] == 1)).sum()
    assert result.pooled.estimates["sensitivity"].value == pytest.approx(called[scores["truth"] == 1].mean())
    assert result.pooled.estimates["specificity"].value == pytest.approx((~called)[scores["truth"] == 0].mean())
    assert result.pooled.estimates["sensitivity"].n == 56
    assert result.pooled.estimates["sensitivity"].groups == 28
    assert result.pooled.estimates["auc_delong"].value == pytest.approx(result.pooled.estimates["auc"].value, abs=1e-9)


def test_a_source_with_one_class_shows_its_positive_rate_and_no_auc():
    result = evaluate_scores(scored(CONFOUNDED), 0.5, replicates=100)
    assert list(result.one_class) == ["north"]
    north = result.one_class["north"]
    assert (north.truth, north.n) == (1, 20)
    assert north.positive_rate.value == 1.0
    assert north.positive_rate.ci_low == pytest.approx(0.7225, abs=1e-3)  # Wilson for 10 of 10 patients.


def test_a_source_with_too_few_of_a_class_stays_out_of_the_mean():
    result = evaluate_scores(scored([*CONFOUNDED, ("south", 1, 4, 0.9), ("south", 0, 20, 0.1)]), replicates=100)
    assert "south" in result.within
    assert result.mean_sources == ("east", "west")
    lone = evaluate_scores(scored([("south", 1, 4, 0.9), ("south", 0, 20, 0.1)]), replicates=100)
    assert lone.mean_within_source_auc is None


def test_without_a_threshold_there_are_no_rates():
    result = evaluate_scores(scored(CONFOUNDED), replicates=100)
    assert result.pooled.counts is None
    assert "sensitivity" not in result.pooled.estimates
    assert result.one_class["north"].positive_rate is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns="group"), "lack the column\\(s\\) group"),
        (lambda t: t.iloc[:0], "no row"),
        (lambda t: t.assign(score=t["score"].where(t.index != 3)), "hold no score, the first is east/1/3"),
        (lambda t: t.assign(score=t["score"] + 1), "outside \\[0, 1\\]"),
        (lambda t: t.assign(score="high"), "hold no score"),
        (lambda t: t.assign(truth=t["truth"] + 1), "a truth other than"),
        (lambda t: t.assign(label="healthy"), "an unknown label"),
        (lambda t: t.assign(label="unknown"), "an unknown label"),
        (lambda t: t.assign(source=" "), "no source or no group"),
        (lambda t: t.assign(image_id="same"), "a second time"),
        (lambda t: t[t["truth"] == 1], "All 56 scored images are positive"),
    ],
)
def test_input_that_cannot_be_measured_is_refused_in_one_sentence(change, reason):
    with pytest.raises(ManifestError, match=reason) as caught:
        evaluate_scores(change(scored(CONFOUNDED)), 0.5)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
