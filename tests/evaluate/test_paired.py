"""Differences of two lists: of their own figures, paired by patient, and refused where the lists do not match."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss, roc_auc_score

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.classification import evaluate_scores
from cxrscreen.evaluate.delong import delong_difference, delong_p_value
from cxrscreen.evaluate.metrics import confusion_counts
from cxrscreen.evaluate.paired import compare_scores


def lists(n=200, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    logits = 1.2 * (2 * truth - 1) + 1.5 * rng.normal(size=n)
    first = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(n)],
            "source": np.where(np.arange(n) < n / 2, "east", "west"),
            "group": [f"g{i // 2}" for i in range(n)],
            "truth": truth,
            "score": expit(logits),
        }
    )
    second = first.assign(score=expit(logits + 0.8 * rng.normal(size=n)))
    return first, second


def test_differences_are_those_of_the_figures_of_each_list():
    first, second = lists()
    shuffled = second.sample(frac=1, random_state=0)
    compared = compare_scores(first, shuffled, (0.5, 0.4), replicates=200)
    areas = [roc_auc_score(rows["truth"], rows["score"]) for rows in (first, second)]
    assert compared.differences["auc"].value == pytest.approx(areas[1] - areas[0], abs=1e-9)
    assert (compared.first["auc"], compared.second["auc"]) == pytest.approx(areas, abs=1e-9)
    east = [roc_auc_score(rows["truth"][:100], rows["score"][:100]) for rows in (first, second)]
    assert compared.differences["auc within east"].value == pytest.approx(east[1] - east[0], abs=1e-9)
    errors = [brier_score_loss(rows["truth"], rows["score"]) for rows in (first, second)]
    assert compared.differences["brier"].value == pytest.approx(errors[1] - errors[0], abs=1e-9)
    counts = [confusion_counts(r["truth"], r["score"], t) for r, t in ((first, 0.5), (second, 0.4))]
    for rate in ("sensitivity", "specificity"):
        expected = getattr(counts[1], rate) - getattr(counts[0], rate)
        assert compared.differences[rate].value == pytest.approx(expected, abs=1e-9)
    own = [evaluate_scores(rows, replicates=100).pooled.estimates for rows in (first, second)]
    for name in ("sensitivity_at_specificity_0.99", "specificity_at_sensitivity_0.90", "equal_error_rate"):
        assert compared.differences[name].value == pytest.approx(own[1][name].value - own[0][name].value, abs=1e-9)
    assert (compared.n, compared.groups) == (200, 100)


def test_delong_is_paired_and_its_test_agrees_with_its_interval():
    first, second = lists()
    compared = compare_scores(first, second, replicates=100)
    difference, low, high = delong_difference(first["truth"], second["score"], first["score"])
    estimate = compared.differences["auc_delong"]
    assert (estimate.value, estimate.ci_low, estimate.ci_high) == pytest.approx((difference, low, high), abs=1e-12)
    p_value = delong_p_value(first["truth"], second["score"], first["score"])
    assert compared.delong_p == p_value
    # At the level 1 - p an end of the interval is 0.
    ends = delong_difference(first["truth"], second["score"], first["score"], level=1 - p_value)[1:]
    assert min(abs(end) for end in ends) < 1e-9


def test_a_paired_interval_is_narrower_than_one_of_two_separate_draws():
    first, second = lists()
    paired = compare_scores(first, second, replicates=400).differences["auc"]
    areas = [evaluate_scores(rows, replicates=400).pooled.estimates["auc"] for rows in (first, second)]
    separate = np.hypot(*[area.ci_high - area.ci_low for area in areas])
    assert paired.ci_low < paired.value < paired.ci_high
    assert paired.ci_high - paired.ci_low < 0.8 * separate


def test_resamples_draw_patients():
    first, second = lists()
    twice = [pd.concat([rows, rows.assign(image_id=rows["image_id"] + "copy")]) for rows in (first, second)]
    by_patient = compare_scores(*twice, replicates=400).differences["auc"]
    alone = [rows.assign(group=rows["image_id"]) for rows in twice]
    by_image = compare_scores(*alone, replicates=400).differences["auc"]
    assert by_patient.ci_high - by_patient.ci_low > 1.2 * (by_image.ci_high - by_image.ci_low)


def test_a_list_against_itself_differs_by_nothing():
    first, _ = lists()
    compared = compare_scores(first, first, replicates=100)
    assert {estimate.value for estimate in compared.differences.values()} == {0.0}
    assert compared.delong_p == 1.0


def test_separated_lists_have_a_p_value():
    assert delong_p_value([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.8, 0.9, 0.1, 0.2]) == 0.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.iloc[1:], "share 199 images of 200 and 199"),
        (lambda t: t.assign(image_id="x" + t["image_id"]), "share 0 images"),
        (lambda t: t.assign(truth=1 - t["truth"]), "disagree on the truth of 200"),
        (lambda t: t.drop(columns="score"), "lack the column"),
    ],
)
def test_lists_that_do_not_match_are_refused(change, reason):
    first, second = lists()
    with pytest.raises(ManifestError, match=reason):
        compare_scores(first, change(second), replicates=10)
