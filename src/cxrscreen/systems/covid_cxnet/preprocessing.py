"""What the classifier sees of a radiograph; training and screening call the same functions."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from cxrscreen.imaging.enhancement import Enhancement, match_histogram, three_channels
from cxrscreen.imaging.enhancement.beasf import GREATEST_GAMMA, LEAST_GAMMA
from cxrscreen.imaging.enhancement.levels import from_levels, to_levels
from cxrscreen.systems.cascade.roi import RoiSettings, cut_lungs, network_input
from cxrscreen.systems.covid_cxnet.classes import Version

RoiKind = Literal["none", "box", "mask"]
Channels = Literal["original", "stack"]
Pooling = Literal["image", "lungs"]
Box = tuple[float, float, float, float]
Value = TypeVar("Value", np.uint8, np.float32)


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Preprocessing:
    """The card's ``preprocessing``, beside the networks' own input sizes.

    Parameters
    ----------
    classes
        ``binary``: COVID-19 against normal. ``three``: normal, other pneumonia, COVID-19.
    roi
        ``none``: the whole image. ``box``: cut to the lungs' box, as the authors' code does; marks and shoulders inside
        the box stay. ``mask``: cut, and black outside the dilated lungs, as the paper describes it (Fig. 9).
    channels
        ``stack``: original, CLAHE and BEASF. ``original``: the grey image, for networks of one channel.
    working_side
        Longest side to which every radiograph is reduced first, pixels: one resolution for all sources, so that
        sharpness does not tell them apart. None: no reduction, as in the paper.
    margin
        Margin around the lungs' box, as a share of its sides.
    dilation
        Growth of the lung mask, as a share of the input's side, so that pleura and edges stay.
    clip_limit, tiles, gamma
        Of CLAHE and BEASF.
    reference
        Grey quantiles to which every image is matched before enhancement (the paper's three-class version), or None.
    pooling
        What the classifier pools its features over; see :class:`cxrscreen.nets.classifier.Classifier`.
    """

    classes: Version
    roi: RoiKind
    channels: Channels
    working_side: int | None = Field(ge=64)
    margin: float = Field(ge=0, lt=1)
    dilation: float = Field(ge=0, lt=1)
    clip_limit: float = Field(gt=0)
    tiles: int = Field(ge=1)
    gamma: float = Field(ge=LEAST_GAMMA, le=GREATEST_GAMMA)
    reference: tuple[float, ...] | None = None
    pooling: Pooling = "image"

    @property
    def enhancement(self) -> Enhancement:
        """Settings of the enhancement."""
        return Enhancement(self.clip_limit, self.tiles, self.gamma)


@dataclass(frozen=True, eq=False)
class View:
    """The region of interest of one radiograph, before enhancement.

    Parameters
    ----------
    grey
        uint8 (S, S): grey values, not filtered.
    kept
        uint8 (S, S): 1 where they stay, 0 where they will be black.
    lungs
        uint8 (S, S): 1 inside the lungs as they were found, not dilated.
    box
        Top, left, bottom, right of the region, as shares of the radiograph's height and width.
    trusted
        False where too little lung was found and the whole image stands in.
    """

    grey: NDArray[np.uint8]
    kept: NDArray[np.uint8]
    lungs: NDArray[np.uint8]
    box: Box
    trusted: bool


def region_of_interest(
    pixels: NDArray[np.float32], mask: NDArray[np.uint8], settings: Preprocessing, side: int
) -> View:
    """Cut the region of interest out of a radiograph (paper, Fig. 9), before enhancement.

    Its grey values are spread over those of the whole box.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    mask
        uint8 (h, w), any size: above 0 is lung.
    settings
        Kind of region and sizes.
    side
        Side of the network's input, pixels.
    """
    shown = mask if settings.roi != "none" else np.zeros_like(mask)
    cutting = RoiSettings(side, settings.working_side, settings.margin, settings.dilation)
    roi = cut_lungs(pixels, shown, cutting)
    kept = roi.mask if settings.roi == "mask" else np.ones_like(roi.mask)
    trusted = roi.trusted or settings.roi == "none"
    return View(to_levels(roi.pixels), kept.astype(np.uint8), _lungs_in(mask, roi.box, side), roi.box, trusted)


def classifier_input(
    grey: NDArray[np.float32], kept: NDArray[np.float32], settings: Preprocessing
) -> NDArray[np.float32]:
    """Match, enhance and filter a region as the classifier takes it.

    The statistics of matching and enhancement are taken over the unfiltered region, so that what lies in the box but
    outside the lungs moves the grey values inside them. The paper filters first (sections 3.2 and 5.3); then the black
    surroundings would decide the mean and the histograms.

    Parameters
    ----------
    grey
        float32 (S, S) in [0, 1].
    kept
        float32 (S, S) in [0, 1], 0 where the result is black.
    settings
        Of the card.

    Returns
    -------
    ndarray
        float32 (C, S, S) in [-1, 3], -1 where nothing is kept.
    """
    return network_input(enhanced(matched(grey, settings), settings) * kept)


def matched(grey: NDArray[np.float32], settings: Preprocessing) -> NDArray[np.float32]:
    """Give a region float32 (S, S) in [0, 1] the grey values of the settings' reference, if there is one."""
    return grey if settings.reference is None else match_histogram(grey, settings.reference)


def enhanced(grey: NDArray[np.float32], settings: Preprocessing) -> NDArray[np.float32]:
    """The channels of a matched region, float32 (C, S, S) in [0, 1]."""
    return three_channels(grey, settings.enhancement) if settings.channels == "stack" else grey[None]


def view_input(view: View, settings: Preprocessing) -> NDArray[np.float32]:
    """The classifier's input for a view, float32 (C, S, S) in [-1, 3]."""
    return classifier_input(from_levels(view.grey), view.kept.astype(np.float32), settings)


def in_region(values: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """Cut what lies over a whole radiograph, float32 (S, S), to the region of a view's box, at the same size."""
    return _warped(values, box, values.shape[0], cv2.INTER_LINEAR)


def _lungs_in(mask: NDArray[np.uint8], box: Box, side: int) -> NDArray[np.uint8]:
    """The lungs in the frame of the region, uint8 (side, side)."""
    return _warped((mask > 0).astype(np.uint8), box, side, cv2.INTER_NEAREST)


def _warped(values: NDArray[Value], box: Box, side: int, flags: int) -> NDArray[Value]:
    rows, columns = values.shape
    scale_x, scale_y = side / ((box[3] - box[1]) * columns), side / ((box[2] - box[0]) * rows)
    shift = np.array([[scale_x, 0, -box[1] * columns * scale_x], [0, scale_y, -box[0] * rows * scale_y]])
    return np.asarray(cv2.warpAffine(values, shift, (side, side), flags=flags), dtype=values.dtype)
