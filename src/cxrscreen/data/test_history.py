"""COVID-19 labels of radiographs from the diagnostic tests around them, by the rule of the COMiT-Net paper."""

import warnings
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.errors import ManifestError

LIMIT_DAYS = 14.0
"""From this distance on, a positive test no longer speaks for an image."""

IMAGE_COLUMNS = ("image_id", "patient_id", "date")
TEST_COLUMNS = ("patient_id", "date", "result")
RESULTS = ("positive", "negative", "indeterminate")
"""What a test may have said; an indeterminate one is left out."""

Floats = NDArray[np.float64]
Answer = Literal["positive", "negative", "unknown"]

_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?"


@dataclass(frozen=True)
class TestedLabel:
    """What the tests of a patient say about one image.

    Parameters
    ----------
    covid19
        ``"unknown"`` where the patient has no test that said anything.
    reason
        In words.
    positive_days, negative_days
        Days to the nearest positive and the nearest negative test, not negative; None where there is none.
    """

    covid19: Answer
    reason: str
    positive_days: float | None
    negative_days: float | None


def label_by_tests(images: pd.DataFrame, tests: pd.DataFrame, *, limit_days: float = LIMIT_DAYS) -> pd.DataFrame:
    """Label images by the tests of their patients (COMiT-Net paper, section 4.4).

    Where an image or a test of a patient has a date without a time, all of this patient's count by calendar day: a date
    alone must not stand for midnight, which would be nearer to the evening before than to the same evening.

    Parameters
    ----------
    images
        The columns of :data:`IMAGE_COLUMNS` as text, one row per image.
    tests
        The columns of :data:`TEST_COLUMNS` as text, one row per test of any kind; results are :data:`RESULTS`.
    limit_days
        See :func:`label_of`.

    Returns
    -------
    DataFrame
        One row per image in the order given: image_id, patient_id, ``covid19`` (positive, negative, unknown), reason,
        positive_days, negative_days (float, NaN where there is no such test).

    Raises
    ------
    ManifestError
        In one sentence, with the number of the row: a column is missing, a name is empty, an image comes twice, a date
        is none, or a result is unknown.
    ValueError
        If ``limit_days`` is not above 0.
    """
    taken = _checked(images, "images", IMAGE_COLUMNS)
    tested = _checked(tests, "tests", TEST_COLUMNS)
    doubled = taken["image_id"].duplicated()
    if doubled.any():
        raise ManifestError(f"The images repeat an image_id in {_where(doubled)}: give one row per image.")
    said = tested["result"].str.lower()
    unknown = ~said.isin(RESULTS)
    if unknown.any():
        raise ManifestError(f"The tests have an unknown result in {_where(unknown)}: use {', '.join(RESULTS)}.")
    spoken = tested[said.isin(("positive", "negative"))]
    timeless = {str(patient) for rows in (taken, spoken) for patient in rows.loc[~rows["timed"], "patient_id"]}
    days: dict[str, dict[str, Floats]] = {
        answer: {
            str(patient): np.asarray(rows, np.float64)
            for patient, rows in _days(tested[said == answer], timeless).groupby(tested["patient_id"])
        }
        for answer in ("positive", "negative")
    }
    none: Floats = np.empty(0)
    labels = [
        label_of(day, days["positive"].get(patient, none), days["negative"].get(patient, none), limit_days=limit_days)
        for patient, day in zip(taken["patient_id"], _days(taken, timeless), strict=True)
    ]
    return pd.DataFrame(
        {
            "image_id": taken["image_id"].to_numpy(),
            "patient_id": taken["patient_id"].to_numpy(),
            "covid19": [label.covid19 for label in labels],
            "reason": [label.reason for label in labels],
            **{
                column: np.array([getattr(label, column) for label in labels], np.float64)
                for column in ("positive_days", "negative_days")
            },
        }
    )


