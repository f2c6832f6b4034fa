"""Numbers as the geometry of drawings: bars a day, bars of two distributions; a template draws them as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from cxrscreen.service.store.statistics import Day

WIDTH: Final = 960
HEIGHT: Final = 220
_LEFT: Final = 44
_BOTTOM: Final = 28
_TOP: Final = 10
_RIGHT: Final = 16
BINS: Final = 10


@dataclass(frozen=True)
class Bar:
    """A rectangle of a kind, in the drawing's units, with what it says."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    words: str


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its place and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """What a template needs to draw a chart of ``WIDTH`` x ``HEIGHT``."""

    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    base: int = HEIGHT - _BOTTOM


def volume_chart(days: Sequence[Day]) -> Chart:
    """Stack what became of images, a bar a day; received ones stand behind as an outline."""
    top = _round_up(max((max(day.received, day.screened + day.refused + day.set_aside) for day in days), default=0))
    step = (WIDTH - _LEFT - _RIGHT) / max(len(days), 1)
    bars = []
    for place, day in enumerate(days):
        x, width = _LEFT + place * step + 0.12 * step, 0.76 * step
        bars.append(_bar(x, width, 0, day.received, top, "received", f"{day.day}: {day.received} received"))
        floor = 0
        for kind, number in (("screened", day.screened), ("refused", day.refused), ("set-aside", day.set_aside)):
            bars.append(_bar(x, width, floor, number, top, kind, f"{day.day}: {number} {kind.replace('-', ' ')}"))
            floor += number
    every = max(1, math.ceil(len(days) / 10))
    across = [
        Tick(_LEFT + (place + 0.5) * step, _short(day.day)) for place, day in enumerate(days) if place % every == 0
    ]
    drawn = tuple(bar for bar in bars if bar.height > 0)
    return Chart(drawn, tuple(across), _up(top))


def histogram(scores: Sequence[float]) -> tuple[float, ...]:
    """Return the shares of scores in ten bins over [0, 1]; zeros for none."""
    counts, _ = np.histogram(np.clip(np.asarray(scores, np.float64), 0.0, 1.0), BINS, (0.0, 1.0))
    return tuple((counts / max(len(scores), 1)).tolist())


def score_chart(before: Sequence[float], recent: Sequence[float]) -> Chart:
    """Set two distributions of scores side by side, ten bins, as shares in [0, 1]."""
    top = max(0.1, math.ceil(max((*before, *recent), default=0) * 10) / 10)
    step = (WIDTH - _LEFT - _RIGHT) / BINS
    bars = []
    for place, (old, new) in enumerate(zip(before, recent, strict=True)):
        x = _LEFT + place * step
        span = f"{place / BINS:.1f} to {(place + 1) / BINS:.1f}"
        bars.append(_bar(x + 0.10 * step, 0.38 * step, 0, old, top, "before", f"{span}: {old:.0%} before"))
        bars.append(_bar(x + 0.52 * step, 0.38 * step, 0, new, top, "recent", f"{span}: {new:.0%} recent"))
    across = tuple(Tick(_LEFT + place * step, f"{place / BINS:.1f}") for place in range(BINS + 1))
    up = tuple(Tick(_height(share * top, top), f"{share * top:.0%}") for share in (0.0, 0.5, 1.0))
    return Chart(tuple(bar for bar in bars if bar.height > 0), across, up)


def _bar(x: float, width: float, floor: float, amount: float, top: float, kind: str, words: str) -> Bar:
    low, high = _height(floor, top), _height(floor + amount, top)
    return Bar(round(x, 1), round(high, 1), round(width, 1), round(low - high, 1), kind, words)


def _height(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - value / top * (HEIGHT - _BOTTOM - _TOP)


def _up(top: int) -> tuple[Tick, ...]:
    return tuple(Tick(_height(value, top), f"{value:g}") for value in sorted({0, top // 2, top}))


def _round_up(value: int) -> int:
    """The next number that reads well on an axis: 1, 2, 4, 6, 8, 10, 20, ..."""
    for exponent in range(12):
        for step in (1, 2, 4, 6, 8):
            if step * 10**exponent >= value:
                return int(step * 10**exponent)
    return value


def _short(day: date) -> str:
    return day.strftime("%m-%d")
