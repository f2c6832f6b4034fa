"""Measured results as blocks, also of keys that are not known here: figures, tables of figures, sentences.

A pooled figure is shown only where figures within sources stand beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cxrscreen.report.card_blocks import (
    Block,
    Bullets,
    Cell,
    Command,
    Facts,
    Heading,
    Measure,
    Paragraph,
    Table,
    in_words,
    is_scalar,
    number,
    scalar,
)
from cxrscreen.report.wording import printable

_MEASURE: Final = ("value", "ci_low", "ci_high")
_WITHIN: Final = ("within", "by_source", "one_class_sources")
_PLAIN_NAMES: Final[Mapping[str, str]] = {
    "within_source_auc": "AUC within each source that holds both classes",
    "mean_within_source_auc": "AUC within a source, mean of the sources with enough of both",
    "pooled_auc": "AUC, all sources pooled",
    "pooled_sensitivity": "Sensitivity, all sources pooled, at the operating point in use",
    "pooled_specificity": "Specificity, all sources pooled, at the operating point in use",
    "calibration_error": "Expected calibration error: probability against frequency",
    "called_positive_in_one_class_sources": "Sources that hold one class only: how often they are called positive",
    "dice": "Overlap with the reference outline (Dice)",
    "dice_by_source": "Overlap with the reference outline (Dice), by source",
    "images": "Images measured",
    "failed": "Images that failed and are in no figure",
    "positives": "Ill",
    "negatives": "Not ill",
    "truth": "In truth",
    "rate": "Called positive",
    "passed": "Passed",
    "not_to_conclude": "What must not be concluded",
}


def result_blocks(result: Any) -> tuple[Block, ...]:
    """Lay out one entry of a card's ``results``.

    Parameters
    ----------
    result
        Any nesting of mappings, lists and single values. A mapping with ``value`` (and ``ci_low``, ``ci_high``) is a
        figure; one with ``columns`` and ``rows`` is a table; ``command`` stands last, beside its figures.

    Returns
    -------
    tuple
        Figures within sources stand before the pooled ones; without the former the latter are withheld, and a sentence
        says so.
    """
    if not isinstance(result, Mapping):
        return (Paragraph(scalar(result)),) if is_scalar(result) else tuple(_of_list(result))
    if is_measure(result):
        return (Table(("", *_heads(_extras(result)), _FIGURE), (("", *_cells(result, _extras(result))),)),)
    command = result.get("command")
    rest = {key: value for key, value in result.items() if key != "command"}
    blocks = _of_mapping(rest)
    if isinstance(command, str):
        blocks.append(Command(printable(command)))
    return tuple(blocks)


def is_measure(value: Any) -> bool:
    """Whether a value is a figure: a mapping whose ``value`` is a number or None, usually with an interval."""
    if not isinstance(value, Mapping) or "value" not in value:
        return False
    return all(value.get(key) is None or _is_number(value.get(key)) for key in _MEASURE)


def plain_name(key: str) -> str:
    """Name a key of the results in plain words."""
    return _PLAIN_NAMES.get(key, in_words(key))


_FIGURE: Final = "Figure (95% interval)"


def _of_mapping(result: Mapping[str, Any]) -> list[Block]:
    shown, withheld = _without_lone_pooled(result)
    single = {key: value for key, value in shown.items() if is_scalar(value)}
    figures = {key: value for key, value in shown.items() if is_measure(value)}
    others = {key: value for key, value in shown.items() if key not in single and key not in figures}
    blocks: list[Block] = []
    if single:
        blocks.append(Facts(tuple((plain_name(key), _fact(key, value)) for key, value in single.items())))
    # Within sources first: the pooled figures are read after them.
    early = [key for key in others if _tells_sources(key)]
    for key in early:
        blocks += _named(key, others[key])
    if figures:
        blocks.append(_table_of(dict(sorted(figures.items(), key=lambda item: item[0].startswith("pooled")))))
    if any(key.startswith("pooled") for key in figures):
        blocks.append(
            Paragraph(
                "Pooled figures also measure how well the sources are told apart; judge by the figures within sources.",
                "quiet",
            )
        )
    for key, value in others.items():
        if key not in early:
            blocks += _named(key, value)
    if withheld:
        names = ", ".join(plain_name(key) for key in withheld)
        blocks.append(Paragraph(f"Not shown, for no figure within sources stands beside it: {names}.", "warning"))
    return blocks


def _without_lone_pooled(result: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    within = any(_tells_sources(key) and value for key, value in result.items() if not key.startswith("pooled"))
    withheld = [] if within else [key for key in result if key.startswith("pooled")]
    shown = {str(key): value for key, value in result.items() if key not in withheld}
    # What is empty, such as a mean over no source, has nothing to show.
    return {key: value for key, value in shown.items() if value is not None and value not in ({}, [])}, withheld


def _tells_sources(key: str) -> bool:
    return any(word in key for word in _WITHIN)


def _named(key: str, value: Any) -> list[Block]:
    name = plain_name(key)
    if isinstance(value, Mapping):
        if _is_table(value):
            return [_given_table(value, name)]
        if value and all(_is_row(row) for row in value.values()):
            return [_table_of(value, name, "Source" if _tells_sources(key) else "")]
        return [Heading(name), *result_blocks(value)]
    return [Heading(name), *_of_list(value)]


def _of_list(values: Sequence[Any]) -> list[Block]:
    if all(is_scalar(value) for value in values):
        return [Bullets(tuple(scalar(value) for value in values))]
    if all(_is_row(value) and not is_measure(value) for value in values):
        return [_table_of({str(place): value for place, value in enumerate(values, start=1)})]
    blocks: list[Block] = []
    for value in values:
        table = isinstance(value, Mapping) and _is_table(value)
        blocks += [_given_table(value, "")] if table else result_blocks(value)
    return blocks


def _is_row(value: Any) -> bool:
    return isinstance(value, Mapping) and all(is_scalar(cell) or is_measure(cell) for cell in value.values())


def _table_of(rows: Mapping[str, Any], caption: str = "", first: str = "") -> Table:
    """A row for every entry: figures with what is counted beside them, or mappings of single values and figures."""
    extras = list(dict.fromkeys(key for row in rows.values() for key in _extras(row)))
    figure = any(is_measure(row) for row in rows.values())
    # A column of figures closes the row, as in the text: first what was counted, then what came of it.
    extras.sort(key=lambda key: any(is_measure(row.get(key)) for row in rows.values()))
    head = (first, *_heads(extras), *([_FIGURE] if figure else []))
    body = tuple((_row_name(str(name)), *_cells(row, extras, figure)) for name, row in rows.items())
    return Table(head, body, caption)


def _row_name(name: str) -> str:
    # Names of sources and the like are shown as they are; keys of the software are put into words.
    return plain_name(name) if "_" in name or name in _PLAIN_NAMES else printable(name)


def _given_table(value: Mapping[str, Any], name: str) -> Table:
    head = tuple(printable(str(cell)) for cell in value["columns"])
    rows = tuple(tuple(_cell("", cell) for cell in row) for row in value["rows"])
    return Table(head, rows, printable(str(value.get("title", name))))


def _is_table(value: Mapping[str, Any]) -> bool:
    columns, rows = value.get("columns"), value.get("rows")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return False
    return all(isinstance(row, list) and len(row) == len(columns) for row in rows)


def _extras(row: Mapping[str, Any]) -> list[str]:
    return [key for key in row if not (is_measure(row) and key in _MEASURE)]


def _heads(extras: Sequence[str]) -> tuple[str, ...]:
    return tuple(plain_name(key) for key in extras)


def _cells(row: Mapping[str, Any], extras: Sequence[str], figure: bool = True) -> tuple[Cell, ...]:
    cells = [_cell(key, row[key]) if key in row else "–" for key in extras]
    if figure:
        cells.append(_measure(row) if is_measure(row) else "–")
    return tuple(cells)


def _cell(key: str, value: Any) -> Cell:
    if is_measure(value):
        return _measure(value)
    if isinstance(value, float):
        return number(value)
    return _fact(key, value) if is_scalar(value) else printable(str(value))


def _fact(key: str, value: Any) -> str:
    if key == "truth":
        return {"1": "ill", "0": "not ill"}.get(str(int(value)) if _is_number(value) else str(value), scalar(value))
    if isinstance(value, float):
        return number(value)
    return scalar(value)


def _measure(value: Mapping[str, Any]) -> Measure:
    return Measure(value["value"], value.get("ci_low"), value.get("ci_high"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
