"""Regions of interest, stored once and varied anew for every batch."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cxrscreen.data.manifest import Manifest
from cxrscreen.imaging.read import read
from cxrscreen.progress import tracked
from cxrscreen.runtime.engine import Engine
from cxrscreen.systems.cascade.lungs import at_size
from cxrscreen.systems.cascade.pipeline import find_lungs
from cxrscreen.systems.cascade.roi import network_input
from cxrscreen.systems.covid_cxnet.preprocessing import (
    Preprocessing,
    classifier_input,
    enhanced,
    matched,
    region_of_interest,
)
from cxrscreen.train.augment import (
    apply_geometry,
    apply_intensity,
    apply_rectangle,
    draw_geometry,
    draw_intensity,
    draw_rectangle,
)
from cxrscreen.train.batches import Draw
from cxrscreen.train.recipe import AugmentSettings

GREY, KEPT, LUNGS = 0, 1, 2
"""Planes of a stored region."""


@dataclass(frozen=True, eq=False)
class RegionTable:
    """Stored regions.

    Parameters
    ----------
    arrays
        uint8 (N, 3, S, S), possibly on disk: grey values, what is kept (1), the lungs (1).
    row
        Row by image id.
    """

    arrays: NDArray[np.uint8]
    row: dict[str, int]

    def region(self, image_id: str) -> NDArray[np.uint8]:
        """One region, uint8 (3, S, S)."""
        return np.asarray(self.arrays[self.row[image_id]])


Edit = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.float32]]
"""From pixels float32 (H, W) in [0, 1] and the lungs bool (H, W) to edited pixels."""


def store_regions(
    manifest: Manifest,
    image_ids: Sequence[str],
    lungs: Engine,
    settings: Preprocessing,
    side: int,
    path: Path,
    edit: Edit | None = None,
) -> None:
    """Read, segment and cut all images, and write the array that :class:`RegionTable` holds, in their order.

    With an edit, the lungs are found again in the edited image, as screening it would.
    """
    arrays = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(image_ids), 3, side, side))

    def prepare(index: int) -> None:
        pixels = read(manifest.image_file(image_ids[index])).pixels
        found = find_lungs(lungs, pixels)
        if edit is not None:
            pixels = edit(pixels, at_size(found.mask, found.probability, pixels.shape) > 0)
            found = find_lungs(lungs, pixels)
        view = region_of_interest(pixels, found.mask, settings, side)
        arrays[index] = view.grey, view.kept, view.lungs

    with ThreadPoolExecutor(2) as pool:
        for _ in tracked(pool.map(prepare, range(len(image_ids))), "Cutting out", total=len(image_ids)):
            pass
    arrays.flush()


class RegionImages(Dataset[tuple[Tensor, Tensor, int, Tensor]]):
    """Enhanced regions with their truth.

    Parameters
    ----------
    table
        The stored regions.
    image_ids
        Which, in order.
    truth
        int64 (N,): classes, or float32 (N, F): findings.
    settings
        Enhancement.
    augment
        Variation of training images; None for validation, which sees what screening sees.
    """

    def __init__(
        self,
        table: RegionTable,
        image_ids: Sequence[str],
        truth: NDArray[np.int64] | NDArray[np.float32],
        settings: Preprocessing,
        augment: AugmentSettings | None,
    ) -> None:
        self.table, self.image_ids, self.truth = table, tuple(image_ids), torch.from_numpy(truth)
        self.settings, self.augment = settings, augment

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, Tensor, int, Tensor]:
        """Image float32 (C, S, S) in [-1, 3], truth, index, and the lungs uint8 (S, S)."""
        index, seed = draw if isinstance(draw, tuple) else (draw, 0)
        region = self.table.region(self.image_ids[index])
        grey, kept = region[GREY].astype(np.float32) / np.float32(255), region[KEPT].astype(np.float32)
        if self.settings.roi != "mask":
            # A box is the same region without its mask, so that one table serves both.
            kept = np.ones_like(kept)
        lungs = region[LUNGS]
        if self.augment is not None:
            rng = np.random.default_rng(seed)
            geometry, side = draw_geometry(self.augment, rng), region.shape[1]
            # Behind the matching, which goes by ranks and would undo it, and before the enhancement, as another
            # exposure of the same chest would differ before it.
            grey = apply_intensity(matched(grey, self.settings), draw_intensity(self.augment, rng))
            # Moved last: what comes in from outside is no part of the chest's mean and histograms.
            channels = np.stack([apply_geometry(channel, geometry, side) for channel in enhanced(grey, self.settings)])
            kept = apply_rectangle(apply_geometry(kept, geometry, side), draw_rectangle(self.augment, rng))
            lungs = apply_geometry(lungs, geometry, side, nearest=True).astype(np.uint8)
            image = network_input(channels * kept)
        else:
            image = classifier_input(grey, kept, self.settings)
        return torch.from_numpy(image), self.truth[index], index, torch.from_numpy(np.array(lungs))
