"""What both networks see of a radiograph; training and screening call the same functions."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from cxrscreen.imaging.enhancement import WHITE, universal_preprocessing

Shown = Literal["masked", "whole", "mask"]
Approach = Literal["local", "global"]
Pooling = Literal["image", "lungs"]
Mode = Literal["exact", "bf16", "early", "middle", "shared"]
"""How the classifier is asked about patches; see :mod:`cxrscreen.systems.patch_voting.modes`."""

BLACK_INPUT, WHITE_INPUT = -1.0, 3.0
"""Grey values of the classifiers' input; what is masked out is black."""


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Preprocessing:
    """The card's ``preprocessing``, beside the networks' own input sizes.

    Parameters
    ----------
    approach
        ``local``: patches within the lungs. ``global``: the whole image as one patch, the paper's baseline.
    shown
        ``masked``: the lungs on black, as in the paper. ``whole``: the image without mask. ``mask``: the mask alone.
    gamma
        Exponent of the universal preprocessing.
    working_side
        Longest side to which every radiograph is reduced first, pixels: one resolution for all sources, so that
        sharpness does not tell them apart. None: no reduction, as in the paper.
    image_side
        Side of the image from which patches are cut, pixels (the paper: 1024).
    patch
        Side of a patch in that image, pixels (the paper: 224); not used by the global approach.
    patches
        Patches K that vote (the paper: 100); not used by the global approach.
    seed
        Of the patches' places.
    pooling
        What the classifier pools its features over; see :class:`cxrscreen.nets.classifier.Classifier`.
    mode
        How screening asks about patches. A bundle begins with ``exact``; another one is chosen by measuring.
    ask_again
        Lead of the winning class, in shares of the patches, below which another mode asks ``exact`` after all.
    """

    approach: Approach
    shown: Shown
    gamma: float = Field(gt=0, le=4)
    working_side: int | None = Field(ge=64)
    image_side: int = Field(ge=32)
    patch: int = Field(ge=8)
    patches: int = Field(ge=1)
    seed: int = Field(ge=0)
    pooling: Pooling = "image"
    mode: Mode = "exact"
    ask_again: float = Field(default=0.0, ge=0, le=1)

    @property
    def field(self) -> int:
        """Side of what the classifier sees at once, in pixels of the image that patches are cut from."""
        return self.patch if self.approach == "local" else self.image_side


def organ_input(pixels: NDArray[np.float32], side: int, settings: Preprocessing) -> NDArray[np.float32]:
    """What the organ network sees: the universal preprocessing at its side.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    side
        Of the network's input, pixels (the paper: 256).
    settings
        Gamma and working side.

    Returns
    -------
    ndarray
        float32 (side, side) in [-1, 1].
    """
    grey = universal_preprocessing(reduced(pixels, settings.working_side), side, settings.gamma)
    return np.asarray(grey * np.float32(2 / WHITE) - np.float32(1), dtype=np.float32)


def patch_image(pixels: NDArray[np.float32], settings: Preprocessing) -> NDArray[np.uint8]:
    """The image that patches are cut from: the universal preprocessing at its side, rounded as it is stored.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    settings
        Gamma and sides.

    Returns
    -------
    ndarray
        uint8 (image_side, image_side).
    """
    grey = universal_preprocessing(reduced(pixels, settings.working_side), settings.image_side, settings.gamma)
    return np.rint(grey).astype(np.uint8)


def classifier_input(grey: NDArray[np.float32], lungs: NDArray[np.float32], shown: Shown) -> NDArray[np.float32]:
    """Grey values and lung mask of an image, or of a patch, as the classifier takes them.

    Parameters
    ----------
    grey
        float32 (..., H, W) in [0, 1].
    lungs
        float32 of the same shape in [0, 1], 1 inside the lungs.
    shown
        See :class:`Preprocessing`.

    Returns
    -------
    ndarray
        float32 in [-1, 3].
    """
    values = {"masked": grey * lungs, "whole": grey, "mask": lungs}[shown]
    return np.asarray(values * np.float32(WHITE_INPUT - BLACK_INPUT) + np.float32(BLACK_INPUT), dtype=np.float32)


def reduced(pixels: NDArray[np.float32], working_side: int | None) -> NDArray[np.float32]:
    """Reduce an image to a longest side, keeping its aspect ratio; a smaller image stays as it is."""
    longest = max(pixels.shape)
    if working_side is None or longest <= working_side:
        return pixels
    scale = working_side / longest
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
