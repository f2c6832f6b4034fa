"""What screenings say of lungs and probabilities that call for caution: one wording for all systems."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

NEAR_THRESHOLD: Final = 0.05
"""Distance of a probability from its threshold within which the decision could easily be the other one."""
LOPSIDED: Final = 0.25
"""Ratio of the smaller to the larger lung's area below which one lung may be missed or opaque."""

NO_LUNGS = "No lungs were found, so the whole image was judged: this may be no frontal chest radiograph."
ONE_LUNG = "Only one lung was found: the other may be opaque, missing or outside the image."
LOPSIDED_LUNGS = "One lung was found much smaller than the other: it may be opaque, or found only in part."
LIMITING = (NO_LUNGS, ONE_LUNG, LOPSIDED_LUNGS)
"""Warnings that touch the trust in the result."""


def lung_cautions(lungs: NDArray[np.uint8], *, trusted: bool) -> list[str]:
    """Say what is odd about the lungs that were found.

    Parameters
    ----------
    lungs
        uint8 (H, W): 0 background, 1 right lung (viewer's left), 2 left lung.
    trusted
        False where the lungs were too small to be believed and the whole image was judged in their place.

    Returns
    -------
    list of str
        One of :data:`LIMITING`, or nothing.
    """
    if not trusted:
        return [NO_LUNGS]
    smaller, larger = sorted(int((lungs == lung).sum()) for lung in (1, 2))
    if smaller == 0:
        return [ONE_LUNG]
    return [LOPSIDED_LUNGS] if smaller < LOPSIDED * larger else []
