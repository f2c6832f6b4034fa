"""Lung vessels: trees that branch out from the two hila, and the fine texture between them."""

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.phantoms.anatomy import LEFT, RIGHT, SoftTissue
from cxrscreen.data.phantoms.plane import Field, Plane

if TYPE_CHECKING:
    from cxrscreen.data.phantoms.spec import PhantomSpec

_HILUM = {RIGHT: (-3.6, 10.3), LEFT: (4.0, 9.4)}
_FULL_CM = 1.6
_STEP_CM = 0.7


def vessel_tissue(spec: "PhantomSpec", plane: Plane, soft: SoftTissue) -> Field:
    """Thickness in cm of vessels and interstitium inside the lung air: float32 (H, W)."""
    rng = np.random.default_rng([spec.seed, 4])
    canvas = np.zeros(plane.shape, np.uint8)
    segments = np.vstack([_tree(rng, side) for side in (RIGHT, LEFT)])
    # Thin ones first, so that a thick vessel lies over the twig that crosses it.
    segments = segments[np.argsort(segments[:, 4], kind="stable")]
    scale = plane.pixels_per_cm
    starts, ends = plane.pixels(segments[:, 0:2]), plane.pixels(segments[:, 2:4])
    for start, end, width in zip(starts, ends, segments[:, 4], strict=True):
        pixels = width * scale
        grey = 255 * min(1.0, width / _FULL_CM) * min(1.0, pixels)
        corners = [(round(float(v[0]) * 16), round(float(v[1]) * 16)) for v in (start, end)]
        cv2.line(canvas, corners[0], corners[1], round(grey), max(1, round(pixels)), cv2.LINE_AA, 4)
    vessels = canvas.astype(np.float32) * np.float32(_FULL_CM / 255)
    vessels = 5.0 * plane.blur(vessels, 0.04) + 2.4 * plane.blur(vessels, 0.22)
    x, y = plane.xy
    for centre_x, centre_y in _HILUM.values():
        distance = np.hypot((x - centre_x) / 1.4, (y - centre_y - 0.8) / 2.6)
        vessels += 2.6 * np.exp(-(distance**2)) * (1 + 0.35 * plane.mottle(rng, 0.7))
    texture = 0.14 * plane.mottle(rng, 0.25) + 0.16 * plane.mottle(rng, 0.6) + 0.2 * plane.mottle(rng, 2.2)
    strength = np.float32(spec.anatomy.vessels)
    reach = soft.air_cm / (soft.air_cm + 2.0)
    return np.asarray(np.clip(0.3 + strength * (vessels + texture), 0, None) * reach, dtype=np.float32)


def _tree(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Segments (N, 5): start x, y, end x, y and width, all in cm."""
    hilum_x, hilum_y = _HILUM[side]
    segments: list[tuple[float, float, float, float, float]] = []
    branches: list[tuple[float, float, float, float]] = []
    # Arteries and veins leave the hilum as a fan; those to the base are the widest.
    for angle in np.deg2rad([-82, -68, -50, -34, -18, -2, 14, 26, 38, 48, 58, 67, 75, 83, 92]):
        wide = 0.40 + 0.30 * max(0.0, np.sin(angle))
        start_y = hilum_y + rng.uniform(-1.0, 1.6) + 0.8 * np.sin(angle)
        branches.append((hilum_x, start_y, angle + rng.normal(0, 0.08), wide * rng.uniform(0.7, 1.15)))
    while branches and len(segments) < 4000:
        x, y, angle, width = branches.pop()
        bend = 0.0
        while width > 0.05:
            bend = 0.6 * bend + rng.normal(0, 0.07)
            angle += bend
            end_x, end_y = x + side * _STEP_CM * np.cos(angle), y + _STEP_CM * np.sin(angle)
            segments.append((x, y, end_x, end_y, width))
            x, y = end_x, end_y
            if abs(x) > 14.2 or not -0.5 < y < 26:
                break
            width *= 0.925
            if rng.uniform() < 0.24:
                turn = rng.choice([-1, 1]) * rng.uniform(0.35, 0.9)
                branches.append((x, y, angle + turn, width * rng.uniform(0.5, 0.8)))
                width *= 0.92
                angle -= 0.25 * turn
    return np.array(segments)
