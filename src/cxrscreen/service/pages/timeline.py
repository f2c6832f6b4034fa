"""A person's studies on a line of days, with onset of symptoms and RT-PCR, as geometry for a drawing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from cxrscreen.service.store.models import Study

WIDTH: Final = 1000
_MARGIN: Final = 60
_APART: Final = 26
"""Least distance of two studies' marks, in units of the drawing."""
CALLED: Final = ("covid19", "viral")
"""Findings that speak for the disease whose RT-PCR is on the line."""

Kind = Literal["study", "onset", "rt_pcr"]


@dataclass(frozen=True)
class Event:
    """Something on one day.

    Parameters
    ----------
    kind
        What.
    day
        When.
    finding
        Of a study, None without an answer.
    score
        Urgency of a study, in [0, 1].
    test
        Result of an RT-PCR.
    study_id
        Of a study.
    current
        Whether it is the study whose page this is.
    contradicted
        Whether an image of the study names somebody else.
    """

    kind: Kind
    day: date
    finding: str | None = None
    score: float | None = None
    test: str | None = None
    study_id: str | None = None
    current: bool = False
    contradicted: bool = False


@dataclass(frozen=True)
class Mark:
    """An event where it is drawn: ``x`` in the drawing's units, ``days`` from the line's day 0."""

    event: Event
    x: float
    days: int


@dataclass(frozen=True)
class Timeline:
    """A person's line.

    Parameters
    ----------
    marks
        By day.
    zero
        Day 0.
    counted_from
        What happened on day 0.
    ticks
        Days with their place.
    sentences
        What the dates come to, in words.
    """

    marks: tuple[Mark, ...]
    zero: date
    counted_from: str
    ticks: tuple[tuple[int, float], ...]
    sentences: tuple[str, ...]


def events_of(studies: Iterable[Study], current: str) -> list[Event]:
    """Collect what is known of a person: studies by the day they were taken, and the readers' dates, each once.

    Of several readers' words on the onset the last counts; of RT-PCR tests each day and result.
    """
    found: list[Event] = []
    onset: tuple[datetime, date] | None = None
    tests: set[tuple[date, str]] = set()
    for study in studies:
        day = study.taken_on or study.received_at.date()
        is_current, contradicted = study.id == current, study.patient_contradicted
        found.append(
            Event("study", day, study.finding, study.urgency, None, study.id, is_current, contradicted=contradicted)
        )
        for said in study.feedback:
            if said.symptom_onset is not None and (onset is None or said.given_at >= onset[0]):
                onset = (said.given_at, said.symptom_onset)
            if said.rt_pcr_on is not None and said.rt_pcr_result is not None:
                tests.add((said.rt_pcr_on, said.rt_pcr_result))
    found += [Event("rt_pcr", day, test=result) for day, result in sorted(tests)]
    if onset is not None:
        found.append(Event("onset", onset[1]))
    return sorted(found, key=lambda event: (event.day, event.kind))


def timeline(events: Sequence[Event]) -> Timeline | None:
    """Lay events on a line; None for fewer than two.

    Day 0 is the first positive RT-PCR, else the onset of symptoms, else the first study.
    """
    if len(events) < 2:
        return None
    positive = next((event for event in events if event.kind == "rt_pcr" and event.test == "positive"), None)
    onset = next((event for event in events if event.kind == "onset"), None)
    reference = positive or onset or next((event for event in events if event.kind == "study"), events[0])
    words = {positive: "the first positive RT-PCR", onset: "the onset of symptoms"}.get(reference, "the first study")
    zero = reference.day
    days = [(event.day - zero).days for event in events]
    place = _place(min(days), max(days))
    return Timeline(
        tuple(Mark(event, x, day) for event, x, day in zip(events, _apart(events, place, zero), days, strict=True)),
        zero,
        words,
        tuple((day, place(day)) for day in _ticks(min(days), max(days))),
        tuple(_sentences(events, positive, onset)),
    )


def _place(first: int, last: int) -> Callable[[int], float]:
    span = max(last - first, 1)
    return lambda day: _MARGIN + (day - first) / span * (WIDTH - 2 * _MARGIN)


def _apart(events: Sequence[Event], place: Callable[[int], float], zero: date) -> list[float]:
    """Studies of one day stand side by side, so that none hides another."""
    places: list[float] = []
    last = float("-inf")
    for event in events:
        x = place((event.day - zero).days)
        if event.kind == "study":
            x = max(x, last + _APART)
            last = x
        places.append(x)
    return places


def _ticks(first: int, last: int) -> list[int]:
    span = max(last - first, 1)
    step = next(step for step in (1, 2, 5, 7, 14, 30, 60, 90, 180, 365, 730, 3650) if span / step <= 9 or step == 3650)
    return [day for day in range(first - first % step, last + 1, step) if day >= first]


def _sentences(events: Sequence[Event], positive: Event | None, onset: Event | None) -> Iterable[str]:
    called = next((event for event in events if event.kind == "study" and event.finding in CALLED), None)
    if called is None:
        yield "No study of this person was called COVID-19 or viral pneumonia."
        return
    if positive is not None:
        lead = (positive.day - called.day).days
        yield f"First called {_days(lead, 'before', 'after')} the first positive RT-PCR."
        if lead > 0:
            negative = [
                event
                for event in events
                if event.kind == "rt_pcr" and event.test == "negative" and event.day < positive.day
            ]
            if negative:
                yield f"{len(negative)} negative RT-PCR came before the positive one."
    if onset is not None:
        yield f"First called {_days((called.day - onset.day).days, 'after', 'before')} the onset of symptoms."
    if positive is not None or onset is not None:
        yield "A call before the test is no proof: a system that called everybody would always be early."


def _days(number: int, words: str, negative_words: str) -> str:
    if number == 0:
        return "on the day of"
    amount = abs(number)
    return f"{amount} {'day' if amount == 1 else 'days'} {words if number > 0 else negative_words}"
