"""The cut-out lungs of many radiographs, kept in one file while the classifiers train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxrscreen.systems.cascade.roi import Roi
from cxrscreen.train.classifier import RoiImages
from cxrscreen.train.recipe import AugmentSettings


@dataclass(frozen=True)
class RoiTable:
    """Cut-out lungs of many images: uint8 pixels and masks (N, S, S), grey quantiles (N, 64), row by image id."""

    pixels: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    quantiles: NDArray[np.float32]
    row: Mapping[str, int]

    @classmethod
    def load(cls, path: Path) -> "RoiTable":
        """Read a table from its .npz file."""
        with np.load(path) as stored:
            row = {str(image_id): index for index, image_id in enumerate(stored["image_ids"])}
            return cls(stored["pixels"], stored["masks"], stored["quantiles"], row)

    def rows(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of images."""
        return np.array([self.row[image_id] for image_id in image_ids], dtype=np.int64)

    def roi(self, image_id: str) -> Roi:
        """One image's region, as the pipeline would cut it (rounded to 8 bits)."""
        index = self.row[image_id]
        pixels = self.pixels[index].astype(np.float32) / np.float32(255)
        return Roi(pixels, self.masks[index].astype(np.float32), (0.0, 0.0, 1.0, 1.0), trusted=True)

    def images(
        self,
        image_ids: Sequence[str],
        truth: Sequence[int],
        side: int,
        augment: AugmentSettings | None,
        weighting: NDArray[np.float32] | None = None,
        *,
        plain: bool = False,
    ) -> RoiImages:
        """Images at a side with their truth, to train on; see :class:`cxrscreen.train.classifier.RoiImages`.

        ``weighting`` has a row for each row of the table, float32 (N, h, w).
        """
        rows = self.rows(image_ids)
        return RoiImages(
            self.pixels[rows],
            self.masks[rows],
            np.asarray(truth, dtype=np.int64),
            self.quantiles[rows],
            side,
            augment,
            None if weighting is None else weighting[rows],
            plain=plain,
        )
