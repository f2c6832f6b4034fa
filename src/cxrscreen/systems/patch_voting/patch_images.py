"""The images from which patches are cut, and the patches that the classifier learns from and is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cxrscreen.imaging.enhancement import resize_to_square
from cxrscreen.systems.patch_voting.patches import corners_of, cut_patches, draw_centres
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing, classifier_input
from cxrscreen.systems.patch_voting.views import centres_of, patch_views, region_of
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

MARGIN = 1.5
"""Side of what is turned and shifted, in patch sides, so that no corner of a patch comes from outside of it."""


@dataclass(frozen=True, eq=False)
class ImageTable:
    """Preprocessed images with their lung masks.

    Parameters
    ----------
    arrays
        uint8 (N, 2, S, S), possibly on disk: grey values, and 1 inside the lungs.
    row
        Row by image id.
    """

    arrays: NDArray[np.uint8]
    row: dict[str, int]

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """Grey values, uint8 (S, S)."""
        return np.asarray(self.arrays[self.row[image_id], 0])

    def lungs(self, image_id: str) -> NDArray[np.bool_]:
        """Lung mask, bool (S, S)."""
        return np.asarray(self.arrays[self.row[image_id], 1] > 0)


class LearnedPatches(Dataset[tuple[Tensor, Tensor]]):
    """One varied patch of an image for each draw.

    Parameters
    ----------
    table
        The images.
    image_ids, labels
        Those to learn from, with their classes.
    settings, side
        Where patches lie and what they show, and the side of the network's input.
    augment
        Variation.
    """

    def __init__(
        self,
        table: ImageTable,
        image_ids: Sequence[str],
        labels: Sequence[int],
        settings: Preprocessing,
        side: int,
        augment: AugmentSettings,
    ) -> None:
        self.table, self.image_ids, self.labels = table, tuple(image_ids), tuple(labels)
        self.settings, self.side, self.augment = settings, side, augment

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """Patch float32 (1, side, side) in [-1, 3] and its image's class, int64 ()."""
        index, seed = draw
        image_id, settings = self.image_ids[index], self.settings
        image, lungs = self.table.image(image_id), self.table.lungs(image_id)
        rng = np.random.default_rng(seed)
        if settings.approach == "local":
            centre = draw_centres(region_of(lungs, settings), 1, int(rng.integers(2**63)))
            reach = round(MARGIN * settings.field)
        else:
            centre, reach = centres_of(image, lungs, settings), settings.field
        corners = corners_of(centre, reach)
        around = round(self.side * reach / settings.field)
        geometry = draw_geometry(self.augment, rng)

        def varied(values: NDArray[np.uint8]) -> NDArray[np.float32]:
            cut = cut_patches(values, corners, reach, 0)[0].astype(np.float32)
            resized = cut if around == reach else resize_to_square(cut, around)
            first = (around - self.side) // 2
            inside = slice(first, first + self.side)
            return apply_geometry(resized, geometry, around)[inside, inside]

        grey = apply_intensity(varied(image) / np.float32(255), draw_intensity(self.augment, rng))
        filtered = apply_rectangle(varied(lungs.astype(np.uint8)), draw_rectangle(self.augment, rng))
        shown = classifier_input(grey, filtered, settings.shown)
        return torch.from_numpy(shown)[None], torch.tensor(self.labels[index])


class JudgedPatches(Dataset[tuple[Tensor, Tensor]]):
    """The first patches of each image, as screening cuts them.

    Parameters
    ----------
    table
        The images.
    image_ids
        Those to judge by.
    settings, side
        As in :class:`LearnedPatches`.
    count
        Patches of each image; fewer than at screening save time.
    """

    def __init__(
        self, table: ImageTable, image_ids: Sequence[str], settings: Preprocessing, side: int, count: int
    ) -> None:
        self.table, self.image_ids, self.settings, self.side = table, tuple(image_ids), settings, side
        self.centres = [centres_of(table.image(i), table.lungs(i), settings)[:count] for i in self.image_ids]
        self.count = len(self.centres[0])

    def __len__(self) -> int:
        return self.count * len(self.image_ids)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Patch float32 (1, side, side) in [-1, 3] and its image's index, int64 ()."""
        number, place = divmod(index, self.count)
        image, lungs = self.table.image(self.image_ids[number]), self.table.lungs(self.image_ids[number])
        corners = corners_of(self.centres[number][place : place + 1], self.settings.field)
        view = patch_views(image, lungs, corners, self.settings, self.side)
        return torch.from_numpy(view[0]), torch.tensor(number)
