"""Pictures the gate must object to: everyday ones, slices, photographs of screens, crops."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file

Grey = NDArray[np.float32]

NOT_PICTURES = ("README.txt", "multipage.tif", "multipage_rgb.tif")
"""Files beside the sample images that are none of them."""
PACKAGES = (("skimage", "data"), ("sklearn", "datasets/images"), ("matplotlib", "mpl-data/sample_data"))
SUFFIXES = (".png", ".jpg")


def everyday() -> Iterator[tuple[str, Grey]]:
    """Yield name and grey values, float32 (H, W) in [0, 1], of the sample pictures that scientific packages bring.

    They are given in grey: in colour the gate would know them by that alone.
    """
    for package, folder in PACKAGES:
        root = Path(str(resources.files(package))) / folder
        for path in sorted(root.iterdir()):
            if path.suffix in SUFFIXES and path.name not in NOT_PICTURES:
                with Image.open(path) as image:
                    grey = np.asarray(image.convert("L"), np.float32) / np.float32(255)
                if min(grey.shape) >= 100:
                    yield f"{package}/{path.stem}", grey


def crops(picture: Grey, rng: np.random.Generator, count: int) -> Iterator[Grey]:
    """Yield the picture and some of its parts, each between half and nine tenths of its sides long."""
    yield picture
    rows, columns = picture.shape
    for _ in range(count - 1):
        share = rng.uniform(0.5, 0.9, 2)
        high, wide = max(96, int(share[0] * rows)), max(96, int(share[1] * columns))
        top, left = rng.integers(0, max(1, rows - high)), rng.integers(0, max(1, columns - wide))
        yield np.ascontiguousarray(picture[top : top + high, left : left + wide])


def real_slice() -> Grey:
    """The computed tomography slice that pydicom brings, float32 (H, W) in [0, 1], soft-tissue window."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    units = dataset.pixel_array.astype(np.float32) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    return np.asarray(np.clip((units + 160) / 400, 0, 1), np.float32)


