"""Cardiothoracic ratio with the lines it was measured on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrscreen.biomarkers.morphology import largest_piece
from cxrscreen.data.masks import HEART, LEFT_LUNG, RIGHT_LUNG

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Line:
    """A horizontal line through whole pixels.

    Parameters
    ----------
    row
        Its row.
    left, right
        First and last column on it, viewer's left and right.
    """

    row: int
    left: int
    right: int

    @property
    def length(self) -> int:
        """Pixels on it."""
        return self.right - self.left + 1


@dataclass(frozen=True)
class CardiothoracicRatio:
    """The ratio and its lines.

    Parameters
    ----------
    ratio
        Transverse diameter of the heart / of the thorax, above 0.
    thorax
        The widest row from the lateral edge of one lung to that of the other.
    heart_right, heart_left
        From the heart's outermost point at the viewer's left, and at the right, to the column between them; they lie
        on different rows, and their lengths add to the heart's diameter.
    heart_row
        The heart's widest single row, which some readers measure instead.
    """

    ratio: float
    thorax: Line
    heart_right: Line
    heart_left: Line
    heart_row: Line

    @property
    def one_row_ratio(self) -> float:
        """The ratio with the heart's widest single row, never above `ratio`."""
        return self.heart_row.length / self.thorax.length


def cardiothoracic_ratio(mask: Mask, heart: NDArray[np.bool_] | None = None) -> CardiothoracicRatio | None:
    """Divide the maximal transverse diameter of the heart by the maximal internal diameter of the thorax.

    The heart's diameter is the sum of its greatest distances to the right and to the left of the midline (Danzer
    1919), so the two ends may lie on different rows. The inner edge of the ribs is taken where the lungs end.

    Parameters
    ----------
    mask
        uint8 (H, W): 1 right lung (viewer's left), 2 left lung, 3 heart.
    heart
        bool (H, W), in place of the value 3.

    Returns
    -------
    CardiothoracicRatio or None
        None where the heart or a lung is missing, or no row holds both lungs.

    References
    ----------
    Oh et al. 2020, section III-B and Fig. 2(a); Danzer, Am. J. Med. Sci. 157:513, 1919.
    """
    cardiac = largest_piece(mask == HEART if heart is None else heart)
    right, left = largest_piece(mask == RIGHT_LUNG), largest_piece(mask == LEFT_LUNG)
    both = _rows(right) & _rows(left)
    if not cardiac.any() or not both.any():
        return None
    thorax = _widest_row(right | left, both)
    columns = np.flatnonzero(cardiac.any(axis=0))
    first, last = int(columns[0]), int(columns[-1])
    # Where the two half lines meet moves no figure; the middle of the thorax is where a reader draws the midline.
    middle = min(max((thorax.left + thorax.right) // 2, first), last)
    heart_right = Line(int(np.median(np.flatnonzero(cardiac[:, first]))), first, middle)
    heart_left = Line(int(np.median(np.flatnonzero(cardiac[:, last]))), middle + 1, last)
    heart_row = _widest_row(cardiac, _rows(cardiac))
    return CardiothoracicRatio((last - first + 1) / thorax.length, thorax, heart_right, heart_left, heart_row)


def _rows(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(region.any(axis=1), dtype=np.bool_)


def _widest_row(region: NDArray[np.bool_], rows: NDArray[np.bool_]) -> Line:
    first = region.argmax(axis=1)
    last = region.shape[1] - 1 - region[:, ::-1].argmax(axis=1)
    widths = np.where(rows, last - first, -1)
    row = int(np.argmax(widths))
    return Line(row, int(first[row]), int(last[row]))
