"""Grey values spread, matched and stacked: what makes opacities easier to see, and devices more alike."""

from cxrscreen.imaging.enhancement.adaptive import adaptive_equalisation, clahe
from cxrscreen.imaging.enhancement.beasf import beasf
from cxrscreen.imaging.enhancement.matching import grey_quantiles, match_histogram
from cxrscreen.imaging.enhancement.methods import METHODS, Enhancement, Method, enhance, three_channels
from cxrscreen.imaging.enhancement.universal import (
    LEVELS,
    WHITE,
    correct_gamma,
    equalise_histogram,
    resize_to_square,
    universal_preprocessing,
)

__all__ = [
    "LEVELS",
    "METHODS",
    "WHITE",
    "Enhancement",
    "Method",
    "adaptive_equalisation",
    "beasf",
    "clahe",
    "correct_gamma",
    "enhance",
    "equalise_histogram",
    "grey_quantiles",
    "match_histogram",
    "resize_to_square",
    "three_channels",
    "universal_preprocessing",
]