def body_slice(rng: np.random.Generator) -> Grey:
    """Draw a slice through a chest: skin, ribs, two lungs, heart, spine and table; a lung or a soft-tissue window.

    float32 (512, 512) in [0, 1].
    """
    side = 512
    units = np.full((side, side), -1000, np.float32)
    centre = (int(side / 2 + rng.normal(0, 8)), int(side / 2 + rng.normal(0, 12)))
    wide, high = int(side * rng.uniform(0.36, 0.47)), int(side * rng.uniform(0.25, 0.35))

    def ellipse(x: float, y: float, a: float, b: float, value: float, angle: float = 0.0) -> None:
        where = (int(centre[0] + x * wide), int(centre[1] + y * high))
        axes = (max(1, int(a * wide)), max(1, int(b * high)))
        cv2.ellipse(units, where, axes, angle, 0, 360, value, -1, cv2.LINE_AA)

    ellipse(0, 0, 1, 1, -100)
    ellipse(0, 0, 0.93, 0.9, 50)
    lung = rng.uniform(-880, -780)
    for sign in (-1.0, 1.0):
        ellipse(sign * 0.46, -0.02, rng.uniform(0.30, 0.37), rng.uniform(0.58, 0.7), lung, sign * rng.uniform(-8, 8))
    ellipse(rng.uniform(0.05, 0.2), -0.2, rng.uniform(0.2, 0.33), rng.uniform(0.25, 0.4), 60)
    ellipse(0, 0.12, 0.09, 0.13, 150)
    ellipse(0, 0.55, 0.13, 0.16, 400)
    for angle in np.linspace(0, 2 * np.pi, 17)[:-1]:
        ellipse(0.86 * np.cos(angle), 0.8 * np.sin(angle), 0.06, 0.05, 450, float(np.degrees(angle)) + 90)
    if rng.uniform() < 0.7:
        cv2.ellipse(units, (side // 2, centre[1] + high - 40), (int(0.45 * side), 60), 0, 20, 160, -300, 3)
    units += cv2.GaussianBlur(rng.normal(0, 60, units.shape).astype(np.float32), (0, 0), 1.0)
    low, width = (-1350.0, 1500.0) if rng.uniform() < 0.5 else (-160.0, 400.0)
    return np.asarray(np.clip((units - low) / width, 0, 1), np.float32)


def screen_photograph(picture: Grey, rng: np.random.Generator) -> Grey:
    """Photograph a screen that shows a picture: sub-pixel grid, bezel, perspective, glare, uneven light, moire.

    Parameters
    ----------
    picture
        float32 (H, W) in [0, 1].
    rng
        Draws the camera's place, the grid's pitch and the light.

    Returns
    -------
    ndarray
        float32 (h, w) in [0, 1], about 1000 pixels wide.
    """
    rows, columns = 900, 1000
    shown = cv2.resize(picture, (720, 720), interpolation=cv2.INTER_AREA)
    scale = 3
    shown = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    # The dark lines between a screen's pixels; the camera's own grid turns them into moire.
    grid = np.ones(scale, np.float32)
    grid[-1] = rng.uniform(0.35, 0.7)
    shown = shown * np.tile(grid, shown.shape[0] // scale)[:, None] * np.tile(grid, shown.shape[1] // scale)[None]
    pad = int(rng.uniform(0.0, 0.12) * shown.shape[0])
    shown = cv2.copyMakeBorder(shown, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0.04)
    wall = float(rng.uniform(0.15, 0.6))
    high, wide = shown.shape
    corners = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], np.float32)
    margin = rng.uniform(-0.03, 0.09)
    target = corners / np.array([wide, high]) * (1 - 2 * margin) + margin + rng.normal(0, 0.025, (4, 2))
    matrix = cv2.getPerspectiveTransform(corners, (target * np.array([columns, rows])).astype(np.float32))
    # Without averaging: each camera pixel takes one point of the screen, as its small light-sensitive part does.
    photograph = cv2.warpPerspective(
        shown, matrix, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=wall
    )
    photograph = cv2.GaussianBlur(photograph, (0, 0), float(rng.uniform(0.5, 0.9)))
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    for _ in range(int(rng.integers(0, 3))):
        at, size = rng.uniform(0.1, 0.9, 2), rng.uniform(0.05, 0.2) * columns
        distance = (x - at[0] * columns) ** 2 + (y - at[1] * rows) ** 2
        photograph += np.float32(rng.uniform(0.2, 0.6)) * np.exp(-distance / (2 * size**2))
    photograph *= 1 + np.float32(rng.normal(0, 0.15)) * (x / columns - 0.5)
    photograph += np.asarray(rng.normal(0, rng.uniform(0.005, 0.02), photograph.shape), np.float32)
    # What a telephone stores is compressed.
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 95))]
    _, stored = cv2.imencode(".jpg", (np.clip(photograph, 0, 1) * 255).astype(np.uint8), quality)
    decoded = cv2.imdecode(np.asarray(stored), cv2.IMREAD_GRAYSCALE)
    return np.asarray(decoded, np.float32) / np.float32(255)


def cut_off(picture: Grey, mask: NDArray[np.uint8], rng: np.random.Generator) -> Grey:
    """Crop a radiograph so that 20 to 40 percent of the lungs' box are missing on one side or at one end.

    Parameters
    ----------
    picture
        float32 (H, W) in [0, 1].
    mask
        uint8 (h, w) of any size, above 0 is lung.
    rng
        Draws the side and the part.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    scale = np.array([picture.shape[0] / mask.shape[0], picture.shape[1] / mask.shape[1]])
    top, bottom = (int(v * scale[0]) for v in (rows[0], rows[-1] + 1))
    left, right = (int(v * scale[1]) for v in (columns[0], columns[-1] + 1))
    part = rng.uniform(0.2, 0.4)
    high, wide = int(part * (bottom - top)), int(part * (right - left))
    side = int(rng.integers(0, 4))
    cuts = (
        picture[top + high :],
        picture[: bottom - high],
        picture[:, left + wide :],
        picture[:, : right - wide],
    )
    return np.ascontiguousarray(cuts[side])
