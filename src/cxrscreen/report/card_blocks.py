"""What a page about a bundle is made of: sections of paragraphs, facts, tables and commands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxrscreen.report.wording import printable


@dataclass(frozen=True)
class Measure:
    """A measured figure with its interval.

    Parameters
    ----------
    value, low, high
        None where not defined or where there is no interval.
    """

    value: float | None
    low: float | None
    high: float | None

    @property
    def text(self) -> str:
        """The figure as read by a person."""
        if self.value is None:
            return "not defined"
        if self.low is None or self.high is None:
            return f"{number(self.value)} (no interval)"
        return f"{number(self.value)} ({number(self.low)} to {number(self.high)})"

    @property
    def bar(self) -> tuple[float, float, float] | None:
        """Value and interval in [0, 1], to be drawn; None where they are not all a share."""
        if self.value is None or self.low is None or self.high is None:
            return None
        ends = (self.value, self.low, self.high)
        return ends if all(0 <= end <= 1 for end in ends) else None


Cell = str | Measure


@dataclass(frozen=True)
class Paragraph:
    """A sentence or some; a warning stands out, a quiet one stands back."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class Heading:
    """A small heading within a section."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names and values, one a line."""

    rows: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names it. Rows are as long as ``head``."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Command:
    """The command that gives the figures above it."""

    text: str


Block = Paragraph | Heading | Bullets | Facts | Table | Command


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Parameters
    ----------
    name
        Short, for links; unique on the page.
    title
        In plain words.
    blocks
        In order.
    level
        2, or 3 for a part of the section before it.
    folded
        For those who want to look it up: closed at first on the page, left out in the terminal.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    level: int = 2
    folded: bool = False


_WORDS: Mapping[str, str] = {
    "auc": "AUC",
    "ece": "ECE",
    "iou": "IoU",
    "covid19": "COVID-19",
    "jsrt": "JSRT",
    "nih": "NIH",
    "sha256": "SHA-256",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "n": "images",
    "ema": "EMA",
    "ap": "AP",
    "pa": "PA",
    "dice": "Dice",
    "jaccard": "Jaccard",
    "brier": "Brier",
    "delong": "DeLong",
}


def in_words(key: str) -> str:
    """Turn a key such as ``within_source_auc`` into words: "Within source AUC"."""
    words = [_WORDS.get(word, word) for word in printable(key).replace("_", " ").split(" ")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def number(value: float) -> str:
    """Write a number as a person reads it: three decimals below one, else four digits."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.4g}"


def scalar(value: Any) -> str:
    """Write a single value: yes and no for flags, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    return printable(str(value))


def is_scalar(value: Any) -> bool:
    """Whether a value is neither a mapping nor a list."""
    return not isinstance(value, Mapping | list | tuple)
