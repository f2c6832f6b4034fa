"""What the picture itself looks like: grey values, symmetry, letters, the traces of a photographed screen."""

from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cxrscreen.imaging.geometry import resize
from cxrscreen.imaging.polarity import polarity_score

Grey = NDArray[np.float32]

VIEW_SIDE = 256
DETAIL_SIDE = 640
"""Longest side at which letters are looked for, pixels."""
WINDOW_SIDE = 512
"""Side of the part in the middle, at the stored resolution, in whose quarters a screen's grid is looked for, pixels."""
_SMALLEST_QUARTER = 32
_RIM = 0.03
_LETTER_STEP = 0.3
_LETTER_GREY = 0.6
_MOST_MARKS = 800


@dataclass(frozen=True)
class PictureMeasures:
    """Measures of a picture after its grey values were spread from the 1st to the 99th percentile.

    Parameters
    ----------
    chest_likeness
        Correlation with a drawn frontal chest, [-1, 1] (see :mod:`cxrscreen.imaging.polarity`).
    symmetry
        Correlation of the picture, 16 x 16 cells, with its mirror image, [-1, 1].
    contrast
        Mean grey of what is no lung minus that of the lungs, inside their box, in [-1, 1]; 0 without lungs.
    roughness
        Mean absolute difference between neighbouring pixels of the 256 x 256 view, [0, 1].
    black
        Share of black pixels (below 0.05), [0, 1].
    black_rim
        Share of black pixels in the outermost 3 percent on the worst of the four sides, [0, 1].
    white
        Share of white pixels (above 0.98), [0, 1].
    middle
        Share of grey values between 0.2 and 0.8, [0, 1].
    letters
        Number of bright, sharp marks of the size of letters.
    letter_share
        Share of the image under the boxes of those marks, [0, 1].
    grid
        Decimal logarithm of the strongest line in the spectrum over its surroundings, in the second quietest quarter
        of the picture's middle: the grid of a screen is everywhere, burned-in text is not.
    """

    chest_likeness: float
    symmetry: float
    contrast: float
    roughness: float
    black: float
    black_rim: float
    white: float
    middle: float
    letters: float
    letter_share: float
    grid: float


def measure_picture(pixels: Grey, mask: NDArray[np.uint8]) -> PictureMeasures:
    """Measure a picture.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    mask
        uint8 (h, w) of any size, above 0 is lung.
    """
    detail = _detail(pixels)
    view = _spread(resize(detail, (VIEW_SIDE, VIEW_SIDE)))
    letters, share = count_letters(detail)
    return PictureMeasures(
        chest_likeness=polarity_score(view),
        symmetry=_symmetry(view),
        contrast=_contrast(view, mask),
        roughness=float((np.abs(np.diff(view, axis=0)).mean() + np.abs(np.diff(view, axis=1)).mean()) / 2),
        black=float((view < 0.05).mean()),
        black_rim=_black_rim(view),
        white=float((view > 0.98).mean()),
        middle=float(((view > 0.2) & (view < 0.8)).mean()),
        letters=float(letters),
        letter_share=share,
        grid=grid_line(pixels),
    )


def count_letters(detail: Grey) -> tuple[int, float]:
    """Count the marks that look like burned-in letters: bright, sharply edged, small, thin, of one height in a row.

    Parameters
    ----------
    detail
        float32 (H, W) in [0, 1], longest side about :data:`DETAIL_SIDE`.

    Returns
    -------
    count : int
        Marks with at least one neighbour of like height beside them.
    share : float
        Share of the image under their boxes.
    """
    grey = (detail * 255).astype(np.uint8)
    # A letter's pixels are bright and have something much darker right beside them; anatomy has softer edges.
    step = cv2.subtract(grey, cv2.erode(grey, np.ones((3, 3), np.uint8)))
    raised = (step > 255 * _LETTER_STEP) & (grey > 255 * _LETTER_GREY)
    _, _, stats, _ = cv2.connectedComponentsWithStats(raised.astype(np.uint8), connectivity=8)
    left, top, wide, high, area = (stats[1:, i].astype(np.float64) for i in range(5))
    side = max(detail.shape)
    fits = (high >= 5) & (high <= 0.07 * side) & (wide <= 2.5 * high) & (area >= 6) & (area <= 0.9 * wide * high + 4)
    # So many marks are no text but a texture; the comparison of all pairs would take long.
    left, top, wide, high = (values[fits][:_MOST_MARKS] for values in (left, top, wide, high))
    if len(left) < 2:
        return 0, 0.0
    beside = np.abs(left[:, None] + wide[:, None] - left[None]) < 1.2 * high[:, None]
    in_line = np.abs((top + high)[:, None] - (top + high)[None]) <= 0.25 * np.maximum(high[:, None], high[None])
    like = np.abs(high[:, None] - high[None]) <= 0.35 * np.maximum(high[:, None], high[None])
    pairs = beside & in_line & like
    np.fill_diagonal(pairs, False)
    member = pairs.any(axis=0) | pairs.any(axis=1)
    return int(member.sum()), float((wide * high)[member].sum() / detail.size)


