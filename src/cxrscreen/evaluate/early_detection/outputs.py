"""What a study of early detection leaves behind: JSON, a page in Markdown, the numbered cases, and the figures."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.early_detection.figure import write_figure
from cxrscreen.evaluate.early_detection.summary import FirstCallSummary, LeadSummary, plain
from cxrscreen.evaluate.early_detection.timelines import Timeline

CONFIRMATION = "RT-PCR confirmation"

NOT_TO_CONCLUDE = (
    "That the system finds the disease before the test does: all cases here are confirmed ones, chosen afterwards, and "
    "a test's date follows from when it was ordered and how long the laboratory took.",
    "That an early call would have been noticed or right at the time: a system that calls many people without the "
    "disease also calls many cases early.",
    "That the lead holds elsewhere: it depends on when a hospital takes radiographs, and on whom.",
)
"""Sentences on what must not be read into lead times."""

NOT_TOLD_BY_OFFSETS = (
    "That anything was found before a laboratory test: the table has no date of an RT-PCR test, so no lead time can be "
    "given; shown is only on which day since the event the first radiograph was called.",
    "How soon after the first symptoms cases are called: where the event is “symptom onset or admission” the source "
    "does not say which of the two, and where it is the admission the onset is not known.",
    "How early a call could have come: the day of the first radiograph limits it, and published case reports show "
    "radiographs chosen for being typical.",
)
"""The same for days since an event."""


@dataclass(frozen=True)
class Study:
    """Everything the files are made of.

    Parameters
    ----------
    decision
        What counts as called, in words.
    parts
        By event on day 0: the lines and their summary; one part, `CONFIRMATION`, for lead times.
    left_out
        Patients or images that are in no figure, by reason.
    false_calls
        Share of other people's images called, by source; empty where unknown.
    false_call_rate
        The same over the sources that the cases come from; None where these have no such image.
    """

    decision: str
    parts: Mapping[str, tuple[Sequence[Timeline], LeadSummary | FirstCallSummary]]
    left_out: Mapping[str, int]
    false_calls: Mapping[str, Estimate]
    false_call_rate: float | None


def write_study(folder: Path, study: Study) -> dict[str, Path]:
    """Write ``early_detection.json``, ``.md``, ``cases.csv`` and the figures.

    Parameters
    ----------
    folder
        An existing folder; files of an earlier run are replaced.
    study
        What was found.

    Returns
    -------
    dict
        Path by file name. Cases are numbers and days between events: no identifier and no date is written.
    """
    files = {name: folder / name for name in ("early_detection.json", "early_detection.md", "cases.csv")}
    content = json.dumps(_content(study), indent=2, allow_nan=False, ensure_ascii=False)
    files["early_detection.json"].write_text(content + "\n", encoding="utf-8")
    files["early_detection.md"].write_text(markdown(study), encoding="utf-8")
    with files["cases.csv"].open("w", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(_rows(study))
    for event, (lines, summary) in study.parts.items():
        suffix = "" if event == CONFIRMATION else "-" + re.sub(r"[^a-z0-9]+", "-", event.lower()).strip("-")
        stem = folder / f"early_detection{suffix}"
        for path in write_figure(lines, f"{_headline(summary, len(lines))}\n{study.decision}", event, stem):
            files[path.name] = path
    return files


def markdown(study: Study) -> str:
    """Lay the study out as a page for a person."""
    lines = [
        "# How early cases are called",
        "",
        f"**{RESEARCH_USE}**",
        "",
        f"- What counts as called: {study.decision}",
        *[f"- Left out, {reason}: {count}" for reason, count in study.left_out.items()],
        "- Intervals: 95 %; shares by Wilson, medians from resampled cases",
    ]
    for event, (cases, summary) in study.parts.items():
        rows = _lead_rows(summary) if isinstance(summary, LeadSummary) else _first_call_rows(summary)
        lines += ["", f"## Days since {event}: {len(cases)} cases", "", "| | |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in rows]
    lines += ["", "## Calls of people without the disease", ""]
    if study.false_calls:
        lines += ["| Source | Images | Called positive |", "| --- | --- | --- |"]
        lines += [f"| {name or 'all'} | {rate.n} | {_share(rate)} |" for name, rate in study.false_calls.items()]
    else:
        lines += [
            "Not known from these tables. Without them the figures above cannot be judged: a system that calls "
            "everybody would lead by most. Give scores of people without the disease too (column truth, 0)."
        ]
    lead_times = CONFIRMATION in study.parts
    lines += ["", "## What must not be concluded", ""]
    lines += [f"- {sentence}" for sentence in (NOT_TO_CONCLUDE if lead_times else NOT_TOLD_BY_OFFSETS)]
    return "\n".join(lines) + "\n"


def _lead_rows(summary: LeadSummary) -> list[tuple[str, str]]:
    rows = []
    for lead in summary.leads:
        what = f"called at least {lead.days} days before"
        rows += [
            (f"Cases {what}", f"{lead.early} of {lead.of_all.n}: {_share(lead.of_all)}"),
            (
                f"- of the cases with a radiograph at least {lead.days} days before",
                f"{lead.early} of {lead.possible}: {_share(lead.of_possible)}",
            ),
        ]
        if lead.by_false_calls is not None:
            rows.append(("- expected from false calls alone", f"{lead.by_false_calls:.1f} cases"))
    return [
        *rows,
        ("Median lead of the cases that were called", _days(summary.median_lead)),
        ("Median from symptom onset to the first call", _days(summary.median_after_onset)),
        ("Called at any time", _share(summary.called)),
        ("Never called", f"{summary.never_called} of {summary.called.n}"),
    ]


def _first_call_rows(summary: FirstCallSummary) -> list[tuple[str, str]]:
    return [
        ("Called at any time", _share(summary.called)),
        ("Never called", f"{summary.never_called} of {summary.called.n}"),
        ("Called on the first radiograph", _share(summary.on_first_image)),
        (
            "Called by day 0, of the cases with a radiograph by then",
            f"{_share(summary.by_the_event)} (n = {summary.by_the_event.n})",
        ),
        ("Median day of the first radiograph", _days(summary.median_first_image)),
        ("Median day of the first call, of the cases that were called", _days(summary.median_first_call)),
    ]


def _headline(summary: LeadSummary | FirstCallSummary, cases: int) -> str:
    if isinstance(summary, FirstCallSummary):
        return f"{cases - summary.never_called} of {cases} cases called, median day {_days(summary.median_first_call)}"
    early = ", ".join(f"{lead.early} at least {lead.days} days early" for lead in summary.leads)
    return f"{cases - summary.never_called} of {cases} cases called: {early}"


def _share(rate: Estimate) -> str:
    if rate.value is None:
        return "no such case"
    return f"{rate.value:.1%} [{rate.ci_low:.1%}, {rate.ci_high:.1%}]"


def _days(days: Estimate | None) -> str:
    if days is None or days.value is None:
        return "not known"
    ends = "no interval" if days.ci_low is None else f"{days.ci_low:g}, {days.ci_high:g}"
    return f"{days.value:g} [{ends}] (n = {days.n})"


def _rows(study: Study) -> list[list[Any]]:
    head = ["case", "day_0", "radiographs", "first_radiograph", "first_call", "onset", "lead_days"]
    rows: list[list[Any]] = [
        [line.number, event, len(line.calls), line.calls[0][0], line.first_call, line.onset, line.lead]
        for event, (lines, _) in study.parts.items()
        for line in lines
    ]
    return [head, *(["" if cell is None else cell for cell in row] for row in rows)]


def _content(study: Study) -> dict[str, Any]:
    lead_times = CONFIRMATION in study.parts
    return {
        "notice": RESEARCH_USE,
        "cxrscreen": __version__,
        "decision": study.decision,
        "left_out": dict(study.left_out),
        "not_to_conclude": list(NOT_TO_CONCLUDE if lead_times else NOT_TOLD_BY_OFFSETS),
        "since": {event: {"cases": len(lines), **_summary(part)} for event, (lines, part) in study.parts.items()},
        "false_calls_by_source": {name: plain(rate) for name, rate in study.false_calls.items()},
        "false_call_rate_in_the_cases_sources": study.false_call_rate,
    }


def _summary(summary: LeadSummary | FirstCallSummary) -> dict[str, Any]:
    return {
        name: [_summary_of_lead(lead) for lead in value]
        if name == "leads"
        else plain(value)
        if isinstance(value, Estimate)
        else value
        for name, value in vars(summary).items()
    }


def _summary_of_lead(lead: Any) -> dict[str, Any]:
    return {name: plain(value) if isinstance(value, Estimate) else value for name, value in vars(lead).items()}
