"""The image plane: body coordinates in centimetres, and the few ways to draw in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

_SHIFT = 4
_NOISE_ORIGIN_CM = -60.0
_NOISE_SPAN_CM = 140.0


@dataclass(frozen=True)
class Plane:
    """Maps body coordinates (cm, x to the viewer's right, y down from the lung apex) to pixels and back.

    Parameters
    ----------
    shape
        Rows and columns.
    pixels_per_cm
        Resolution, the same in both directions.
    stretch
        Width and height of this body against the standard one whose coordinates are drawn.
    centre_cm
        Body point at the image centre.
    rotation_deg
        Rotation of the body, positive = clockwise.
    """

    shape: tuple[int, int]
    pixels_per_cm: float
    stretch: tuple[float, float] = (1.0, 1.0)
    centre_cm: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """Affine (2, 3) from body centimetres to pixel centres (x, y)."""
        angle = np.deg2rad(self.rotation_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = self.pixels_per_cm * turn @ np.diag(self.stretch)
        middle = np.array([(self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2])
        return np.column_stack([linear, middle - linear @ np.asarray(self.centre_cm)])

    @cached_property
    def xy(self) -> tuple[Field, Field]:
        """Body coordinates of every pixel centre: two float32 (H, W) arrays in cm."""
        inverse = cv2.invertAffineTransform(self.matrix)
        columns = np.arange(self.shape[1], dtype=np.float64)[None, :]
        rows = np.arange(self.shape[0], dtype=np.float64)[:, None]
        x, y = (inverse[i, 0] * columns + inverse[i, 1] * rows + inverse[i, 2] for i in (0, 1))
        return x.astype(np.float32), y.astype(np.float32)

    def pixels(self, points: ArrayLike) -> Points:
        """Pixel coordinates (N, 2) of body points (N, 2)."""
        linear = np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T
        return np.asarray(linear + self.matrix[:, 2])

    def fill(self, outlines: Sequence[ArrayLike]) -> Mask:
        """Union of closed outlines, each (N, 2) in cm, as a bool (H, W) mask."""
        canvas = np.zeros(self.shape, np.uint8)
        for outline in outlines:
            cv2.fillPoly(canvas, [_fixed(self.pixels(outline))], 255, lineType=cv2.LINE_8, shift=_SHIFT)
        return canvas > 0

    def paint(self, canvas: Field, outline: Points, values: ArrayLike) -> None:
        """Paint a band from `band` slice by slice, its N values (0 paints nothing) along the path, into a canvas."""
        corners = _fixed(self.pixels(outline))
        grey = np.asarray(values, dtype=np.float64)
        last = len(corners) - 1
        for i in range(len(grey) - 1):
            value = float(grey[i] + grey[i + 1]) / 2
            if value > 0:
                cv2.fillPoly(canvas, [corners[[i, i + 1, last - i - 1, last - i]]], value, cv2.LINE_8, _SHIFT)

    def depth(self, mask: Mask) -> Field:
        """Distance in cm to the nearest pixel outside the mask, 0 outside: float32 (H, W)."""
        # One empty pixel around it, so that the edge of the image counts as inside the body.
        padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        return np.asarray(np.minimum(distance, 1e4) / np.float32(self.pixels_per_cm), dtype=np.float32)

    def dome(self, mask: Mask, radius_cm: float, power: float = 0.5) -> Field:
        """Raise a rounded body over a mask: 0 at its edge, 1 from ``radius_cm`` inwards, circular for ``power`` 0.5."""
        inner = 1 - np.minimum(self.depth(mask) / np.float32(radius_cm), 1)
        return np.asarray((1 - inner * inner) ** np.float32(power), dtype=np.float32)

    def blur(self, image: Field, sigma_cm: float) -> Field:
        """Gaussian blur with its standard deviation in cm; wide ones are done on a reduced copy."""
        sigma = sigma_cm * self.pixels_per_cm
        step = max(1, int(sigma / 3))
        if step == 1:
            return np.asarray(cv2.GaussianBlur(image, (0, 0), max(sigma, 0.3)), dtype=np.float32)
        size = (max(2, round(self.shape[1] / step)), max(2, round(self.shape[0] / step)))
        small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / step)
        return np.asarray(cv2.resize(small, self.shape[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.float32)

    def mottle(self, rng: np.random.Generator, grain_cm: float) -> Field:
        """Smooth noise of mean 0 and deviation about 1 that belongs to the body, not to the pixel grid."""
        cells = int(_NOISE_SPAN_CM / grain_cm) + 4
        grid = rng.standard_normal((cells, cells), dtype=np.float32)
        x, y = self.xy
        columns = (x - np.float32(_NOISE_ORIGIN_CM)) / np.float32(grain_cm)
        rows = (y - np.float32(_NOISE_ORIGIN_CM)) / np.float32(grain_cm)
        field = cv2.remap(grid, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(field * np.float32(1.3), dtype=np.float32)


def curve(points: ArrayLike, per_span: int = 10) -> Points:
    """Centripetal Catmull-Rom curve through (N, 2) points; it ends in the first and the last."""
    knots = np.asarray(points, dtype=np.float64)
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    pieces = [_span(padded[i : i + 4], per_span) for i in range(len(knots) - 1)]
    return np.vstack([*pieces, knots[-1:]])


def band(path: Points, half_width: ArrayLike) -> Points:
    """Outline (2N, 2) of a band around a path (N, 2); the half-width is one number or one per point."""
    tangent = np.gradient(path, axis=0)
    normal = np.column_stack([-tangent[:, 1], tangent[:, 0]])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    offset = normal * np.broadcast_to(np.asarray(half_width, dtype=np.float64), (len(path),))[:, None]
    return np.vstack([path + offset, (path - offset)[::-1]])


def ellipse(centre: tuple[float, float], radii: tuple[float, float], tilt_deg: float = 0.0) -> Points:
    """Outline (48, 2) of an ellipse."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    tilt = np.deg2rad(tilt_deg)
    across, along = radii[0] * np.cos(turn), radii[1] * np.sin(turn)
    x = centre[0] + across * np.cos(tilt) - along * np.sin(tilt)
    y = centre[1] + across * np.sin(tilt) + along * np.cos(tilt)
    return np.column_stack([x, y])


def mirrored(points: ArrayLike, side: int) -> Points:
    """Points given as (distance from the midline, y), placed on the viewer's left (-1) or right (+1)."""
    placed = np.asarray(points, dtype=np.float64) * np.array([side, 1.0])
    return np.asarray(placed)


def smoothstep(low: float, high: float, values: Field) -> Field:
    """Cubic step from 0 at ``low`` to 1 at ``high`` (which may be the smaller one)."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def _span(four: Points, count: int) -> Points:
    """Interpolate the middle span of four knots, its end left out (Barry and Goldman's recursion)."""
    steps = np.sqrt(np.maximum(np.linalg.norm(np.diff(four, axis=0), axis=1), 1e-6))
    k0, k1, k2, k3 = np.concatenate([[0.0], np.cumsum(steps)])
    t = np.linspace(k1, k2, count, endpoint=False)[:, None]
    a1 = (k1 - t) / (k1 - k0) * four[0] + (t - k0) / (k1 - k0) * four[1]
    a2 = (k2 - t) / (k2 - k1) * four[1] + (t - k1) / (k2 - k1) * four[2]
    a3 = (k3 - t) / (k3 - k2) * four[2] + (t - k2) / (k3 - k2) * four[3]
    b1 = (k2 - t) / (k2 - k0) * a1 + (t - k0) / (k2 - k0) * a2
    b2 = (k3 - t) / (k3 - k1) * a2 + (t - k1) / (k3 - k1) * a3
    return np.asarray((k2 - t) / (k2 - k1) * b1 + (t - k1) / (k2 - k1) * b2)


def _fixed(points: Points) -> NDArray[np.int32]:
    """Fixed-point coordinates for OpenCV's subpixel drawing."""
    limited = np.clip(points, -20_000, 20_000)
    return np.round(limited * (1 << _SHIFT)).astype(np.int32)
