"""Cells and tables of a Markdown page."""

from collections.abc import Mapping, Sequence
from typing import Any


def cell(estimate: Mapping[str, Any] | None, digits: int = 3) -> str:
    """Text of an estimate with its interval; a dash where it is not defined."""
    if estimate is None or estimate["value"] is None:
        return "-"
    value = f"{estimate['value']:.{digits}f}"
    if estimate["ci_low"] is None:
        return f"{value} [no interval]"
    return f"{value} [{estimate['ci_low']:.{digits}f}, {estimate['ci_high']:.{digits}f}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; short rows are filled up."""
    padded = [[*row, *[""] * (len(head) - len(row))] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *padded)]
