"""The tables of early detection: days of each patient, and what was called on each image."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import pandas as pd

from cxrscreen.data.manifest import LABELS, Manifest
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.early_detection.timelines import Patient

DATE_COLUMNS: Final = ("patient_id", "image_id", "imaged", "onset", "confirmed")
"""Columns of a table of dates, one row per image; the last three hold ISO dates or whole days, and may be empty."""

_YES: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_WHOLE: Final = re.compile(r"([+-]?\d{1,5})(?:\.0+)?")
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, eq=False)
class Calls:
    """What a system called.

    Parameters
    ----------
    called
        Whether each image was called positive, by image id.
    others
        Images (``truth`` 0) of people without the disease, who have no other image of ``truth`` 1: columns ``source``,
        ``group`` and ``called``; empty where the table has no ``truth``.
    sources, groups
        Source and patient group of each image, by image id; empty strings, and the image's own id, where not given.
    """

    called: dict[str, bool]
    others: pd.DataFrame
    sources: dict[str, str]
    groups: dict[str, str]

    def beside(self, images: Iterable[str]) -> "Calls":
        """The same, with nobody among the others of whom an image is given: a case's early image is no false call."""
        given = set(images)
        people = {self.groups[image] for image in given if image in self.groups}
        own = self.others.index.isin(given) | self.others["group"].isin(people)
        return replace(self, others=self.others[~own])


def read_dates(path: Path) -> tuple[tuple[Patient, ...], int]:
    """Read a table of dates; ``docs/early-detection.md`` describes it.

    Parameters
    ----------
    path
        A CSV file with the columns `DATE_COLUMNS`, others are ignored. Either all filled cells are ISO dates
        (2020-03-14), or all are whole days since any event that is the same within a patient. Onset and confirmation
        may stand in one row of a patient or in all.

    Returns
    -------
    tuple
        The patients in the order of the table, and the number of images left out for want of a date.

    Raises
    ------
    ManifestError
        If the file is missing or no table, lacks a column, is empty, mixes dates and days, holds anything else, names
        an image twice, or gives a patient two onsets or confirmations. No identifier is in the text.
    """
    table = _read(path, DATE_COLUMNS)
    for column in ("patient_id", "image_id"):
        _refuse(table[column] == "", f"{path.name} has an empty {column} in data row {{row}}: fill it.")
    _refuse(
        table["image_id"].duplicated(), f"{path.name} names the image of data row {{row}} twice: keep one row an image."
    )
    days = {column: _days(table[column], path.name) for column in DATE_COLUMNS[2:]}
    if len({kind for _, kind in days.values()} - {""}) > 1:
        raise ManifestError(f"{path.name} mixes dates and numbers of days: use one of them in the whole table.")
    for column, (values, _) in days.items():
        table[column] = values
    patients = []
    for number, (_, rows) in enumerate(table.groupby("patient_id", sort=False), start=1):
        dated = rows[rows["imaged"].notna()]
        images = tuple((str(image), int(day)) for image, day in zip(dated["image_id"], dated["imaged"], strict=True))
        onset, confirmed = (_only(rows, column, path.name) for column in ("onset", "confirmed"))
        patients.append(Patient(number, images, onset, confirmed))
    return tuple(patients), int(table["imaged"].isna().sum())


def offsets_of(manifest: Manifest, label: str = "covid19") -> tuple[tuple[Patient, ...], dict[str, int]]:
    """Take the days since an event from a manifest's ``offset_days`` and ``offset_reference``.

    Linked patients (copies of one radiograph in two sources) are one; copies are left out.

    Parameters
    ----------
    manifest
        The images.
    label
        A patient is a case if an image carries this label; all images of a case count, whatever their own label.

    Returns
    -------
    tuple
        The cases in the order of the manifest, and how many were left out, by reason: without any day, or with days
        that count from two events.

    Raises
    ------
    ManifestError
        If the label is unknown or no image carries it, or an offset is no whole number of days.
    """
    if label not in LABELS:
        raise ManifestError(f"There is no label {label!r}: use one of {', '.join(LABELS)}.")
    table = manifest.table
    groups = set(table.loc[table["label"] == label, "group"])
    if not groups:
        raise ManifestError(f"No image of the manifest has the label {label}: give another label or manifest.")
    images = table[table["group"].isin(groups) & (table["duplicate_of"] == "")]
    values, kind = _days(images["offset_days"].reset_index(drop=True), "The manifest")
    if kind == "date":
        raise ManifestError("The manifest holds a date in offset_days: write whole days since offset_reference.")
    dated: dict[str, list[tuple[str, int, str]]] = {}
    columns = (images["group"], images["image_id"], values, images["offset_reference"])
    for group, image, day, event in zip(*columns, strict=True):
        days = dated.setdefault(str(group), [])
        if not pd.isna(day):
            days.append((str(image), int(day), str(event)))
    left_out = {"no day given": 0, "days count from two events": 0}
    patients: list[Patient] = []
    for rows in dated.values():
        events = {event for _, _, event in rows}
        if len(events) != 1:
            left_out["days count from two events" if events else "no day given"] += 1
            continue
        calls = tuple((image, day) for image, day, _ in rows)
        patients.append(Patient(len(patients) + 1, calls, reference=events.pop() or "an event not named"))
    return tuple(patients), {reason: count for reason, count in left_out.items() if count}


