"""Predictive values at other prevalences: a worked example, Bayes' rule, and the ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.prevalence import PREVALENCES, npv_at, ppv_at, prevalence_table


def rate(value, low=None, high=None):
    return Estimate(value, low, high, n=100, groups=80, method="given")


def test_a_worked_example_per_1000_persons():
    # 10 of 1000 are ill; 9 are found, 1 missed; of 990 healthy 99 are called.
    row = prevalence_table(rate(0.9, 0.8, 0.95), rate(0.9, 0.85, 0.93), [0.01])[0]
    assert (row.true_positive, row.false_negative) == (pytest.approx(9), pytest.approx(1))
    assert (row.false_positive, row.true_negative) == (pytest.approx(99), pytest.approx(891))
    assert row.ppv.value == pytest.approx(9 / 108, abs=1e-12)
    assert row.npv.value == pytest.approx(891 / 892, abs=1e-12)
    assert row.ppv.ci_low == pytest.approx(8 / (8 + 148.5), abs=1e-12)
    assert row.npv.ci_high == pytest.approx(0.93 * 990 / (0.93 * 990 + 0.5), abs=1e-12)
    assert [r.prevalence for r in prevalence_table(rate(0.9), rate(0.9))] == list(PREVALENCES)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.001, 0.999))
def test_counts_add_up_and_predictive_values_follow_from_them(sensitivity, specificity, prevalence):
    row = prevalence_table(rate(sensitivity), rate(specificity), [prevalence])[0]
    assert row.true_positive + row.false_positive + row.false_negative + row.true_negative == pytest.approx(1000)
    assert row.ppv.value == pytest.approx(row.true_positive / (row.true_positive + row.false_positive), abs=1e-9)
    assert row.npv.value == pytest.approx(row.true_negative / (row.true_negative + row.false_negative), abs=1e-9)
    assert row.ppv.ci_low is None
    assert row.npv.ci_high is None


def test_where_nobody_is_called_there_is_no_predictive_value():
    assert ppv_at(0.0, 1.0, 0.1) is None
    assert npv_at(1.0, 0.0, 0.1) is None
    row = prevalence_table(rate(0.0, 0.0, 0.1), rate(1.0, 0.9, 1.0), [0.1])[0]
    assert row.ppv.value is None
    assert row.ppv.ci_low is None
    assert row.npv.value == pytest.approx(0.9)


def test_what_cannot_be_carried_over_is_refused():
    with pytest.raises(ValueError, match="needs a sensitivity"):
        prevalence_table(rate(None), rate(0.9))
    with pytest.raises(ValueError, match="in \\(0, 1\\)"):
        prevalence_table(rate(0.9), rate(0.9), [1.0])
