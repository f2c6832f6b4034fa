"""A whole-number weight counts a case that many times: the weighted figures equal the plain ones on repeated cases."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cxrscreen.evaluate import metrics
from cxrscreen.evaluate.weighted import (
    equal_error_rate_of,
    sensitivity_of,
    specificity_of,
    weighted_auc,
    weighted_calibration_error,
    weighted_f1,
    weighted_mean,
    weighted_roc,
)


@st.composite
def weighted_cases(draw):
    n = draw(st.integers(2, 25))
    truth = draw(hnp.arrays(np.bool_, n))
    scores = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 6))) / 6
    weights = draw(hnp.arrays(np.int64, (3, n), elements=st.integers(0, 3)))
    assume(all((row[truth].sum() > 0) and (row[~truth].sum() > 0) for row in weights))
    return truth, scores, weights


@given(weighted_cases())
def test_weighted_figures_equal_the_figures_of_repeated_cases(case):
    truth, scores, weights = case
    as_float = weights.astype(float)
    curves = weighted_roc(truth, scores, as_float)
    pairs = [
        (weighted_auc(truth, scores, as_float), metrics.auc),
        (sensitivity_of(curves, 0.8), lambda t, s: metrics.sensitivity_at_specificity(t, s, 0.8)),
        (specificity_of(curves, 0.8), lambda t, s: metrics.specificity_at_sensitivity(t, s, 0.8)),
        (equal_error_rate_of(curves), metrics.equal_error_rate),
        (weighted_mean((scores - truth) ** 2, as_float), metrics.brier_score),
        (weighted_calibration_error(truth, scores, as_float), metrics.expected_calibration_error),
        (weighted_f1(truth, scores >= 0.5, as_float), lambda t, s: metrics.confusion_counts(t, s, 0.5).f1),
    ]
    for values, plain in pairs:
        expected = [plain(np.repeat(truth, row), np.repeat(scores, row)) for row in weights]
        assert values == pytest.approx(expected, abs=1e-9)


def test_a_resample_without_a_class_is_not_a_number():
    truth, scores = np.array([True, False]), np.array([0.8, 0.2])
    weights = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    curves = weighted_roc(truth, scores, weights)
    for values in (
        weighted_auc(truth, scores, weights),
        sensitivity_of(curves, 0.9),
        specificity_of(curves, 0.9),
        equal_error_rate_of(curves),
    ):
        assert np.isfinite(values).tolist() == [False, False, True]
