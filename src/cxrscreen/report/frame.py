"""The frame of a picture that stands alone: a title, a colour bar with ticks, the legend of the lungs."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxrscreen import RESEARCH_USE
from cxrscreen.report.figures import LEFT_LUNG, RIGHT_LUNG, colour_scale, hatched
from cxrscreen.systems.contract import MapKind

_BACKGROUND: Final = (11, 15, 20)
_INK: Final = (226, 232, 240)
_QUIET: Final = (148, 163, 184)
_TITLE_ROWS: Final = 46
_FOOT_ROWS: Final = 24
_BAR_COLUMNS: Final = 92
_TICKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_MEASURES: Final[Mapping[MapKind, str]] = {"saliency": "importance", "coverage": "how often"}
_HATCHING_ROWS: Final = 68


def with_colour_bar(
    picture: NDArray[np.uint8], title: str, subtitle: str, *, kind: MapKind = "saliency", hatching: bool = False
) -> NDArray[np.uint8]:
    """Frame the picture of a map: title above, colour bar at the right, the statement of use below.

    Parameters
    ----------
    picture
        uint8 (h, w, 3), R, G, B.
    title, subtitle
        What the map is and one fact on it.
    kind
        Chooses the colours of the bar.
    hatching
        Explain below the bar what is hatched.

    Returns
    -------
    numpy.ndarray
        uint8 (h + title and foot, w + bar, 3).
    """
    bar = _colour_bar(picture.shape[0], kind, hatching)
    return _stacked(np.concatenate([picture, bar], axis=1), title, subtitle, legend=False)


def with_lung_legend(picture: NDArray[np.uint8], title: str, subtitle: str) -> NDArray[np.uint8]:
    """Frame a lung picture: title above with the colours of the right and the left lung, the statement of use below.

    Parameters and return value as in :func:`with_colour_bar`, without the bar.
    """
    return _stacked(picture, title, subtitle, legend=True)


def _stacked(body: NDArray[np.uint8], title: str, subtitle: str, *, legend: bool) -> NDArray[np.uint8]:
    width = body.shape[1]
    return np.concatenate([_head(width, title, subtitle, legend), body, _foot(width)], axis=0)


@lru_cache(maxsize=64)
def _head(width: int, title: str, subtitle: str, legend: bool) -> NDArray[np.uint8]:
    strip = Image.new("RGB", (width, _TITLE_ROWS), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    room = width - 20
    draw.text((10, 6), _fitting(title, room, 15), _INK, _font(15))
    x = 10.0
    if legend:
        for colour, name in ((RIGHT_LUNG, "right lung"), (LEFT_LUNG, "left lung")):
            draw.rectangle((x, 29, x + 9, 38), fill=colour)
            draw.text((x + 14, 26), name, _QUIET, _font(12))
            x += 14 + _font(12).getlength(name) + 14
    draw.text((x, 26), _fitting(subtitle, width - 10 - x, 12), _QUIET, _font(12))
    return np.asarray(strip)


@lru_cache(maxsize=8)
def _foot(width: int) -> NDArray[np.uint8]:
    strip = Image.new("RGB", (width, _FOOT_ROWS), _BACKGROUND)
    ImageDraw.Draw(strip).text((10, 5), _fitting(RESEARCH_USE, width - 20, 11), _QUIET, _font(11))
    return np.asarray(strip)


@lru_cache(maxsize=16)
def _colour_bar(height: int, kind: MapKind, hatching: bool) -> NDArray[np.uint8]:
    strip = Image.new("RGB", (_BAR_COLUMNS, height), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    top, bottom = min(34, height // 4), height - min(16, height // 8)
    if hatching:
        bottom = max(top, bottom - _HATCHING_ROWS)
        swatch = hatched(np.full((16, 30), 96, np.uint8))
        strip.paste(Image.fromarray(swatch), (14, bottom + 16))
        draw.rectangle((13, bottom + 15, 44, bottom + 32), outline=_QUIET)
        for line, words in enumerate(("grey hatching:", "not looked at")):
            draw.text((10, bottom + 36 + 15 * line), words, _INK, _font(11))
    length = max(2, bottom - top)
    draw.text((12, 8), _fitting(_MEASURES[kind], _BAR_COLUMNS - 14, 12), _QUIET, _font(12))
    bar = np.repeat(colour_scale(length, kind)[::-1, None], 16, axis=1)
    strip.paste(Image.fromarray(bar), (14, top))
    draw.rectangle((13, top - 1, 30, top + length), outline=_QUIET)
    for tick in _TICKS:
        y = top + round((1 - tick) * (length - 1))
        draw.line((31, y, 35, y), fill=_QUIET)
        draw.text((40, y), f"{tick:.2f}", _INK, _font(12), anchor="lm")
    return np.asarray(strip)


def _fitting(text: str, room: float, size: int) -> str:
    font = _font(size)
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…"


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
