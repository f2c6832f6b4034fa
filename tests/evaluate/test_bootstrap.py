"""Resampling of groups: width, seed, degenerate draws, and the Wilson interval that knows of groups."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.evaluate.bootstrap import bootstrap, grouped_rate
from cxrscreen.evaluate.metrics import auc, wilson_interval
from cxrscreen.evaluate.weighted import weighted_auc, weighted_mean


def scored_patients(copies, seed=3, patients=40):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(patients) % 2 == 0, copies)
    scores = np.repeat(rng.normal(size=patients) + (np.arange(patients) % 2 == 0), copies)
    return truth, scores, [f"patient {i}" for i in np.repeat(np.arange(patients), copies)]


def width(estimate):
    return estimate.ci_high - estimate.ci_low


def test_copies_of_patients_add_no_evidence():
    truth, scores, groups = scored_patients(copies=6)
    statistic = partial(weighted_auc, truth, scores)
    by_patient = bootstrap(statistic, groups, seed=1)
    by_image = bootstrap(statistic, [str(i) for i in range(len(groups))], seed=1)
    assert by_patient.groups == 40
    assert by_image.groups == by_patient.n == 240
    # Six copies of everybody narrow an image bootstrap by the root of six, and a patient bootstrap not at all.
    assert width(by_patient) > 2 * width(by_image)
    once = scored_patients(copies=1)
    assert width(by_patient) == pytest.approx(width(bootstrap(partial(weighted_auc, *once[:2]), once[2], seed=1)))


def test_interval_holds_the_figure_and_follows_the_seed():
    truth, scores, groups = scored_patients(copies=2)
    statistic = partial(weighted_auc, truth, scores)
    first, again, other = (bootstrap(statistic, groups, replicates=400, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert (first.ci_low, first.ci_high) != (other.ci_low, other.ci_high)
    assert first.value == pytest.approx(auc(truth, scores), abs=1e-12)
    assert first.ci_low < first.value < first.ci_high


def test_interval_of_a_mean_agrees_with_the_normal_one():
    values = np.random.default_rng(0).normal(size=400)
    estimate = bootstrap(partial(weighted_mean, values), [str(i) for i in range(400)], seed=2)
    half = 1.96 * values.std() / 20
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_degenerate_resamples_are_counted_and_left_out():
    # One positive group among ten: it is missing from (9/10)^10 = 35 % of the resamples.
    truth = np.array([True] + [False] * 9)
    estimate = bootstrap(partial(weighted_auc, truth, np.linspace(1, 0, 10)), [str(i) for i in range(10)])
    assert estimate.degenerate / estimate.replicates == pytest.approx(0.9**10, abs=0.04)
    assert (estimate.ci_low, estimate.ci_high) == (1.0, 1.0)


def test_no_interval_where_most_resamples_are_degenerate():
    truth = np.array([True, False])
    estimate = bootstrap(partial(weighted_auc, truth, np.array([0.9, 0.1])), ["one patient", "one patient"])
    assert estimate.degenerate == 0
    undefined = bootstrap(lambda weights: np.full(len(weights), np.nan), ["a", "b"], replicates=200)
    assert (undefined.value, undefined.ci_low, undefined.ci_high) == (None, None, None)
    assert undefined.degenerate == 200


@pytest.mark.parametrize(("groups", "replicates"), [([], 10), (["a"], 0)])
def test_bootstrap_needs_images_and_replicates(groups, replicates):
    with pytest.raises(ValueError, match="at least one"):
        bootstrap(partial(weighted_mean, np.ones(len(groups))), groups, replicates=replicates)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_rate_of_single_images_is_the_plain_wilson_interval(events):
    estimate = grouped_rate(events, [str(i) for i in range(len(events))])
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx(wilson_interval(sum(events), len(events)), abs=1e-9)


def test_rate_of_copied_patients_is_that_of_the_patients():
    events = [True] * 6 + [False] * 4
    copied = grouped_rate(np.repeat(events, 5), np.repeat(np.arange(10), 5))
    once = grouped_rate(events, range(10))
    assert (copied.n, copied.groups) == (50, 10)
    assert (copied.ci_low, copied.ci_high) == pytest.approx((once.ci_low, once.ci_high), abs=1e-9)
    all_right = grouped_rate([True] * 50, np.repeat(np.arange(10), 5))
    assert (all_right.ci_low, all_right.ci_high) == pytest.approx(wilson_interval(10, 10))


@pytest.mark.parametrize("right", [0, 1, 10, 20])
def test_many_images_of_one_patient_are_one_patient(right):
    estimate = grouped_rate([True] * right + [False] * (20 - right), ["one"] * 20)
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx(wilson_interval(right / 20, 1))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_rate_interval_holds_the_rate_and_is_never_narrower_than_wilson(cases):
    events, groups = [event for event, _ in cases], [str(group) for _, group in cases]
    estimate = grouped_rate(events, groups)
    low, high = wilson_interval(sum(events), len(events))
    assert 0 <= estimate.ci_low <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= estimate.ci_high <= 1
    assert estimate.ci_high - estimate.ci_low >= high - low - 1e-9


def test_rate_of_nothing_is_not_defined():
    estimate = grouped_rate([], [])
    assert (estimate.value, estimate.ci_low, estimate.n) == (None, None, 0)
