"""What is burned in over the picture: letters, tiles, arrows, frames, collimation bars."""

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxrscreen.data.phantoms.plane import Field, Mask

if TYPE_CHECKING:
    from cxrscreen.data.phantoms.spec import PhantomSpec

_TILES = ("AP", "PORTABLE", "ERECT", "SUPINE")


def draw_overlays(spec: "PhantomSpec", pixels: Field, target: tuple[float, float]) -> tuple[Field, Mask, Mask]:
    """Burn text, markers and frame into a picture.

    Parameters
    ----------
    spec
        Its ``overlays`` part says what to burn in.
    pixels
        float32 (H, W) in [0, 1].
    target
        Pixel (x, y) that the arrow points at.

    Returns
    -------
    pixels : float32 (H, W) in [0, 1]
        The picture with its overlays.
    text : bool (H, W)
        Letters, tiles and arrows.
    border : bool (H, W)
        White frame or collimation bars.
    """
    rng = np.random.default_rng([spec.seed, 7])
    border, border_grey = _border(spec, rng)
    pixels = np.where(border, np.float32(border_grey), pixels)
    rows, columns = spec.shape
    unit = min(rows, columns)
    ink = _Ink(spec.shape)
    edge = 0.06 * unit
    row = edge
    for marker in spec.overlays.markers:
        if marker in ("R", "L"):
            x = edge if marker == "R" else columns - edge - 0.05 * unit
            ink.write(marker, x, edge + rng.uniform(0, 0.03) * unit, 0.06 * unit)
        elif marker in _TILES:
            ink.write(marker, columns - edge, row + 0.09 * unit, 0.032 * unit, tile=True, anchor="ra")
            row += 0.05 * unit
        else:
            ink.arrow(target, 0.05 * unit, float(rng.choice([-1, 1])))
    size = max(7.0, 0.024 * unit)
    top = rows - edge - 1.3 * size * len(spec.overlays.text)
    for index, line in enumerate(spec.overlays.text):
        ink.write(line, edge, top + 1.3 * size * index, size, rim=1)
    grey, text = ink.grey(), ink.mask()
    return np.where(text, grey, pixels).astype(np.float32), text, border & ~text


class _Ink:
    """Two layers: where something is drawn, and how bright it is."""

    def __init__(self, shape: tuple[int, int]) -> None:
        size = (shape[1], shape[0])
        self._cover = Image.new("L", size, 0)
        self._value = Image.new("L", size, 0)

    def write(
        self, text: str, x: float, y: float, size: float, *, tile: bool = False, rim: int = 0, anchor: str = "la"
    ) -> None:
        """Write white letters, on a black tile or with a black rim of some pixels if asked."""
        font = ImageFont.load_default(size=max(7.0, size))
        cover, value = ImageDraw.Draw(self._cover), ImageDraw.Draw(self._value)
        if tile:
            left, top, right, bottom = cover.textbbox((x, y), text, font=font, anchor=anchor)
            pad = 0.25 * size
            cover.rectangle((left - pad, top - pad, right + pad, bottom + pad), fill=255)
        cover.text((x, y), text, fill=255, font=font, anchor=anchor, stroke_width=rim)
        value.text((x, y), text, fill=250, font=font, anchor=anchor)

    def arrow(self, target: tuple[float, float], size: float, side: float) -> None:
        """Draw a white head with a black rim that points at the target from one side."""
        x, y = target
        head = [
            (x + side * 0.4 * size, y),
            (x + side * 1.5 * size, y - 0.5 * size),
            (x + side * 1.5 * size, y + 0.5 * size),
        ]
        rim = max(1, round(0.12 * size))
        ImageDraw.Draw(self._cover).polygon(head, fill=255, outline=255, width=rim)
        ImageDraw.Draw(self._value).polygon(head, fill=250, outline=5, width=rim)

    def grey(self) -> Field:
        """Brightness in [0, 1]."""
        return np.asarray(np.asarray(self._value, dtype=np.float32) / np.float32(255), dtype=np.float32)

    def mask(self) -> Mask:
        """Where a letter, tile or arrow is."""
        return np.asarray(np.asarray(self._cover) >= 128)


def _border(spec: "PhantomSpec", rng: np.random.Generator) -> tuple[Mask, float]:
    """Frame or bars and their grey value."""
    rows, columns = spec.shape
    mask = np.zeros(spec.shape, bool)
    if spec.overlays.frame == "none":
        return mask, 0.0
    if spec.overlays.frame == "white":
        wide = max(2, round(rng.uniform(0.012, 0.03) * min(spec.shape)))
        mask[:wide] = mask[-wide:] = True
        mask[:, :wide] = mask[:, -wide:] = True
        return mask, 1.0
    opening = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], dtype=np.float64)
    inwards = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    opening += inwards * rng.uniform(0.015, 0.045, size=(4, 2)) * [columns, rows]
    canvas: NDArray[np.uint8] = np.full(spec.shape, 255, np.uint8)
    cv2.fillPoly(canvas, [np.round(opening).astype(np.int32)], 0)
    return np.asarray(canvas > 0), 0.0
