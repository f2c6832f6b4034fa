"""Views of small images: the whole, without the lungs, the lungs, their mask or the borders alone."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.evaluate.audit.controls.bench import LabelledImages, Pictures
from cxrscreen.evaluate.audit.interventions import black_lungs, borders_only, lungs_only
from cxrscreen.evaluate.audit.untouched import Edit

WHOLE, BLACK, LUNGS, EQUALISED, MASK, BORDERS = (
    "whole image",
    "lungs blanked",
    "lungs only",
    "lungs only, equalised",
    "mask only",
    "borders only",
)


def view_of(images: LabelledImages, name: str) -> Pictures:
    """Pictures of one view.

    Parameters
    ----------
    images
        uint8 pixels and lungs (n, S, S).
    name
        ``"whole image"``, ``"lungs blanked"`` or ``"lungs only"`` (the lungs grown), ``"lungs only, equalised"``,
        ``"mask only"`` (255 inside the lungs as found, 0 outside) or ``"borders only"``.

    Returns
    -------
    ndarray
        uint8 (n, S, S).
    """
    if name == WHOLE:
        return images.pixels
    if name == MASK:
        return images.lungs.astype(np.uint8) * np.uint8(255)
    return np.stack([_EDITS[name](grey, lungs) for grey, lungs in zip(images.pixels, images.lungs, strict=True)])


def _black(grey: Pictures, lungs: NDArray[np.bool_]) -> Pictures:
    return _as_bytes(black_lungs, grey, lungs)


def _lungs(grey: Pictures, lungs: NDArray[np.bool_]) -> Pictures:
    return _as_bytes(lungs_only, grey, lungs)


def _borders(grey: Pictures, lungs: NDArray[np.bool_]) -> Pictures:
    return _as_bytes(borders_only, grey, lungs)


def _equalised(grey: Pictures, lungs: NDArray[np.bool_]) -> Pictures:
    return np.asarray(cv2.equalizeHist(_lungs(grey, lungs)), dtype=np.uint8)


_EDITS: Mapping[str, Callable[[Pictures, NDArray[np.bool_]], Pictures]] = {
    BLACK: _black,
    LUNGS: _lungs,
    EQUALISED: _equalised,
    BORDERS: _borders,
}


def _as_bytes(edit: Edit, grey: Pictures, lungs: NDArray[np.bool_]) -> Pictures:
    edited = edit(grey.astype(np.float32) / np.float32(255), lungs)
    return np.round(edited * 255).astype(np.uint8)
