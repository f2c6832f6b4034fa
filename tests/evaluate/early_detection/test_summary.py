"""Lead times of constructed cases, worked out by hand, and what must hold for any."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.evaluate.early_detection.summary import (
    false_call_rate,
    false_calls,
    median_of,
    summarise_first_calls,
    summarise_leads,
)
from cxrscreen.evaluate.early_detection.tables import Calls
from cxrscreen.evaluate.early_detection.timelines import Patient, before_confirmation, since_reference

PATIENTS = (
    Patient(1, (("a2", 108), ("a1", 104)), onset=103, confirmed=110),
    Patient(2, (("b1", 5), ("b2", 9)), confirmed=10),
    Patient(3, (("c1", -50), ("c2", -3)), onset=-9, confirmed=0),
    Patient(4, (("d1", 3),), onset=-2, confirmed=0),
    Patient(5, (("e1", 3),), onset=1),
    Patient(6, (("f1", 3),), confirmed=3),
)
CALLED = {"a1": True, "a2": True, "b1": False, "b2": True, "c1": True, "c2": False, "d1": True, "e1": True}

days = st.integers(-20, 20)
cases = st.lists(
    st.tuples(st.lists(st.tuples(days, st.booleans()), min_size=1, max_size=5), days, st.none() | days),
    min_size=1,
    max_size=15,
)


def lines_of(drawn, shift=0):
    patients, called = [], {}
    for number, (images, confirmed, onset) in enumerate(drawn, start=1):
        names = [f"{number}-{i}" for i in range(len(images))]
        called |= {name: flag for name, (_, flag) in zip(names, images, strict=True)}
        dated = tuple((name, day + shift) for name, (day, _) in zip(names, images, strict=True))
        patients.append(Patient(number, dated, None if onset is None else onset + shift, confirmed + shift))
    return before_confirmation(patients, called, earliest=100)[0]


def test_leads_by_hand():
    lines, left_out = before_confirmation(PATIENTS, CALLED, earliest=30)
    assert [line.lead for line in lines] == [6, 1, None, -3]
    assert [line.largest_lead for line in lines] == [6, 5, 3, -3]
    assert [line.onset for line in lines] == [-7, None, -9, -2]
    assert left_out == {"no date of confirmation": 1, "no scored radiograph from 30 days before on": 1}
    # The image of 50 days before counts only where it is asked for.
    assert before_confirmation(PATIENTS, CALLED, earliest=50)[0][2].lead == 50


def test_the_summary_by_hand():
    lines, _ = before_confirmation(PATIENTS, CALLED, earliest=30)
    summary = summarise_leads(lines, false_call_rate=0.25, replicates=200)
    two, five = summary.leads
    assert (two.days, two.early, two.possible, two.of_all.n, two.of_possible.n) == (2, 1, 3, 4, 3)
    assert (five.days, five.early, five.possible) == (5, 1, 2)
    # At least 2 days before: two images of case 1, one of cases 2 and 3; 1 - 0.75^2 + 2 x 0.25.
    assert two.by_false_calls == pytest.approx(0.4375 + 0.5, abs=1e-12)
    assert five.by_false_calls == pytest.approx(0.5, abs=1e-12)
    # Wilson, 1 of 4, from the closed form.
    assert (two.of_all.ci_low, two.of_all.ci_high) == pytest.approx((0.04558726, 0.69935756), abs=1e-6)
    assert summary.never_called == 1
    assert summary.called.value == 0.75
    assert summary.median_lead.value == 1
    assert summary.median_after_onset.value == 3


def test_without_a_false_call_rate_nothing_is_expected_from_it():
    lines, _ = before_confirmation(PATIENTS, CALLED, earliest=30)
    assert all(lead.by_false_calls is None for lead in summarise_leads(lines, replicates=100).leads)


def test_nobody_called():
    lines, _ = before_confirmation(PATIENTS, dict.fromkeys(CALLED, False), earliest=30)
    summary = summarise_leads(lines, replicates=100)
    assert summary.median_lead is None
    assert summary.median_after_onset is None
    assert summary.never_called == 4
    assert summary.called.value == 0
    assert summary.called.ci_high > 0.3


def test_days_since_an_event_by_hand():
    patients = (
        Patient(1, (("a", -2), ("b", 4)), reference="admission"),
        Patient(2, (("c", 0),), reference="admission"),
        Patient(3, (("d", 6),), reference="onset"),
        Patient(4, (("z", 6),), reference="onset"),
    )
    by_event, left_out = since_reference(patients, {"a": False, "b": True, "c": True, "d": False})
    assert left_out == {"no scored radiograph": 1}
    assert list(by_event) == ["admission", "onset"]
    admission = summarise_first_calls(by_event["admission"], replicates=100)
    assert admission.called.value == 1
    assert admission.on_first_image.value == 0.5
    assert (admission.by_the_event.value, admission.by_the_event.n) == (0.5, 2)
    assert admission.median_first_call.value == 2
    assert admission.median_first_image.value == -1
    onset = summarise_first_calls(by_event["onset"], replicates=100)
    assert onset.never_called == 1
    assert onset.by_the_event.value is None
    assert onset.on_first_image.value == 0


def test_false_calls_are_of_the_sources_the_cases_come_from():
    others = pd.DataFrame(
        {"source": ["H", "H", "K"], "group": ["1", "2", "3"], "called": [True, False, True]}, index=["x", "y", "z"]
    )
    calls = Calls(called={}, others=others, sources={"a": "H", "x": "H", "z": "K"}, groups={})
    assert {name: rate.value for name, rate in false_calls(calls).items()} == {"H": 0.5, "K": 1.0}
    assert false_call_rate(calls, ["a"]) == 0.5
    assert false_call_rate(calls, ["unknown"]) is None


@settings(max_examples=60)
@given(cases, st.integers(-1000, 1000))
def test_what_holds_for_any_cases(drawn, shift):
    lines = lines_of(drawn)
    assert lines == lines_of(drawn, shift), "a calendar that starts elsewhere changes nothing"
    summary = summarise_leads(lines, false_call_rate=1.0, days=(0, 2, 5), replicates=100)
    assert round(summary.called.value * len(lines)) + summary.never_called == len(lines)
    early = [lead.early for lead in summary.leads]
    assert early == sorted(early, reverse=True)
    for lead in summary.leads:
        assert lead.early <= lead.possible <= len(lines)
        assert lead.by_false_calls == pytest.approx(lead.possible), "who calls everybody calls all that can be called"
        assert 0 <= lead.of_all.ci_low <= lead.of_all.value <= lead.of_all.ci_high <= 1
    for line in lines:
        assert line.lead is None or line.lead <= line.largest_lead


@settings(max_examples=60)
@given(cases)
def test_one_more_call_is_never_later(drawn):
    more = [([(day, True) for day, _ in images], *rest) for images, *rest in drawn]
    for before, after in zip(lines_of(drawn), lines_of(more), strict=True):
        assert after.lead == after.largest_lead
        assert before.lead is None or before.lead <= after.lead


@settings(max_examples=60)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30))
def test_the_median_is_the_one_of_numpy(values):
    median = median_of(values, replicates=100)
    assert median.value == np.median(values)
    assert median.ci_low <= median.value <= median.ci_high
    assert min(values) <= median.ci_low
    assert median.n == len(values)


def test_the_interval_of_the_median_is_that_of_resampled_medians():
    values = [1, 4, 4, 9, 16, 25, 30]
    rng = np.random.default_rng(0)
    drawn = np.median(np.array(values)[rng.integers(0, 7, size=(2000, 7))], axis=1)
    median = median_of(values, replicates=2000)
    assert (median.ci_low, median.ci_high) == tuple(np.quantile(drawn, [0.025, 0.975]))