def read_calls(path: Path, threshold: float | None) -> Calls:
    """Read what was called: the ``scores.csv`` of ``cxrscreen evaluate``, or a table of decisions.

    Parameters
    ----------
    path
        A CSV file with ``image_id`` and either ``positive`` (yes / no, true / false, 1 / 0) or ``score`` in [0, 1].
        ``truth`` (1 ill, 0 not), ``source`` and ``group`` are used where they stand.
    threshold
        In [0, 1]: a score that reaches it is a positive call. Not used where the table has the column ``positive``.

    Raises
    ------
    ManifestError
        If the file is missing or no table, lacks a column, names an image twice, holds a value that is none of the
        above, or has scores and no threshold is given.
    """
    table = _read(path, ("image_id",))
    _refuse(
        (table["image_id"] == "") | table["image_id"].duplicated(),
        f"{path.name} has an empty or repeated image_id in data row {{row}}: keep one row an image.",
    )
    if "positive" in table.columns:
        table["called"] = _flags(table["positive"], path.name)
    elif "score" not in table.columns:
        raise ManifestError(f"{path.name} has neither the column positive nor score: add one of them.")
    elif threshold is None or not 0 <= threshold <= 1:
        raise ManifestError(f"{path.name} holds scores: say with a threshold from 0 to 1 what counts as called.")
    else:
        scores = pd.to_numeric(table["score"], errors="coerce")
        _refuse(
            ~scores.between(0, 1),
            f"{path.name} has a score in data row {{row}} that is no number from 0 to 1: mend it.",
        )
        table["called"] = scores >= threshold
    for column, default in (("source", ""), ("group", table["image_id"])):
        if column not in table.columns:
            table[column] = default
    table["group"] = table["group"].where(table["group"] != "", table["image_id"])
    ill = _flags(table["truth"], path.name) if "truth" in table.columns else pd.Series(True, index=table.index)
    well = ~table["group"].isin(table.loc[ill.astype(bool), "group"])
    return Calls(
        called=dict(zip(table["image_id"], table["called"].astype(bool), strict=True)),
        others=table.loc[well, ["image_id", "source", "group", "called"]].set_index("image_id"),
        sources=dict(zip(table["image_id"], table["source"], strict=True)),
        groups=dict(zip(table["image_id"], table["group"], strict=True)),
    )


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise ManifestError(f"There is no table {path.name}: give a CSV file.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise ManifestError(f"{path.name} is not a readable CSV table in UTF-8: save it as one.") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ManifestError(f"{path.name} lacks the column(s) {', '.join(missing)}: add them (one row per image).")
    if table.empty:
        raise ManifestError(f"{path.name} has no row: add one row per image.")
    return pd.DataFrame({column: table[column].str.strip() for column in table.columns})


def _days(cells: "pd.Series[str]", name: str) -> tuple["pd.Series[int]", str]:
    """Days as Int64, and of which kind the cells are: ``"date"``, ``"day"``, or empty where all are."""
    kinds: set[str] = set()
    values: list[int | None] = []
    for row, cell in enumerate(cells, start=1):
        whole = _WHOLE.fullmatch(cell)
        if cell == "":
            values.append(None)
        elif whole:
            kinds.add("day")
            values.append(int(whole[1]))
        else:
            kinds.add("date")
            values.append(_ordinal(cell, str(cells.name), row, name))
    if len(kinds) > 1:
        raise ManifestError(f"{name} mixes dates and numbers of days in {cells.name}: use one of them throughout.")
    return pd.Series(values, index=cells.index, dtype="Int64"), kinds.pop() if kinds else ""


def _ordinal(cell: str, column: str, row: int, name: str) -> int:
    try:
        if not _ISO.fullmatch(cell):
            raise ValueError("not written as an ISO date")
        return date.fromisoformat(cell).toordinal()
    except ValueError as error:
        raise ManifestError(
            f"{name} has something else than a date (2020-03-14) or whole days in {column}, data row {row}: correct it."
        ) from error


def _only(rows: pd.DataFrame, column: str, name: str) -> int | None:
    given = rows[column].dropna().unique()
    if len(given) > 1:
        raise ManifestError(
            f"{name} gives the patient of data row {int(rows.index[0]) + 1} two different days in {column}: keep one."
        )
    return int(given[0]) if len(given) else None


def _flags(cells: "pd.Series[str]", name: str) -> "pd.Series[bool]":
    flags = cells.str.lower().map(_YES)
    _refuse(
        flags.isna(), f"{name} has something else than yes or no (1, 0) in {cells.name}, data row {{row}}: mend it."
    )
    return flags.astype(bool)


def _refuse(wrong: "pd.Series[bool]", sentence: str) -> None:
    if wrong.any():
        raise ManifestError(sentence.replace("{row}", str(int(wrong.to_numpy().argmax()) + 1)))