def label_of(
    taken: float,
    positive: Floats,
    negative: Floats,
    *,
    limit_days: float = LIMIT_DAYS,
) -> TestedLabel:
    """Label one image: positive, unless a negative test is nearer or the nearest positive one is too far away.

    Of a positive and a negative test at the same distance neither is nearer, and the image stays positive. The paper
    says nothing of patients without a positive test, for its source has none: they are negative where a test was
    negative, else unknown.

    Parameters
    ----------
    taken
        Day of the image, counted from anywhere.
    positive, negative
        Days of the tests (n,) by result, counted from the same day; may be empty.
    limit_days
        An image at this distance or more from the nearest positive test is negative; above 0.

    Raises
    ------
    ValueError
        If ``limit_days`` is not above 0.
    """
    if not limit_days > 0:
        raise ValueError("the limit must be above 0 days")
    to_positive, to_negative = (
        float(np.abs(days - taken).min()) if days.size else None for days in (positive, negative)
    )
    if to_positive is None:
        answer: Answer = "unknown" if to_negative is None else "negative"
        reason = "no test said anything" if to_negative is None else "no test was positive"
    elif to_negative is not None and to_negative < to_positive:
        answer, reason = "negative", "a negative test is nearer than the nearest positive one"
    elif to_positive >= limit_days:
        answer, reason = "negative", f"the nearest positive test is {limit_days:g} days away or more"
    else:
        answer, reason = "positive", f"the nearest positive test is less than {limit_days:g} days away"
    return TestedLabel(answer, reason, to_positive, to_negative)


def read_table(path: Path, columns: tuple[str, ...], *, sep: str = ",", comment: str | None = None) -> pd.DataFrame:
    """Read a table as text, blanks trimmed.

    Parameters
    ----------
    path
        A CSV file, of images or tests for instance; may be compressed by gzip (``.gz``).
    columns
        Those that must be there.
    sep
        What separates columns.
    comment
        What starts a line that is none of the table.

    Raises
    ------
    ManifestError
        If the file is missing, cannot be read, or lacks one of the columns.
    """
    if not path.is_file():
        raise ManifestError(f"There is no file {path.name}: give a CSV file with {', '.join(columns)}.")
    try:
        with warnings.catch_warnings():
            # Rows that end with one separator more than the header would else become an index.
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            table = pd.read_csv(
                path, sep=sep, dtype=str, keep_default_na=False, encoding="utf-8-sig", comment=comment, index_col=False
            )
    except (ValueError, OSError, EOFError, zlib.error) as error:
        # Those of pandas and of wrong encodings are ValueErrors; the others tell of an archive that is cut or damaged.
        raise ManifestError(
            f"{path.name} is not a readable CSV table: save it in UTF-8, separated by commas."
        ) from error
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ManifestError(f"{path.name} lacks the column(s) {', '.join(missing)}: give {', '.join(columns)}.")
    return pd.DataFrame({column: table[column].fillna("").str.strip() for column in table.columns})


def _checked(table: pd.DataFrame, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ManifestError(f"The {name} lack the column(s) {', '.join(missing)}: give {', '.join(columns)}.")
    text = table[list(columns)].astype(str).reset_index(drop=True)
    for column in columns:
        blank = table[column].isna().reset_index(drop=True) | (text[column].str.strip() == "")
        if blank.any():
            raise ManifestError(f"The {name} have an empty {column} in {_where(blank)}: fill it in, or drop the row.")
    dates = pd.to_datetime(text["date"].where(text["date"].str.fullmatch(_DATE)), errors="coerce", format="ISO8601")
    if dates.isna().any():
        raise ManifestError(
            f"The {name} have no date in {_where(dates.isna())}: give YYYY-MM-DD or YYYY-MM-DD HH:MM, without a time "
            "zone."
        )
    return text.assign(date=dates, timed=text["date"].str.contains(":"))


def _days(rows: pd.DataFrame, timeless: Collection[str]) -> "pd.Series[float]":
    """Days from any fixed one; whole days for the patients of whom some time is not known."""
    days: pd.Series[float] = (rows["date"] - pd.Timestamp("2020-01-01")) / pd.Timedelta(days=1)
    return days.where(~rows["patient_id"].isin(timeless), days // 1)


def _where(wrong: "pd.Series[bool]") -> str:
    rows = np.flatnonzero(wrong.to_numpy()) + 1
    return f"row {rows[0]}" if rows.size == 1 else f"{rows.size} rows (the first is row {rows[0]})"
