"""The folder of one radiograph: its lung mask and pictures as PNG, and small copies of the pictures for the page."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.errors import CxrscreenError
from cxrscreen.imaging.encode import encode_jpeg, encode_png
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.figures import (
    grey_picture,
    lung_picture,
    mask_picture,
    partly_looked_at,
    picture_size,
    saliency_picture,
)
from cxrscreen.report.frame import with_colour_bar, with_lung_legend
from cxrscreen.report.wording import lung_share_sentence
from cxrscreen.systems.contract import SaliencyMap, Screening

MASK_FILE: Final = "lung_mask.png"
OVERLAY_FILE: Final = "lung_overlay.png"
THUMBNAIL_SIDE: Final = 420
COVERAGE_NOTE: Final = "Where the system looked, whatever it saw there; no explanation."
_HATCHING_NOTE: Final = "Grey hatching: not looked at."


class ResultNotWrittenError(CxrscreenError):
    """A result that could not be put on disk."""


@dataclass(frozen=True)
class Thumbnail:
    """A small picture for the page.

    Parameters
    ----------
    name
        ``"original"``, ``"lung_overlay"`` or the name of a saliency map.
    title
        What it shows, in plain words.
    note
        One more fact on it, may be empty.
    file
        Name of the full picture in the radiograph's folder.
    jpeg
        The encoded picture, longest side at most 420 pixels.
    width, height
        Its size in pixels.
    is_map
        Whether it is a map, so that a colour scale belongs to it.
    is_coverage
        Whether that map tells where the system looked, and has its own colours.
    """

    name: str
    title: str
    note: str
    file: str
    jpeg: bytes
    width: int
    height: int
    is_map: bool
    is_coverage: bool = False


def write_folder(folder: Path, radiograph: Radiograph, screening: Screening) -> tuple[Thumbnail, ...]:
    """Write the lung mask and the pictures of one radiograph, and return the small copies.

    ``lung_mask.png`` is 8-bit grey at the radiograph's own size and holds the plain values 0 background, 1 right
    lung, 2 left lung (so it looks black; ``lung_overlay.png`` is the one to look at). ``original.png`` and
    ``lung_overlay.png`` follow, and one picture for each saliency map, named as the map; their longest side is at
    most 1024 pixels, the frame not counted. Where the folder is one of an earlier run, its pictures are removed or
    overwritten, so that no map of another run is left beside the new ones.

    Parameters
    ----------
    folder
        Where to write; made where missing.
    radiograph, screening
        What was read and what was found.

    Returns
    -------
    tuple of Thumbnail
        Original, lungs, then the maps in the screening's order.

    Raises
    ------
    ResultNotWrittenError
        If the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
    except OSError as error:
        raise not_written(folder, error) from error

    grey = grey_picture(radiograph.pixels)
    mask = mask_picture(screening.lung_mask, grey.shape)
    views = views_of(grey, mask, screening)
    original, lungs = next(views), next(views)
    # Written first, since it marks the folder as one of ours, also where a later picture does not get to the disk.
    _write_png(folder / OVERLAY_FILE, with_lung_legend(lungs.picture, lungs.title, lungs.note))
    _write_png(folder / MASK_FILE, screening.lung_mask)
    _write_png(folder / "original.png", original.picture)
    for view, saliency in zip(views, screening.saliency, strict=True):
        framed = with_colour_bar(
            view.picture, view.title, view.note, kind=saliency.kind, hatching=partly_looked_at(saliency)
        )
        _write_png(folder / f"{view.name}.png", framed)
    # Drawn anew at their size: less work than to shrink pictures of three colours, and outlines stay clear.
    small = thumbnail_picture(grey)
    shown = views_of(small, mask_picture(mask, small.shape), screening)
    return tuple(thumbnail(view, f"{view.name}.png") for view in shown)


@dataclass(frozen=True, eq=False)
class View:
    """One picture of a result, without its frame.

    Parameters
    ----------
    name, title, note, is_map, is_coverage
        As in :class:`Thumbnail`.
    picture
        uint8 (H, W), or RGB (H, W, 3).
    """

    name: str
    title: str
    note: str
    picture: NDArray[np.uint8]
    is_map: bool = False
    is_coverage: bool = False


def views_of(grey: NDArray[np.uint8], mask: NDArray[np.uint8], screening: Screening) -> Iterator[View]:
    """Draw the radiograph, the lungs found, then the maps in the screening's order.

    Parameters
    ----------
    grey, mask
        uint8 (h, w): the radiograph and its lungs (1 right, 2 left) at the size wanted.
    screening
        What was found.
    """
    yield View("original", "Radiograph", "", grey)
    area = f"{screening.lung_area_fraction:.0%} of the image."
    yield View("lung_overlay", "Lungs found", area, lung_picture(grey, mask))
    for saliency in screening.saliency:
        picture = saliency_picture(grey, saliency.values, mask, kind=saliency.kind, looked_at=saliency.looked_at)
        is_coverage = saliency.kind == "coverage"
        yield View(saliency.name, saliency.title, _note(saliency), picture, is_map=True, is_coverage=is_coverage)


def _note(saliency: SaliencyMap) -> str:
    # that where a system looked lies inside the lungs speaks for no answer
    note = COVERAGE_NOTE if saliency.kind == "coverage" else lung_share_sentence(saliency)
    return f"{note} {_HATCHING_NOTE}" if partly_looked_at(saliency) else note


def is_result_folder(folder: Path) -> bool:
    """Tell whether a folder is one that :func:`write_folder` wrote: it holds the picture of the lungs found."""
    return (folder / OVERLAY_FILE).exists()


def remove_stale(folder: Path) -> None:
    """Take away an earlier run's pictures, but not the one that marks the folder as ours: a kill may follow.

    Where nothing marks it so, the pictures in it are somebody else's and stay.
    """
    if not is_result_folder(folder):
        return
    for pattern in ("*.png", "*.jpg"):
        for stale in folder.glob(pattern):
            if stale.name != OVERLAY_FILE:
                stale.unlink()


def thumbnail(view: View, file: str) -> Thumbnail:
    """Make the small picture for the page of a view drawn at its size; it links to ``file`` in the folder."""
    height, width = view.picture.shape[:2]
    jpeg = encode_jpeg(view.picture)
    return Thumbnail(view.name, view.title, view.note, file, jpeg, width, height, view.is_map, view.is_coverage)


def thumbnail_picture(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey picture, uint8 (h, w), with a longest side of at most 420 pixels."""
    height, width = picture_size(grey.shape, largest=THUMBNAIL_SIDE)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def not_written(folder: Path, error: OSError) -> ResultNotWrittenError:
    """Build the error for a folder that cannot be written."""
    return ResultNotWrittenError(
        f"The result folder {folder.name!r} could not be written ({error.strerror}); check space and rights."
    )


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    encoded = encode_png(picture)
    try:
        path.write_bytes(encoded)
    except OSError as error:
        raise ResultNotWrittenError(
            f"The picture {path.name} of {path.parent.name!r} could not be written ({error.strerror}); "
            "check space and rights."
        ) from error
