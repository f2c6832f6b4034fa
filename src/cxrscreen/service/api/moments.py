"""A moment that a client names: with its zone, and one that UTC can tell."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def in_utc(moment: datetime) -> datetime:
    """Turn a moment with its zone to UTC; raises a ``ValueError`` beyond the calendar's first and last day."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        # Hours before the first day of the calendar, or after the last one.
        raise ValueError("the moment is none in UTC; take one between the years 1 and 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
"""Given in UTC; refused without a zone, and beyond the calendar's first and last day."""
