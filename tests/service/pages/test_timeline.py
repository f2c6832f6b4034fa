from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from cxrscreen.service.pages.timeline import WIDTH, Event, events_of, timeline
from cxrscreen.service.store.models import Feedback, Study

MARCH = date(2020, 3, 12)


def day(number: int) -> date:
    return date.fromordinal(MARCH.toordinal() + number)


def study(name: str, on: int, finding: str | None, *feedback: Feedback) -> Study:
    return Study(
        id=name,
        taken_on=day(on),
        received_at=datetime(2020, 5, 1, tzinfo=UTC),
        finding=finding,
        urgency=0.5,
        feedback=list(feedback),
    )


def said(hour: int, **what: object) -> Feedback:
    return Feedback(given_at=datetime(2020, 5, 2, hour, tzinfo=UTC), **what)


def test_the_last_word_on_the_onset_counts_and_a_test_told_twice_counts_once() -> None:
    test = {"rt_pcr_on": day(3), "rt_pcr_result": "positive"}
    events = events_of(
        [
            study("a", 0, "normal", said(9, symptom_onset=day(-5)), said(8, symptom_onset=day(-9)), said(10, **test)),
            study("b", 1, "covid19", said(11, **test)),
        ],
        "b",
    )
    assert [(event.kind, event.day) for event in events] == [
        ("onset", day(-5)),
        ("study", day(0)),
        ("study", day(1)),
        ("rt_pcr", day(3)),
    ]
    assert [event.study_id for event in events if event.current] == ["b"]


def test_days_count_from_the_first_positive_test() -> None:
    line = timeline(
        [
            Event("onset", day(-6)),
            Event("study", day(-3), "covid19", 0.8),
            Event("rt_pcr", day(-2), test="negative"),
            Event("rt_pcr", day(0), test="positive"),
            Event("rt_pcr", day(4), test="positive"),
        ]
    )
    assert line is not None
    assert line.zero == day(0)
    assert [mark.days for mark in line.marks] == [-6, -3, -2, 0, 4]
    assert line.sentences[:3] == (
        "First called 3 days before the first positive RT-PCR.",
        "1 negative RT-PCR came before the positive one.",
        "First called 3 days after the onset of symptoms.",
    )
    assert "no proof" in line.sentences[3]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([Event("onset", day(1)), Event("study", day(0), "normal")], "the onset of symptoms"),
        ([Event("study", day(0), "normal"), Event("study", day(9), "normal")], "the first study"),
    ],
)
def test_without_a_positive_test_days_count_from_the_onset_or_the_first_study(events: list[Event], words: str) -> None:
    line = timeline(events)
    assert line is not None
    assert line.counted_from == words
    assert line.sentences == ("No study of this person was called COVID-19 or viral pneumonia.",)


def test_one_event_is_no_line() -> None:
    assert timeline([Event("study", day(0))]) is None


def test_studies_of_one_day_do_not_hide_each_other_and_all_lie_in_the_drawing() -> None:
    line = timeline([Event("study", day(n)) for n in (0, 0, 0, 300)])
    assert line is not None
    places = [mark.x for mark in line.marks]
    assert min(b - a for a, b in pairwise(places)) >= 26
    assert all(0 < x < WIDTH for x in places)
    assert 2 <= len(line.ticks) <= 11
