"""Net benefit by hand, its ends, its band by patient, and other prevalences."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cxrscreen.evaluate.decision_curve import THRESHOLDS, decision_curve, net_benefit
from cxrscreen.evaluate.metrics import confusion_counts

TRUTH = [1, 1, 0, 0, 0]
SCORES = [0.9, 0.4, 0.6, 0.3, 0.1]
GROUPS = list("abcde")


def test_net_benefit_of_a_hand_computed_example():
    curve = decision_curve(TRUTH, SCORES, GROUPS, thresholds=[0.05, 0.2, 0.5, 0.8, 0.95], replicates=50)
    # 0.05: all called. 0.2: 2 right, 2 wrong at odds 1/4. 0.5: 1 and 1. 0.8: 1 and 0. 0.95: nobody.
    expected = [(2 - 3 / 19) / 5, (2 - 2 / 4) / 5, (1 - 1) / 5, 1 / 5, 0.0]
    assert curve.net_benefit == pytest.approx(expected, abs=1e-12)
    assert curve.treat_all[1] == pytest.approx(0.4 - 0.6 / 4, abs=1e-12)
    assert curve.treat_all[0] == pytest.approx(curve.net_benefit[0], abs=1e-12)
    assert (curve.prevalence, curve.of_these_images) == (0.4, True)


def test_a_case_at_the_threshold_is_acted_on():
    assert decision_curve([1, 0], [0.5, 0.1], ["a", "b"], thresholds=[0.5], replicates=1).net_benefit == (0.5,)


@st.composite
def cases(draw):
    n = draw(st.integers(2, 30))
    truth = draw(hnp.arrays(np.bool_, n))
    assume(0 < truth.sum() < n)
    return truth, draw(hnp.arrays(np.int64, n, elements=st.integers(0, 10))) / 10


@given(cases(), st.integers(1, 99), st.integers(1, 99))
def test_net_benefit_is_that_of_the_counts_at_any_prevalence(case, percent, share):
    truth, scores = case
    threshold, prevalence = percent / 100, share / 100
    counts = confusion_counts(truth, scores, threshold)
    odds = threshold / (1 - threshold)
    own = net_benefit(truth, scores, np.array([threshold]))[0, 0]
    assert own == pytest.approx((counts.true_positive - odds * counts.false_positive) / counts.n, abs=1e-9)
    other = net_benefit(truth, scores, np.array([threshold]), prevalence=prevalence)[0, 0]
    expected = counts.sensitivity * prevalence - (1 - counts.specificity) * (1 - prevalence) * odds
    assert other == pytest.approx(expected, abs=1e-9)
    at_its_own = net_benefit(truth, scores, np.array([threshold]), prevalence=truth.mean())[0, 0]
    assert at_its_own == pytest.approx(own, abs=1e-9)
    assert own <= truth.mean() + 1e-12


def test_weights_repeat_cases():
    truth, scores = np.array(TRUTH, bool), np.array(SCORES)
    weights = np.array([[2.0, 0, 1, 3, 0], [1, 1, 1, 1, 1]])
    repeats = weights[0].astype(int)
    points = np.array(THRESHOLDS)
    both = net_benefit(truth, scores, points, weights)
    alone = net_benefit(np.repeat(truth, repeats), np.repeat(scores, repeats), points)
    assert both[0] == pytest.approx(alone[0], abs=1e-12)
    assert np.isnan(net_benefit(truth, scores, points, np.array([[1.0, 1, 0, 0, 0]]), prevalence=0.1)).all()


def test_the_band_is_by_patient():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.random(60) < 0.4, 4).astype(int)
    scores = np.clip(0.3 * truth + np.repeat(rng.uniform(0, 0.7, 60), 4), 0, 1)

    def band(groups):
        curve = decision_curve(truth, scores, groups, thresholds=[0.4], replicates=400)
        assert curve.low[0] < curve.net_benefit[0] < curve.high[0]
        return curve.high[0] - curve.low[0]

    assert band([str(i // 4) for i in range(240)]) > 1.5 * band([str(i) for i in range(240)])


@pytest.mark.parametrize(("thresholds", "prevalence"), [([0.0], None), ([1.0], None), ([0.5], 0.0), ([0.5], 1.0)])
def test_thresholds_and_prevalence_lie_inside_the_unit_interval(thresholds, prevalence):
    with pytest.raises(ValueError, match="in \\(0, 1\\)"):
        decision_curve(TRUTH, SCORES, GROUPS, thresholds=thresholds, prevalence=prevalence, replicates=10)
