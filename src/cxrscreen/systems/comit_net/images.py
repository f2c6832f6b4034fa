"""Radiographs with their masks, stored once and varied anew for every batch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cxrscreen.data.disease_masks import DiseaseMasks
from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import IGNORE, lung_target, partial_lung_target, read_lung_mask, target_at
from cxrscreen.errors import ManifestError
from cxrscreen.imaging.enhancement.levels import from_levels
from cxrscreen.imaging.read import read
from cxrscreen.progress import tracked
from cxrscreen.systems.comit_net.preprocessing import Preprocessing, grey_view, network_input
from cxrscreen.systems.comit_net.splits import Labelled, heart_included
from cxrscreen.train.augment import (
    Geometry,
    apply_geometry,
    apply_intensity,
    apply_rectangle,
    draw_geometry,
    draw_intensity,
    draw_rectangle,
)
from cxrscreen.train.batches import Draw
from cxrscreen.train.recipe import AugmentSettings

GREY, LUNGS, REGION = 0, 1, 2
"""Planes of a stored image."""

SHIFT = 10 / 224
"""Ten pixels of the paper's input, as a share of the side."""
COPIES = (
    Geometry(),
    Geometry(rotation=10.0),
    Geometry(rotation=-10.0),
    Geometry(shift_x=SHIFT),
    Geometry(shift_y=SHIFT),
    Geometry(shift_x=SHIFT, shift_y=SHIFT),
)
"""An image of COVID-19 and its five augmented copies (section 3.1)."""

Sample = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]
"""Image, lungs, region, health, diagnosis, and the image's place among the stored ones of its part."""


@dataclass(frozen=True, eq=False)
class ImageTable:
    """Stored images.

    Parameters
    ----------
    arrays
        uint8 (N, 3, S, S), possibly on disk: grey values; lungs 0, 1, or ``IGNORE`` where the outline is disputed;
        diseased region 0, 1. Masks that are not known are zeros: the switches tell.
    row
        Row by image id.
    """

    arrays: NDArray[np.uint8]
    row: dict[str, int]

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """One image, uint8 (3, S, S)."""
        return np.asarray(self.arrays[self.row[image_id]])


def store_images(
    manifest: Manifest,
    image_ids: Sequence[str],
    regions: DiseaseMasks,
    settings: Preprocessing,
    side: int,
    path: Path,
) -> None:
    """Read all images with the masks they have, and write the array that :class:`ImageTable` holds, in their order.

    Raises
    ------
    ManifestError
        If a mask is not there, cannot be read, or is not of its image's size.
    """
    # Masks that nobody has stay holes in the file.
    arrays = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(image_ids), 3, side, side))

    def prepare(index: int) -> None:
        image_id = image_ids[index]
        pixels = read(manifest.image_file(image_id)).pixels
        arrays[index, GREY] = grey_view(pixels, side, settings)
        file = manifest.mask_file(image_id)
        if file is not None:
            mask = read_lung_mask(file)
            if mask.shape != pixels.shape:
                raise ManifestError(
                    f"The lung mask {file.name} is {mask.shape} pixels and the image {pixels.shape}: give a mask of "
                    "the stored image's size."
                )
            target = partial_lung_target(mask) if heart_included(manifest, image_id) else lung_target(mask)
            arrays[index, LUNGS] = target_at(target, side)
        if image_id in regions.image_ids:
            region = regions.mask(image_id, (pixels.shape[0], pixels.shape[1]))
            arrays[index, REGION] = target_at(region.astype(np.uint8), side)

    with ThreadPoolExecutor(2) as pool:
        for _ in tracked(pool.map(prepare, range(len(image_ids))), "Reading images", total=len(image_ids)):
            pass
    arrays.flush()


class ComitImages(Dataset[Sample]):
    """Images with what is known of them.

    Parameters
    ----------
    table
        The stored images.
    labelled
        Which, with their switches; an image may come several times.
    copies
        Place in :data:`COPIES` for each of them, (N,).
    augment
        Variation of training images; None for validation, which sees what screening sees.
    """

    def __init__(
        self, table: ImageTable, labelled: Labelled, copies: NDArray[np.int64], augment: AugmentSettings | None
    ) -> None:
        self.table, self.labelled, self.copies, self.augment = table, labelled, copies, augment
        self.health, self.diagnosis = torch.from_numpy(labelled.health), torch.from_numpy(labelled.diagnosis)

    def __len__(self) -> int:
        return len(self.labelled.image_ids)

    def __getitem__(self, draw: Draw | int) -> Sample:
        """Image float32 (1, S, S) in [-1, 3], masks uint8 (S, S) of 0, 1 and ``IGNORE``, truths, and the index."""
        index, seed = draw if isinstance(draw, tuple) else (draw, 0)
        stored = self.table.image(self.labelled.image_ids[index])
        side = stored.shape[1]
        grey = from_levels(stored[GREY])
        lungs = stored[LUNGS] if self.labelled.lungs[index] else None
        region = stored[REGION] if self.labelled.region[index] else None
        moves = [COPIES[self.copies[index]]] if self.copies[index] else []
        rng = np.random.default_rng(seed)
        if self.augment is not None:
            moves.append(draw_geometry(self.augment, rng))
        for move in moves:
            grey = apply_geometry(grey, move, side)
            lungs, region = (None if mask is None else _moved(mask, move) for mask in (lungs, region))
        if self.augment is not None:
            grey = apply_intensity(grey, draw_intensity(self.augment, rng))
            rectangle = draw_rectangle(self.augment, rng)
            grey = apply_rectangle(grey, rectangle)
            if region is not None and region.any():
                # What was erased shows no disease any more; lungs go on behind it.
                region = apply_rectangle(region, rectangle, IGNORE)
        unknown = np.full((side, side), IGNORE, np.uint8)
        return (
            torch.from_numpy(network_input(grey)[None]),
            torch.from_numpy(unknown if lungs is None else np.array(lungs)),
            torch.from_numpy(unknown.copy() if region is None else np.array(region)),
            self.health[index],
            self.diagnosis[index],
            index,
        )


def _moved(mask: NDArray[np.uint8], move: Geometry) -> NDArray[np.uint8]:
    return apply_geometry(mask, move, mask.shape[0], nearest=True).astype(np.uint8)


def with_copies(labelled: Labelled, *, copies: bool) -> tuple[Labelled, NDArray[np.int64]]:
    """Add the five copies of every COVID-19 image behind it, whatever is asked of it.

    Parameters
    ----------
    labelled
        Training images.
    copies
        False: none is added.

    Returns
    -------
    tuple
        The images, and for each its place in :data:`COPIES`.
    """
    if not copies:
        return labelled, np.zeros(len(labelled.image_ids), np.int64)
    counts = np.where(labelled.covid19, len(COPIES), 1)
    rows = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([np.arange(count) for count in counts])
    return labelled.at(rows), places.astype(np.int64)
