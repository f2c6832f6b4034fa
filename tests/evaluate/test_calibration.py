"""Reliability by hand and against scikit-learn, temperature against a general optimiser, slope and intercept too."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from cxrscreen.evaluate.calibration import at_temperature, fit_temperature, logits_of, reliability_curve
from cxrscreen.evaluate.metrics import auc, expected_calibration_error
from cxrscreen.evaluate.weighted import weighted_calibration_intercept, weighted_calibration_slope


def drawn(n=300, seed=0, slope=0.5, intercept=0.4):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=n)
    return rng.random(n) < expit(slope * logits + intercept), logits


def test_reliability_of_a_hand_computed_example():
    curve = reliability_curve([0, 1, 1, 0, 1], [0.25, 0.29, 1.0, 0.9, 0.95], ["a", "b", "c", "d", "e"])
    assert len(curve) == 10
    low, high = curve[2], curve[9]
    assert (low.low, low.high, low.mean_probability) == (0.2, 0.3, pytest.approx(0.27))
    assert (low.positive_rate.value, low.positive_rate.n) == (0.5, 2)
    assert (high.mean_probability, high.positive_rate.value) == (pytest.approx(0.95), pytest.approx(2 / 3))
    assert curve[5].mean_probability is None
    assert curve[5].positive_rate.value is None
    assert low.positive_rate.ci_low < 0.5 < low.positive_rate.ci_high


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_reliability_is_that_of_scikit_learn_and_adds_up_to_the_calibration_error(seed, bins):
    truth, logits = drawn(60, seed)
    values = expit(logits)
    curve = [b for b in reliability_curve(truth, values, list("ab" * 30), bins=bins) if b.positive_rate.n]
    rate, mean = calibration_curve(truth, values, n_bins=bins)
    assert [b.positive_rate.value for b in curve] == pytest.approx(rate, abs=1e-9)
    assert [b.mean_probability for b in curve] == pytest.approx(mean, abs=1e-9)
    error = sum(b.positive_rate.n * abs(b.positive_rate.value - b.mean_probability) for b in curve) / 60
    assert error == pytest.approx(expected_calibration_error(truth, values, bins), abs=1e-9)


def test_calibration_error_equals_torchmetrics():
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.functional.classification")
    truth, logits = drawn()
    values = expit(logits)
    theirs = classification.binary_calibration_error(torch.tensor(values), torch.tensor(truth.astype(int)), n_bins=10)
    assert expected_calibration_error(truth, values) == pytest.approx(float(theirs), abs=1e-9)


@pytest.mark.parametrize("bad", [[0.5, 1.2], [-0.1, 0.2], [np.nan, 0.1]])
def test_reliability_refuses_what_is_no_probability(bad):
    with pytest.raises(ValueError, match="in \\[0, 1\\]|finite"):
        reliability_curve([0, 1], bad, ["a", "b"])


def test_temperature_of_a_hand_computed_example():
    # Three of four are right at a logit of +-2: sigmoid(2 / T) must be 3 / 4, so T = 2 / ln 3.
    fit = fit_temperature([1, 1, 1, 0], [2.0, 2.0, 2.0, 2.0])
    assert fit.found
    assert fit.value == pytest.approx(2 / math.log(3), abs=1e-9)
    assert fit.loss_before == pytest.approx((3 * math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 4, abs=1e-12)
    assert fit.loss_after == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_temperature_is_the_minimum_of_the_loss(weighted):
    truth, logits = drawn(400, 1)
    weights = np.random.default_rng(2).uniform(0.1, 3, 400) if weighted else None
    fit = fit_temperature(truth, logits, weights)
    share = np.ones(400) / 400 if weights is None else weights / weights.sum()

    def loss(log_t):
        return float(np.sum(share * np.logaddexp(0, np.where(truth, -1, 1) * logits / np.exp(log_t[0]))))

    best = minimize(loss, [0.0], method="BFGS", options={"gtol": 1e-10})
    assert fit.value == pytest.approx(float(np.exp(best.x[0])), rel=1e-6)
    assert fit.loss_after == pytest.approx(best.fun, abs=1e-9)
    assert fit.loss_after <= fit.loss_before == pytest.approx(loss([0.0]), abs=1e-12)
    # As a logistic regression without intercept, whose coefficient is 1 / T.
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=1000)
    model.fit(logits[:, None], truth, sample_weight=weights)
    assert 1 / fit.value == pytest.approx(model.coef_[0, 0], abs=1e-6)


@pytest.mark.parametrize("logits", [[-1.0, -2.0, 1.0, 2.0], [1.0, 2.0, -1.0, -2.0], [0.0, 0.0, 0.0, 0.0]])
def test_no_temperature_where_classes_are_separated_turned_round_or_not_ranked(logits):
    fit = fit_temperature([0, 0, 1, 1], logits)
    assert (fit.found, fit.value) == (False, 1.0)
    assert fit.loss_after == fit.loss_before


@given(st.floats(0.2, 5), st.integers(0, 100))
def test_a_temperature_keeps_the_order_and_is_undone_by_its_inverse(temperature, seed):
    truth, logits = drawn(40, seed)
    assume(0 < truth.sum() < 40)
    values = expit(np.clip(logits, -3, 3))
    scaled = at_temperature(values, temperature)
    assert auc(truth, np.round(logits_of(scaled), 9)) == pytest.approx(auc(truth, np.round(logits_of(values), 9)))
    assert at_temperature(scaled, 1 / temperature) == pytest.approx(values, abs=1e-5)


def test_probabilities_of_zero_and_one_have_finite_logits():
    logits = logits_of([0.0, 0.5, 1.0])
    assert np.isfinite(logits).all()
    assert logits[1] == 0
    assert logits[0] == pytest.approx(-logits[2])


def test_slope_and_intercept_are_those_of_a_logistic_regression_in_every_resample():
    truth, logits = drawn(250, 3)
    weights = np.random.default_rng(4).integers(0, 4, (5, 250)).astype(float)
    slopes = weighted_calibration_slope(truth, logits, weights)
    intercepts = weighted_calibration_intercept(truth, logits, weights)
    for row, slope, intercept in zip(weights, slopes, intercepts, strict=True):
        model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=2000).fit(logits[:, None], truth, sample_weight=row)
        assert slope == pytest.approx(model.coef_[0, 0], abs=1e-5)
        fitted = expit(slope * logits + _intercept_for(truth, slope * logits, row))
        # The score equations of the fit hold to rounding, which says more than another optimiser's tolerance.
        assert abs(np.sum(row * (truth - fitted) * logits)) < 1e-7
        assert np.sum(row * expit(intercept + logits)) == pytest.approx(np.sum(row * truth), abs=1e-7)


def _intercept_for(truth, logits, weights):
    return weighted_calibration_intercept(truth, logits, weights[None])[0]


def test_slope_and_intercept_by_hand():
    # Rates 1/4 at logit -a and 3/4 at +a: the slope is ln 3 / a, and nothing is off in the large.
    truth = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    logits = np.repeat([-2.0, 2.0], 4)
    assert weighted_calibration_slope(truth, logits, np.ones((1, 8)))[0] == pytest.approx(math.log(3) / 2, abs=1e-9)
    assert weighted_calibration_intercept(truth, logits, np.ones((1, 8)))[0] == pytest.approx(0, abs=1e-9)
    # All at probability 1/2 where 3 of 4 are positive: the logit is ln 3 too low.
    flat = weighted_calibration_intercept(np.array([1, 1, 1, 0], bool), np.zeros(4), np.ones((1, 4)))
    assert flat[0] == pytest.approx(math.log(3), abs=1e-9)


def test_slope_and_intercept_are_not_defined_without_both_classes_or_with_separated_ones():
    truth, logits = np.array([0, 0, 1, 1], bool), np.array([-2.0, -1.0, 1.0, 2.0])
    weights = np.array([[1.0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]])
    assert np.isnan(weighted_calibration_slope(truth, logits, weights)).all()
    assert np.isnan(weighted_calibration_slope(truth, np.ones(4), weights)).all()
    intercepts = weighted_calibration_intercept(truth, logits, weights)
    assert intercepts[0] == pytest.approx(0, abs=1e-9)
    assert np.isnan(intercepts[1:]).all()
