"""Augmentation: a random step draws parameters, a deterministic step applies them."""

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.train.recipe import AugmentSettings

Kind = TypeVar("Kind", bound=np.generic)

GREY_BINS = 64


@dataclass(frozen=True)
class Geometry:
    """A drawn affine map: rotation in degrees, factors of width and height, shift in shares of the side, mirror."""

    rotation: float = 0.0
    zoom_x: float = 1.0
    zoom_y: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    mirror: bool = False

    def matrix(self, side_in: int, side_out: int) -> NDArray[np.float64]:
        """OpenCV's 2 x 3 matrix from a square image of ``side_in`` to one of ``side_out`` pixels."""
        angle = np.deg2rad(self.rotation)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        zoom = np.diag([-self.zoom_x if self.mirror else self.zoom_x, self.zoom_y])
        linear = turn @ zoom * (side_out / side_in)
        centre_in, centre_out = (side_in - 1) / 2, (side_out - 1) / 2
        offset = centre_out + np.array([self.shift_x, self.shift_y]) * side_out - linear @ np.full(2, centre_in)
        return np.column_stack([linear, offset])


@dataclass(frozen=True)
class Intensity:
    """Drawn grey-value changes, applied in the order of the fields."""

    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    noise_seed: int = 0


@dataclass(frozen=True)
class Rectangle:
    """An erased rectangle in shares of the side."""

    top: float
    left: float
    height: float
    width: float


def draw_geometry(settings: AugmentSettings, rng: np.random.Generator) -> Geometry:
    """Draw an affine map."""
    zoom = 1.0 + rng.uniform(-settings.scale, settings.scale)
    ratio = np.sqrt(1.0 + rng.uniform(-settings.aspect, settings.aspect))
    return Geometry(
        rotation=rng.uniform(-settings.rotation, settings.rotation),
        zoom_x=zoom * ratio,
        zoom_y=zoom / ratio,
        shift_x=rng.uniform(-settings.shift, settings.shift),
        shift_y=rng.uniform(-settings.shift, settings.shift),
        mirror=bool(rng.random() < settings.flip),
    )


def draw_intensity(settings: AugmentSettings, rng: np.random.Generator) -> Intensity:
    """Draw grey-value changes."""
    exponent = np.log1p(settings.gamma)
    return Intensity(
        gamma=float(np.exp(rng.uniform(-exponent, exponent))),
        contrast=1.0 + rng.uniform(-settings.contrast, settings.contrast),
        brightness=rng.uniform(-settings.brightness, settings.brightness),
        blur=rng.uniform(0.0, settings.blur),
        noise=rng.uniform(0.0, settings.noise),
        noise_seed=int(rng.integers(2**31)),
    )


def draw_rectangle(settings: AugmentSettings, rng: np.random.Generator) -> Rectangle | None:
    """Draw an erased rectangle of 2 to 15 % of the area, or none."""
    if rng.random() >= settings.erase:
        return None
    area, ratio = rng.uniform(0.02, 0.15), np.exp(rng.uniform(-0.7, 0.7))
    height, width = float(np.sqrt(area * ratio)), float(np.sqrt(area / ratio))
    return Rectangle(rng.uniform(0, 1 - height), rng.uniform(0, 1 - width), height, width)


def apply_geometry(
    image: NDArray[np.float32] | NDArray[np.uint8],
    geometry: Geometry,
    side: int,
    *,
    nearest: bool = False,
    fill: int = 0,
) -> NDArray[np.float32]:
    """Map a square image to ``side`` pixels; what comes from outside gets ``fill``."""
    matrix = geometry.matrix(image.shape[0], side)
    interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    mapped = cv2.warpAffine(
        image, matrix, (side, side), flags=interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )
    return np.asarray(mapped, dtype=np.float32)


def apply_intensity(image: NDArray[np.float32], change: Intensity) -> NDArray[np.float32]:
    """Change the grey values of an image in [0, 1]; the result stays in [0, 1]."""
    result: NDArray[np.float32] = np.clip(image, 0.0, 1.0) ** np.float32(change.gamma)
    result = (result - 0.5) * np.float32(change.contrast) + np.float32(0.5 + change.brightness)
    sigma = change.blur * image.shape[0]
    if sigma > 0.3:
        result = np.asarray(cv2.GaussianBlur(result, (0, 0), sigma), dtype=np.float32)
    if change.noise > 0:
        noise = np.random.default_rng(change.noise_seed).standard_normal(image.shape, dtype=np.float32)
        result = result + np.float32(change.noise) * noise
    return np.asarray(np.clip(result, 0.0, 1.0), dtype=np.float32)


def apply_rectangle(image: NDArray[Kind], rectangle: Rectangle | None, value: float = 0.0) -> NDArray[Kind]:
    """Blank a rectangle of an image or a mask."""
    if rectangle is None:
        return image
    side = image.shape[0]
    result = image.copy()
    top, left = int(rectangle.top * side), int(rectangle.left * side)
    result[top : top + round(rectangle.height * side), left : left + round(rectangle.width * side)] = value
    return result


def grey_quantiles(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Grey values at :data:`GREY_BINS` equally spaced quantiles inside a mask, float32 (64,), rising."""
    inside = image[mask]
    if inside.size == 0:
        return np.linspace(0.0, 1.0, GREY_BINS, dtype=np.float32)
    return np.quantile(inside, np.linspace(0.0, 1.0, GREY_BINS)).astype(np.float32)


def match_quantiles(
    image: NDArray[np.float32], own: NDArray[np.float32], other: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Map an image with quantiles ``own`` to the quantiles ``other`` (histogram matching)."""
    # A tiny rise makes flat stretches of the own quantiles invertible.
    rising = own + np.arange(own.size, dtype=np.float32) * 1e-6
    return np.interp(image, rising, other).astype(np.float32)