def grid_line(pixels: Grey) -> float:
    """Strength of the strongest periodic pattern all over the middle of a picture, as photographed screens have it.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1], at the stored resolution.

    Returns
    -------
    float
        Decimal logarithm of power over the median power at like frequencies, in the second quietest of four quarters; 0
        for a picture without content. Multiples of one eighth of the sampling rate do not count: block compression
        leaves them in every picture.
    """
    rows, columns = pixels.shape
    side = min(WINDOW_SIDE, rows, columns) // 2
    if side < _SMALLEST_QUARTER:
        return 0.0
    top, left = rows // 2 - side, columns // 2 - side
    corners = ((top, left), (top, left + side), (top + side, left), (top + side, left + side))
    return sorted(_line(pixels[y : y + side, x : x + side]) for y, x in corners)[1]


def _line(window: Grey) -> float:
    side = len(window)
    window = window - cv2.GaussianBlur(window, (0, 0), 3.0)
    taper, rings = _taper(side), _rings(side)
    power = np.abs(fft.rfft2(window * taper[:, None] * taper[None])) ** 2
    best = 1.0
    for ring in rings:
        values = power.ravel()[ring]
        # numpy.median takes three times as long, and this is asked seventy times for each radiograph.
        middle = [(values.size - 1) // 2, values.size // 2]
        median = float(np.partition(values, middle)[middle].mean())
        if median > 1e-12:
            best = max(best, float(values.max()) / median)
    return float(np.log10(best))


@cache
def _taper(side: int) -> Grey:
    return np.hanning(side).astype(np.float32)


@lru_cache(maxsize=8)
def _rings(side: int) -> tuple[NDArray[np.intp], ...]:
    """Places of like frequency in a half spectrum, without those where block compression leaves lines."""
    vertical, horizontal = np.abs(np.fft.fftfreq(side))[:, None], np.fft.rfftfreq(side)[None]
    radius = np.hypot(vertical, horizontal)
    wanted = (radius > 0.06) & (radius < 0.5)
    near = 3.0 / side
    for axis, other in ((vertical, horizontal), (horizontal, vertical)):
        blocks = np.abs(axis * 8 - np.round(axis * 8)) / 8 < near
        wanted = wanted & ~(blocks & (other < near))
    ring = np.where(wanted, (radius * 40).astype(np.int64), -1)
    found = (np.flatnonzero(ring == index) for index in range(2, 20))
    return tuple(places for places in found if places.size)


def _detail(pixels: Grey) -> Grey:
    # Every second or third pixel of a large radiograph is enough for letters, and several times faster.
    step = max(1, max(pixels.shape) // (2 * DETAIL_SIDE))
    coarse = pixels[::step, ::step]
    scale = min(1.0, DETAIL_SIDE / max(coarse.shape))
    return resize(coarse, (max(1, round(coarse.shape[0] * scale)), max(1, round(coarse.shape[1] * scale))))


def _spread(view: Grey) -> Grey:
    low, high = np.percentile(view, (1.0, 99.0))
    return np.asarray(np.clip((view - low) / max(float(high - low), 1e-6), 0.0, 1.0), dtype=np.float32)


def _symmetry(view: Grey) -> float:
    cells = resize(view, (16, 16))
    cells = cells - cells.mean()
    power = float((cells * cells).sum())
    return float((cells * cells[:, ::-1]).sum() / power) if power > 1e-6 else 0.0


def _contrast(view: Grey, mask: NDArray[np.uint8]) -> float:
    lungs = cv2.resize((mask > 0).astype(np.uint8), view.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    if rows.size == 0:
        return 0.0
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    inside = lungs[box]
    if inside.all():
        return 0.0
    return float(view[box][~inside].mean() - view[box][inside].mean())


def _black_rim(view: Grey) -> float:
    wide = max(1, round(_RIM * VIEW_SIDE))
    sides = (view[:wide], view[-wide:], view[:, :wide], view[:, -wide:])
    return min(float((side < 0.05).mean()) for side in sides)
