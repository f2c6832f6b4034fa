"""What the lines of the cases come to: counts with intervals, and beside them what false calls alone would give."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap, grouped_rate
from cxrscreen.evaluate.early_detection.tables import Calls
from cxrscreen.evaluate.early_detection.timelines import Timeline
from cxrscreen.evaluate.metrics import Floats

LEADS = (2, 5)
"""Days before the confirmation that are counted, as in Yeh et al. 2020."""


@dataclass(frozen=True)
class EarlyCalls:
    """Cases called at least ``days`` before their confirmation.

    Parameters
    ----------
    days
        The lead.
    early
        Cases called so early.
    possible
        Cases that had a radiograph so early: what a system that calls everybody would reach.
    of_all, of_possible
        ``early`` as a share of all cases and of the possible ones, Wilson intervals.
    by_false_calls
        Cases expected so early from a system that calls each radiograph blindly, as often as it calls those of people
        without the disease; None where that rate is not known.
    """

    days: int
    early: int
    possible: int
    of_all: Estimate
    of_possible: Estimate
    by_false_calls: float | None


@dataclass(frozen=True)
class LeadSummary:
    """Lead times before the confirmation.

    Parameters
    ----------
    called
        Share of cases with a positive radiograph at any time.
    never_called
        Cases without one.
    leads
        Cases at least so many days early.
    median_lead
        Days, over the cases that were called; negative where the confirmation came first.
    median_after_onset
        Days from the symptom onset to the first call, over called cases with a known onset; None without any.
    """

    called: Estimate
    never_called: int
    leads: tuple[EarlyCalls, ...]
    median_lead: Estimate | None
    median_after_onset: Estimate | None


@dataclass(frozen=True)
class FirstCallSummary:
    """First calls by days since an event, where no confirmation is known.

    Parameters
    ----------
    called
        Share of cases with a positive radiograph at any time.
    never_called
        Cases without one.
    on_first_image
        Share of cases whose first radiograph was called.
    by_the_event
        Share of the cases with a radiograph on or before day 0 that were called by then.
    median_first_image, median_first_call
        Days since the event, the second over the cases that were called.
    """

    called: Estimate
    never_called: int
    on_first_image: Estimate
    by_the_event: Estimate
    median_first_image: Estimate | None
    median_first_call: Estimate | None


def summarise_leads(
    lines: Sequence[Timeline],
    *,
    false_call_rate: float | None = None,
    days: Sequence[int] = LEADS,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> LeadSummary:
    """Count how early the cases were called.

    Parameters
    ----------
    lines
        From `timelines.before_confirmation`; at least one.
    false_call_rate
        Share of radiographs of people without the disease that are called positive, in [0, 1]; None if not known.
    days
        Leads to count.
    replicates, seed
        Of the bootstrap over cases.
    """
    leads = [line.lead for line in lines]
    after = [line.first_call - line.onset for line in lines if line.first_call is not None and line.onset is not None]
    return LeadSummary(
        called=_rate(lead is not None for lead in leads),
        never_called=leads.count(None),
        leads=tuple(_early(lines, wanted, false_call_rate) for wanted in days),
        median_lead=median_of([lead for lead in leads if lead is not None], replicates, seed),
        median_after_onset=median_of(after, replicates, seed),
    )


def summarise_first_calls(
    lines: Sequence[Timeline], *, replicates: int = REPLICATES, seed: int = 0
) -> FirstCallSummary:
    """Summarise lines that count from an event; parameters as for `summarise_leads`."""
    first_calls = [line.first_call for line in lines]
    early = [line for line in lines if line.calls[0][0] <= 0]
    return FirstCallSummary(
        called=_rate(day is not None for day in first_calls),
        never_called=first_calls.count(None),
        on_first_image=_rate(line.first_call == line.calls[0][0] for line in lines),
        by_the_event=_rate(line.first_call is not None and line.first_call <= 0 for line in early),
        median_first_image=median_of([line.calls[0][0] for line in lines], replicates, seed),
        median_first_call=median_of([day for day in first_calls if day is not None], replicates, seed),
    )


def false_calls(calls: Calls) -> dict[str, Estimate]:
    """Share of the images of people without the disease that were called, by source; empty where none is given."""
    return {
        str(source): grouped_rate(rows["called"].to_numpy(), rows["group"].to_numpy())
        for source, rows in calls.others.groupby("source")
    }


def false_call_rate(calls: Calls, case_images: Iterable[str]) -> float | None:
    """Share of such images called in the sources that the cases come from; None where these have none.

    Other sources are left out: their images differ in more than the disease.
    """
    sources = {calls.sources[image] for image in case_images if image in calls.sources}
    rows = calls.others[calls.others["source"].isin(sources)]
    return float(rows["called"].mean()) if len(rows) else None


def median_of(values: Sequence[int], replicates: int = REPLICATES, seed: int = 0) -> Estimate | None:
    """Median with a percentile interval from resampled cases, one value a case; None of no value."""
    if not values:
        return None
    ordered = np.sort(np.asarray(values, dtype=np.float64))

    def statistic(weights: Floats) -> Floats:
        cumulative = np.cumsum(weights, axis=1)
        half = cumulative[:, -1:] / 2
        lower, upper = ordered[(cumulative >= half).argmax(axis=1)], ordered[(cumulative > half).argmax(axis=1)]
        middle: Floats = (lower + upper) / 2
        return middle

    cases = [str(case) for case in range(len(values))]
    return bootstrap(statistic, cases, replicates=replicates, seed=seed)


def _early(lines: Sequence[Timeline], days: int, rate: float | None) -> EarlyCalls:
    possible = [line for line in lines if line.images_at_least(days)]
    early = [line.lead is not None and line.lead >= days for line in lines]
    by_chance = None if rate is None else sum(1 - (1 - rate) ** line.images_at_least(days) for line in possible)
    return EarlyCalls(
        days=days,
        early=sum(early),
        possible=len(possible),
        of_all=_rate(early),
        of_possible=_rate(line.lead is not None and line.lead >= days for line in possible),
        by_false_calls=by_chance,
    )


def _rate(events: Iterable[bool]) -> Estimate:
    happened = list(events)
    return grouped_rate(happened, [str(case) for case in range(len(happened))])


def plain(estimate: Estimate | None) -> Mapping[str, float | int | str | None] | None:
    """Lay an estimate out for a JSON file; None stays None."""
    if estimate is None:
        return None
    return {
        "value": estimate.value,
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
        "n": estimate.n,
        "method": estimate.method.replace("patient group", "case").replace(", sample size adjusted for cases", ""),
    }
