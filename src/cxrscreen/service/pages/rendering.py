"""The templates' environment: what every page shows alike, and how numbers and dates are written."""

from datetime import date, datetime
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.report.wording import FINDING_LABELS, LIMITS, TRIAGE_LABELS, column_title, printable
from cxrscreen.service.pages.static_files import STATIC
from cxrscreen.service.pages.wording import DIAGNOSES, SHORTCUTS, STATES, TESTS


def score(value: float | None) -> str:
    """Write a score in [0, 1], a dash for none."""
    return "–" if value is None else f"{value:.2f}"


def percent(value: float | None, digits: int = 0) -> str:
    """Write a share in [0, 1] as per cent, a dash for none."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def moment(value: datetime | None) -> Markup:
    """Write a moment in UTC; the page's script turns it into the reader's own time."""
    if value is None:
        return Markup("–")
    return Markup('<time datetime="{}" data-moment>{} UTC</time>').format(
        value.isoformat(timespec="seconds"), value.strftime("%Y-%m-%d %H:%M")
    )


def day(value: date | None) -> Markup:
    """Write a date, which has no zone."""
    if value is None:
        return Markup("–")
    return Markup('<time datetime="{0}">{0}</time>').format(value.isoformat())


def person(name: str | None) -> str:
    """Write a DICOM person name (``Family^Given^Middle``) as people do."""
    if not name:
        return ""
    family, _, rest = printable(name).split("=")[0].partition("^")
    given = " ".join(part for part in rest.split("^") if part)
    return f"{family}, {given}" if given else family


ENVIRONMENT: Final = Environment(
    loader=PackageLoader("cxrscreen.service.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters.update(
    score=score, percent=percent, moment=moment, day=day, person=person, printable=printable, column=column_title
)
ENVIRONMENT.globals.update(
    research_use=RESEARCH_USE,
    version=__version__,
    static=STATIC,
    findings=FINDING_LABELS,
    triage_labels=TRIAGE_LABELS,
    diagnoses=DIAGNOSES,
    tests=TESTS,
    states=STATES,
    limits=LIMITS,
    shortcuts=SHORTCUTS,
    escape=escape,
)
