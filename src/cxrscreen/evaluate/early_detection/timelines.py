"""One case on a line of days: its radiographs, which of them were called, onset and confirmation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Patient:
    """The days of one patient as a table gives them, before anything was called.

    Parameters
    ----------
    number
        From 1, in the order of the table; stands for the patient, whose identifier is kept nowhere.
    images
        Image ids with their days, in any order.
    onset, confirmed
        Days of the first symptoms and of the RT-PCR confirmation; None where not known.
    reference
        The event on day 0 where the table counts days since one that matters, else empty.
    """

    number: int
    images: tuple[tuple[str, int], ...]
    onset: int | None = None
    confirmed: int | None = None
    reference: str = ""


@dataclass(frozen=True)
class Timeline:
    """One case with its calls; a line of the figure.

    Parameters
    ----------
    number
        As of its `Patient`.
    calls
        (day, called positive) of each radiograph that was scored, by day; days count from ``zero`` of the figure
        (the confirmation, or the reference event), negative before it.
    onset, confirmed
        Days, None where not known.
    """

    number: int
    calls: tuple[tuple[int, bool], ...]
    onset: int | None = None
    confirmed: int | None = None

    @property
    def first_call(self) -> int | None:
        """Day of the first radiograph called positive; None if none was."""
        return min((day for day, called in self.calls if called), default=None)

    @property
    def lead(self) -> int | None:
        """Days from the first call to the confirmation: positive where the call came first, None where undefined."""
        return None if self.confirmed is None or self.first_call is None else self.confirmed - self.first_call

    @property
    def largest_lead(self) -> int | None:
        """The lead of a system that calls every radiograph: the confirmation minus the first radiograph's day."""
        return None if self.confirmed is None or not self.calls else self.confirmed - self.calls[0][0]

    def images_at_least(self, days: int) -> int:
        """Radiographs taken at least so many days before the confirmation; 0 where that is not known."""
        if self.confirmed is None:
            return 0
        return sum(self.confirmed - day >= days for day, _ in self.calls)


def before_confirmation(
    patients: Sequence[Patient], called: Mapping[str, bool], *, earliest: int
) -> tuple[tuple[Timeline, ...], dict[str, int]]:
    """Put the calls of confirmed patients on lines whose day 0 is the confirmation.

    Parameters
    ----------
    patients
        From `tables.read_dates`.
    called
        Whether each scored image was called positive, by image id.
    earliest
        Radiographs more than so many days before the confirmation belong to another illness and are left out; >= 0.

    Returns
    -------
    tuple
        The lines in the order of the patients, and how many patients were left out, by reason.
    """
    lines, left_out = [], {"no date of confirmation": 0, f"no scored radiograph from {earliest} days before on": 0}
    undated, unscored = left_out
    for patient in patients:
        if patient.confirmed is None:
            left_out[undated] += 1
            continue
        zero = patient.confirmed
        calls = _calls(patient, called, zero)
        calls = tuple((day, positive) for day, positive in calls if day >= -earliest)
        if not calls:
            left_out[unscored] += 1
            continue
        onset = None if patient.onset is None else patient.onset - zero
        lines.append(Timeline(patient.number, calls, onset, confirmed=0))
    return tuple(lines), {reason: count for reason, count in left_out.items() if count}


def since_reference(
    patients: Sequence[Patient], called: Mapping[str, bool]
) -> tuple[dict[str, tuple[Timeline, ...]], dict[str, int]]:
    """Put the calls of patients on lines whose day 0 is the event their days count from, apart for each event.

    Parameters
    ----------
    patients
        From `tables.offsets_of`.
    called
        As for `before_confirmation`.

    Returns
    -------
    tuple
        The lines by event, and how many patients were left out, by reason.
    """
    lines: dict[str, list[Timeline]] = {}
    unscored = 0
    for patient in patients:
        calls = _calls(patient, called, 0)
        if calls:
            lines.setdefault(patient.reference, []).append(Timeline(patient.number, calls))
        else:
            unscored += 1
    left_out = {"no scored radiograph": unscored} if unscored else {}
    return {event: tuple(lines[event]) for event in sorted(lines)}, left_out


def _calls(patient: Patient, called: Mapping[str, bool], zero: int) -> tuple[tuple[int, bool], ...]:
    return tuple(sorted((day - zero, called[image]) for image, day in patient.images if image in called))
