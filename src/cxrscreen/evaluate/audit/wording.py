"""Figures in words and cells: a number with its interval, a verdict."""

from cxrscreen.evaluate.audit.part import Cell
from cxrscreen.evaluate.bootstrap import Estimate

VERDICTS = {True: "passed", False: "failed", None: "no verdict"}
"""A part's ``passed`` in words."""


def shown(estimate: Estimate | None, digits: int = 2) -> str:
    """A figure with its interval, for a sentence."""
    if estimate is None or estimate.value is None:
        return "not defined"
    value = f"{estimate.value:.{digits}f}"
    if estimate.ci_low is None or estimate.ci_high is None:
        return f"{value} (no interval)"
    return f"{value} [{estimate.ci_low:.{digits}f}, {estimate.ci_high:.{digits}f}]"


def cell(value: Cell) -> str:
    """One cell of a table as text: estimates with their interval, other numbers to three decimals, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, Estimate):
        return "–" if value.value is None else shown(value, 3)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
