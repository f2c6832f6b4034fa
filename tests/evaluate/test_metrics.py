"""Figures against scikit-learn, hand-computed examples and properties."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from cxrscreen.evaluate.metrics import (
    ConfusionCounts,
    auc,
    brier_score,
    choose_operating_point,
    confusion_counts,
    equal_error_rate,
    expected_calibration_error,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
    wilson_interval,
)

HAND_TRUTH = [1, 1, 1, 0, 0, 0, 0]
HAND_SCORES = [0.9, 0.6, 0.4, 0.6, 0.3, 0.2, 0.1]


@st.composite
def labelled_scores(draw, levels=8):
    """Truth with both classes and scores on a coarse grid, so that ties are common."""
    n = draw(st.integers(2, 40))
    truth = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)))
    assume(0 < truth.sum() < n)
    return truth, draw(hnp.arrays(np.int64, n, elements=st.integers(0, levels))) / levels


def test_auc_of_the_hand_computed_example():
    # Pairs won: 0.9 wins 4; 0.6 wins 3 and ties 1; 0.4 wins 3. (4 + 3.5 + 3) / 12.
    assert auc(HAND_TRUTH, HAND_SCORES) == pytest.approx(10.5 / 12, abs=1e-15)


@given(labelled_scores())
def test_auc_equals_scikit_learn(case):
    assert auc(*case) == pytest.approx(roc_auc_score(*case), abs=1e-9)


@given(labelled_scores())
def test_auc_does_not_change_under_a_growing_transform_and_turns_round_under_a_flip(case):
    truth, scores = case
    assert auc(truth, np.exp(3 * scores) + 7) == pytest.approx(auc(truth, scores), abs=1e-12)
    assert auc(truth, 1 - scores) == pytest.approx(1 - auc(truth, scores), abs=1e-12)
    assert auc(1 - truth, scores) == pytest.approx(1 - auc(truth, scores), abs=1e-12)


@given(labelled_scores(), st.floats(0, 1))
def test_rates_equal_scikit_learn(case, threshold):
    truth, scores = case
    counts = confusion_counts(truth, scores, threshold)
    called = (scores >= threshold).astype(int)
    assert counts.n == truth.size
    assert counts.sensitivity == pytest.approx(recall_score(truth, called), abs=1e-9)
    assert counts.specificity == pytest.approx(recall_score(truth, called, pos_label=0), abs=1e-9)
    assert counts.accuracy == pytest.approx(accuracy_score(truth, called), abs=1e-9)
    assert counts.f1 == pytest.approx(f1_score(truth, called), abs=1e-9)
    if called.any():
        assert counts.precision == pytest.approx(precision_score(truth, called), abs=1e-9)
    else:
        assert math.isnan(counts.precision)
    if not called.all():
        assert counts.npv == pytest.approx(precision_score(truth, called, pos_label=0), abs=1e-9)


def test_rates_of_a_published_table():
    # Oh et al. and COVID-CXNet print their counts: 641 / 4 / 3 / 78 gives 719 of 726 and 78 of 81.
    counts = ConfusionCounts(true_positive=78, false_positive=4, false_negative=3, true_negative=641)
    assert counts.accuracy == pytest.approx(719 / 726)
    assert counts.sensitivity == pytest.approx(78 / 81)
    assert counts.f1 == pytest.approx(156 / 163)


def test_a_score_at_the_threshold_is_positive():
    assert confusion_counts([1, 0], [0.5, 0.5], 0.5) == ConfusionCounts(1, 1, 0, 0)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(20, 21, 0.77, 0.99), (5, 5, 0.57, 1.00), (12, 16, 0.51, 0.90), (45, 55, 0.70, 0.90), (0, 10, 0.0, 0.2775)],
)
def test_wilson_interval_of_known_counts(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=6e-3)


@given(st.integers(1, 5000), st.data())
def test_wilson_interval_lies_in_the_unit_interval_and_holds_the_rate(n, data):
    successes = data.draw(st.integers(0, n))
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n + 1e-12
    assert successes / n - 1e-12 <= high <= 1
    assert low < high


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 3), (4, 3)])
def test_wilson_interval_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match="successes must lie"):
        wilson_interval(successes, n)


def test_fixed_specificity_and_sensitivity_of_the_hand_computed_example():
    assert sensitivity_at_specificity(HAND_TRUTH, HAND_SCORES, 0.75) == pytest.approx(1.0)
    assert sensitivity_at_specificity(HAND_TRUTH, HAND_SCORES, 0.76) == pytest.approx(1 / 3)
    assert specificity_at_sensitivity(HAND_TRUTH, HAND_SCORES, 0.9) == pytest.approx(0.75)
    assert specificity_at_sensitivity(HAND_TRUTH, HAND_SCORES, 0.3) == pytest.approx(1.0)


@given(labelled_scores(), st.integers(0, 100))
def test_fixed_points_are_the_best_of_all_thresholds(case, percent):
    truth, scores = case
    target = percent / 100 - 1e-12
    counts = [confusion_counts(truth, scores, t) for t in (*np.unique(scores), 2.0)]
    sensitivities = [c.sensitivity for c in counts if c.specificity >= target]
    specificities = [c.specificity for c in counts if c.sensitivity >= target]
    assert sensitivity_at_specificity(truth, scores, target) == pytest.approx(max(sensitivities), abs=1e-9)
    assert specificity_at_sensitivity(truth, scores, target) == pytest.approx(max(specificities), abs=1e-9)


@pytest.mark.parametrize(
    ("truth", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 0.0),
        ([0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2], 1.0),
        ([0, 1], [0.5, 0.5], 0.5),
        # The curve goes (0, 1/3), (1/4, 2/3), (1/4, 1): the middle piece never meets 1 - x, the upright one does.
        (HAND_TRUTH, HAND_SCORES, 0.25),
    ],
)
def test_equal_error_rate(truth, scores, expected):
    assert equal_error_rate(truth, scores) == pytest.approx(expected, abs=1e-12)


@given(labelled_scores())
def test_brier_score_equals_scikit_learn(case):
    assert brier_score(*case) == pytest.approx(brier_score_loss(*case), abs=1e-9)


def test_calibration_error_of_a_hand_computed_example():
    # Bin 0.2-0.3: mean 0.25, rate 1/2, two cases; bin 0.9-1.0 with 1.0: mean 0.95, rate 1/2, two cases.
    error = expected_calibration_error([0, 1, 1, 0], [0.25, 0.25, 1.0, 0.9])
    assert error == pytest.approx(0.5 * 0.25 + 0.5 * 0.45)


@given(labelled_scores())
def test_calibration_error_is_bounded_by_its_one_bin_and_by_one(case):
    truth, scores = case
    assert abs(scores.mean() - truth.mean()) - 1e-12 <= expected_calibration_error(truth, scores) <= 1


@given(labelled_scores())
def test_youden_reaches_the_largest_index(case):
    truth, scores = case
    point = choose_operating_point(truth, scores, "youden")
    chosen = confusion_counts(truth, scores, point.threshold)
    every = [confusion_counts(truth, scores, t) for t in (*np.unique(scores), 2.0)]
    largest = max(c.sensitivity + c.specificity for c in every)
    assert 0 <= point.threshold <= 1
    if largest > 1 + 1e-9:
        assert chosen.sensitivity + chosen.specificity == pytest.approx(largest, abs=1e-9)


@given(labelled_scores(), st.sampled_from(["0.5", "0.8", "0.9", "0.95", "1.0"]))
def test_target_sensitivity_is_kept_at_the_best_specificity(case, target):
    truth, scores = case
    point = choose_operating_point(truth, scores, f"sensitivity>={target}")
    counts = confusion_counts(truth, scores, point.threshold)
    assert counts.sensitivity >= float(target) - 1e-9
    assert counts.specificity == pytest.approx(specificity_at_sensitivity(truth, scores, float(target)), abs=1e-9)
    assert point.name == f"sensitivity-{target}"


@given(labelled_scores(), st.sampled_from(["0.5", "0.8", "0.9", "0.95", "1.0"]))
def test_target_specificity_is_kept_at_the_best_sensitivity(case, target):
    truth, scores = case
    scores = 0.99 * scores
    point = choose_operating_point(truth, scores, f"specificity>={target}")
    counts = confusion_counts(truth, scores, point.threshold)
    assert counts.specificity >= float(target) - 1e-9
    assert counts.sensitivity == pytest.approx(sensitivity_at_specificity(truth, scores, float(target)), abs=1e-9)


def test_operating_point_lies_half_way_to_the_next_score():
    point = choose_operating_point([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert point.threshold == pytest.approx(0.5)


def test_a_specificity_that_no_threshold_keeps_gives_the_nearest_and_says_so():
    point = choose_operating_point([0, 1, 0, 1], [1.0, 0.5, 0.2, 1.0], "specificity>=0.9")
    assert not point.reached
    assert (point.threshold, point.sensitivity, point.specificity) == (0.75, 0.5, 0.5)
    assert choose_operating_point([0, 1, 0, 1], [1.0, 0.5, 0.2, 1.0], "specificity>=0.5").reached


@given(labelled_scores(), st.sampled_from(["youden", "sensitivity>=0.9", "specificity>=0.9", "specificity>=1"]))
def test_an_operating_point_states_what_it_reaches_also_where_scores_are_one(case, rule):
    truth, scores = case
    point = choose_operating_point(truth, scores, rule)
    counts = confusion_counts(truth, scores, point.threshold)
    assert 0 <= point.threshold <= 1
    assert counts.sensitivity == pytest.approx(point.sensitivity, abs=1e-9)
    assert counts.specificity == pytest.approx(point.specificity, abs=1e-9)
    if rule != "youden":
        rate, _, target = rule.partition(">=")
        assert point.reached == (getattr(counts, rate) >= float(target) - 1e-12)


@pytest.mark.parametrize("rule", ["best", "sensitivity>=2", "specificity"])
def test_operating_point_refuses_an_unknown_rule(rule):
    with pytest.raises(ValueError, match="rule must be"):
        choose_operating_point(HAND_TRUTH, HAND_SCORES, rule)


@pytest.mark.parametrize(
    ("truth", "scores", "reason"),
    [
        ([1, 0], [0.1], "one length"),
        ([1, 0], [0.1, np.nan], "finite"),
        ([1, 2], [0.1, 0.2], "0 and 1 only"),
        ([1, 1], [0.1, 0.2], "both classes"),
        ([], [], "one length"),
    ],
)
def test_auc_refuses_impossible_input(truth, scores, reason):
    with pytest.raises(ValueError, match=reason):
        auc(truth, scores)


@settings(max_examples=20)
@given(st.floats(1.0001, 5))
def test_brier_score_refuses_what_is_no_probability(value):
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        brier_score([0, 1], [0.5, value])


def test_weights_count_in_sensitivity_and_specificity():
    truth = [0, 0, 0, 1, 1, 1]
    scores = [0.1, 0.2, 0.6, 0.4, 0.7, 0.8]
    # Unweighted, 0.4 misses nobody at one false alarm in three; made heavy, that false alarm is not worth it.
    assert choose_operating_point(truth, scores).threshold == pytest.approx(0.3)
    heavy = choose_operating_point(truth, scores, weights=[1, 1, 4, 1, 1, 1])
    assert heavy.threshold == pytest.approx(0.65)
