"""Where the disease is, as a manifest tells it: masks in a column, or boxes in a table beside it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import ManifestError

BOXES = "boxes.csv"
"""Disease boxes beside the manifest: a row per box, in pixels of the stored image."""
BOX_COLUMNS = ("image_id", "finding", "x", "y", "width", "height")
MASK_COLUMN = "disease_mask"
"""Column of a manifest, which need not be there: path of an image whose values above 0 are disease."""


class DiseaseMasks:
    """The images whose diseased region is known.

    Parameters
    ----------
    files
        Mask by image id.
    boxes
        Boxes by image id, for images without a mask.
    """

    def __init__(self, files: Mapping[str, Path], boxes: Mapping[str, pd.DataFrame]) -> None:
        self._files, self._boxes = dict(files), {i: rows for i, rows in boxes.items() if i not in files}

    @property
    def image_ids(self) -> frozenset[str]:
        """Ids of these images."""
        return frozenset(self._files) | frozenset(self._boxes)

    def drawn(self, image_id: str) -> str:
        """What a region is made of, in a word: its mask's file name, or its boxes; empty where it is not known."""
        if image_id in self._boxes:
            return self._boxes[image_id].to_csv(index=False)
        return self._files[image_id].name if image_id in self._files else ""

    def mask(self, image_id: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The region in an image of this size, bool (H, W); where boxes stand for it, all of their area.

        Raises
        ------
        ManifestError
            If a mask is not there, is no image, or has another size.
        """
        if image_id in self._boxes:
            return box_mask(self._boxes[image_id], shape)
        file = self._files[image_id]
        try:
            with Image.open(file) as image:
                plain = image if image.mode in {"P", "L"} else image.convert("L")
                values = np.frombuffer(plain.tobytes(), np.uint8).reshape(plain.height, plain.width)
        except (OSError, UnidentifiedImageError) as error:
            raise ManifestError(
                f"The disease mask {file.name} cannot be read: check the manifest's {MASK_COLUMN} column."
            ) from error
        if values.shape != shape:
            raise ManifestError(
                f"The disease mask {file.name} is {values.shape} pixels and the image {shape}: give a mask of the "
                "stored image's size."
            )
        return values > 0


def disease_masks(manifest: Manifest) -> DiseaseMasks:
    """Find out which images have a diseased region: from the column :data:`MASK_COLUMN` and from :data:`BOXES`.

    Boxes of images that the manifest does not have are passed over.

    Raises
    ------
    ManifestError
        If the boxes are no table of boxes.
    """
    table = manifest.table
    files = {}
    if MASK_COLUMN in table.columns:
        files = {str(i): manifest.root / str(name) for i, name in table[MASK_COLUMN].items() if name}
    boxes = {}
    file = manifest.root / BOXES
    if file.is_file():
        found = load_boxes(file)
        boxes = {str(i): rows for i, rows in found.groupby("image_id") if i in table.index}
    return DiseaseMasks(files, boxes)


def load_boxes(file: Path) -> pd.DataFrame:
    """Read disease boxes: one row per box, the columns of :data:`BOX_COLUMNS`, x and y the upper left corner.

    Raises
    ------
    ManifestError
        If the table is unreadable, lacks a column, or holds a box without an area or before the image's corner.
    """
    try:
        boxes = pd.read_csv(file, dtype={"image_id": str, "finding": str})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise ManifestError(f"{file.name} is not a readable CSV table: give one row per box.") from error
    missing = [column for column in BOX_COLUMNS if column not in boxes.columns]
    if missing:
        raise ManifestError(f"{file.name} lacks the column(s) {', '.join(missing)}: give {', '.join(BOX_COLUMNS)}.")
    numbers = boxes[list(BOX_COLUMNS[2:])].apply(pd.to_numeric, errors="coerce")
    right = np.isfinite(numbers).all(axis=1) & (numbers[["x", "y"]] >= 0).all(axis=1)
    right &= (numbers[["width", "height"]] > 0).all(axis=1)
    if not right.all():
        row = int((~right).to_numpy().argmax())
        raise ManifestError(f"{file.name} holds no box in data row {row + 1}: give x, y, width and height in pixels.")
    return boxes.assign(**{name: numbers[name] for name in numbers})


def box_mask(boxes: pd.DataFrame, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels, bool (H, W), whose centre lies in one of the boxes."""
    y, x = np.arange(shape[0])[:, None] + 0.5, np.arange(shape[1])[None, :] + 0.5
    inside = np.zeros(shape, dtype=np.bool_)
    for left, top, width, height in boxes[list(BOX_COLUMNS[2:])].to_numpy(dtype=np.float64):
        inside |= (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
    return inside
