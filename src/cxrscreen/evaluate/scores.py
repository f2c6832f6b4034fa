"""Lists of scores in a CSV file: read, checked, and turned into the table that is measured.

A list has the column ``truth`` and either ``score`` (truth 0 or 1, score a probability) or, for several classes, one
column ``p_NAME`` per class (truth a NAME, the probabilities of a row add up to 1). The columns ``image_id``, ``group``
(patient) and ``source`` may be given; any others are left alone.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.several_classes import PREFIX

SUM_TOLERANCE = 2e-3
"""How far the probabilities of a row may add up to something else than 1, for they may have been rounded."""


@dataclass(frozen=True, eq=False)
class ScoreList:
    """A checked list.

    Parameters
    ----------
    table
        One row per image with ``image_id``, ``source``, ``group``, ``truth``, and ``score`` or ``p_NAME`` columns.
        Without the column an image's id and group are its row number, and its source is ``all``.
    classes
        Names in the order of their columns; empty for a decision.
    given
        Which of ``image_id``, ``group`` and ``source`` the file had.
    copies
        Rows that repeat an earlier one in every column, where no ``image_id`` tells whether they are other images.
    """

    table: pd.DataFrame
    classes: tuple[str, ...]
    given: frozenset[str]
    copies: int


def read_scores(path: Path) -> ScoreList:
    """Read and check a list of scores.

    Parameters
    ----------
    path
        A CSV file in UTF-8 with a header, values separated by commas.

    Raises
    ------
    ManifestError
        In one sentence: the file is missing, empty or not a table; a column is missing or comes twice; a truth is
        unknown; there is one class only; a score is missing, no finite number or outside [0, 1]; a row comes twice.
    """
    table = _table(path)
    name = path.name
    classes = tuple(column.removeprefix(PREFIX) for column in table.columns if column.startswith(PREFIX))
    if "truth" not in table.columns:
        raise ManifestError(f"{name} lacks the column truth: give 0 and 1 beside score, or a class beside p_ columns.")
    if classes and "score" in table.columns:
        raise ManifestError(f"{name} has both score and p_ columns: keep score for a decision, p_ columns for classes.")
    if not classes and "score" not in table.columns:
        raise ManifestError(f"{name} lacks the column score (or, for several classes, one column p_NAME per class).")
    if len(classes) == 1:
        raise ManifestError(f"{name} has the one class column {PREFIX}{classes[0]}: give one per class, or score.")
    if table.empty:
        raise ManifestError(f"{name} has no row under its header: list at least one image of each class.")
    given = frozenset(column for column in ("image_id", "group", "source") if column in table.columns)
    _check_names(table, given, name)
    rows = [f"row {number}" for number in range(1, len(table) + 1)]
    checked = pd.DataFrame(
        {
            "image_id": table["image_id"] if "image_id" in given else rows,
            "source": table["source"] if "source" in given else "all",
            "group": table["group"] if "group" in given else table.get("image_id", pd.Series(rows)),
            "truth": _truth_of_classes(table["truth"], classes, name) if classes else _truth(table["truth"], name),
        }
    )
    columns = [PREFIX + label for label in classes] or ["score"]
    for column in columns:
        checked[column] = _probabilities(table[column], name)
    if classes:
        _check_sums(checked[columns], name)
    copies = 0 if "image_id" in given else int(table.duplicated().sum())
    return ScoreList(table=checked, classes=classes, given=given, copies=copies)


def _table(path: Path) -> pd.DataFrame:
    """All columns as text, blanks trimmed; the header is checked here, for pandas renames a column that comes twice."""
    if not path.is_file():
        raise ManifestError(f"There is no file {path.name}: give a CSV file of scores.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise ManifestError(f"{path.name} cannot be read as UTF-8 text: save it as a CSV file in UTF-8.") from error
    try:
        lines = [row for row in csv.reader(io.StringIO(text), strict=True) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ManifestError(f"{path.name} is not a CSV table ({error}): save it again, separated by commas.") from error
    if not lines:
        raise ManifestError(f"{path.name} is empty: give a header and one row per image.")
    header = [cell.strip() for cell in lines[0]]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise ManifestError(f"{path.name} is not separated by commas: save it with commas.")
    doubled = sorted({column for column in header if header.count(column) > 1})
    if doubled:
        raise ManifestError(f"{path.name} has the column {doubled[0]!r} more than once: keep one of them.")
    uneven = [number for number, row in enumerate(lines[1:], start=1) if len(row) != len(header)]
    if uneven:
        raise ManifestError(
            f"{path.name} has another number of values than of columns in {_places(uneven)}: correct or quote them."
        )
    return pd.DataFrame([[cell.strip() for cell in row] for row in lines[1:]], columns=header, dtype=str)


def _check_names(table: pd.DataFrame, given: frozenset[str], name: str) -> None:
    for column in sorted(given):
        blank = table[column] == ""
        if blank.any():
            raise ManifestError(f"{name} has an empty {column} in {_where(blank)}: fill it in every row, or drop it.")
    if "image_id" in given and table["image_id"].duplicated().any():
        doubled = table["image_id"].duplicated()
        raise ManifestError(f"{name} repeats the image_id of an earlier row in {_where(doubled)}: keep one row each.")


def _truth(column: "pd.Series[str]", name: str) -> "pd.Series[int]":
    values = pd.to_numeric(column, errors="coerce")
    wrong = ~values.isin((0, 1))
    if wrong.any():
        raise ManifestError(f"{name} has an unknown label in the column truth in {_where(wrong)}: use 0 and 1.")
    if values.nunique() == 1:
        kind = "positive" if values.iloc[0] == 1 else "negative"
        raise ManifestError(f"All {len(values)} images of {name} are {kind}: add images of the other class.")
    truth: pd.Series[int] = values.astype(int)
    return truth


def _truth_of_classes(column: "pd.Series[str]", classes: tuple[str, ...], name: str) -> "pd.Series[str]":
    wrong = ~column.isin(classes)
    if wrong.any():
        known = ", ".join(classes)
        raise ManifestError(f"{name} has an unknown label in the column truth in {_where(wrong)}: use one of {known}.")
    if column.nunique() == 1:
        raise ManifestError(f"All {len(column)} images of {name} are of one class: add images of another.")
    return column


def _probabilities(column: "pd.Series[str]", name: str) -> "pd.Series[float]":
    values: pd.Series[float] = pd.to_numeric(column, errors="coerce").astype(float)
    faults: tuple[tuple[pd.Series[bool], str, str], ...] = (
        (values.isna(), "no number", "leave out images without a score, and say how many"),
        (values.isin((np.inf, -np.inf)), "an infinite value", "give probabilities"),
        ((values < 0) | (values > 1), "a value outside [0, 1]", "give probabilities, not logits"),
    )
    for wrong, what, advice in faults:
        if wrong.any():
            raise ManifestError(f"{name} has {what} in the column {column.name} in {_where(wrong)}: {advice}.")
    return values


def _check_sums(probabilities: pd.DataFrame, name: str) -> None:
    wrong = (probabilities.sum(axis=1) - 1).abs() > SUM_TOLERANCE
    if wrong.any():
        raise ManifestError(f"The p_ columns of {name} do not add up to 1 in {_where(wrong)}: give probabilities.")


def _where(wrong: "pd.Series[bool]") -> str:
    return _places([int(index) + 1 for index in np.flatnonzero(wrong.to_numpy())])


def _places(rows: list[int]) -> str:
    return f"row {rows[0]}" if len(rows) == 1 else f"{len(rows)} rows (the first is row {rows[0]})"
