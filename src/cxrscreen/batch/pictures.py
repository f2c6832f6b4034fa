"""What pictures a batch leaves of each radiograph: all of them in full, small ones alone, or none."""

import io
from pathlib import Path
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.figures import grey_picture, lung_picture, mask_picture, saliency_picture
from cxrscreen.report.folder import (
    MASK_FILE,
    OVERLAY_FILE,
    THUMBNAIL_SIDE,
    ResultNotWrittenError,
    Thumbnail,
    remove_stale,
    write_folder,
)
from cxrscreen.report.wording import lung_share_sentence
from cxrscreen.systems.contract import Screening

Pictures = Literal["full", "small", "none"]
"""``full``: :func:`~cxrscreen.report.folder.write_folder`. ``small``: :func:`write_small`. ``none``: records alone."""
PICTURES: Final[tuple[Pictures, ...]] = get_args(Pictures)

_QUALITY: Final = 78
# WebP's quickest search for a smaller file: a quarter of the usual one's time for a third more bytes.
_METHOD: Final = 0
_PNG_OPTIONS: Final = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def write_pictures(
    folder: Path, radiograph: Radiograph, screening: Screening, pictures: Pictures
) -> tuple[Thumbnail, ...]:
    """Write the pictures of one radiograph, as many as are wanted, and return the small copies for the page.

    Raises
    ------
    ResultNotWrittenError
        If the folder or a file cannot be written.
    """
    if pictures == "none":
        return ()
    if pictures == "small":
        return write_small(folder, radiograph, screening)
    found = write_folder(folder, radiograph, screening)
    try:
        remove_stale(folder, "*.webp")
    except OSError as error:
        raise _not_written(folder, error) from error
    return found


def write_small(folder: Path, radiograph: Radiograph, screening: Screening) -> tuple[Thumbnail, ...]:
    """Write the lung mask at the radiograph's own size, and pictures of at most 420 pixels without frames.

    For many radiographs: a tenth of the time and of the space of the full pictures. ``lung_mask.png`` and
    ``lung_overlay.png`` as in a full folder; ``original.webp`` and one WebP picture for each saliency map.

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
    grey = grey_picture(radiograph.pixels, largest=THUMBNAIL_SIDE, smallest=1)
    mask = mask_picture(screening.lung_mask, grey.shape)
    lungs = lung_picture(grey, mask)
    area = f"{screening.lung_area_fraction:.0%} of the image."
    found = [_thumbnail("original", "Radiograph", "", grey), _thumbnail("lung_overlay", "Lungs found", area, lungs)]
    for saliency in screening.saliency:
        picture = saliency_picture(grey, saliency.values, mask)
        found.append(_thumbnail(saliency.name, saliency.title, lung_share_sentence(saliency), picture, is_map=True))
    # The overlay first: it marks the folder as one of ours, and stays where an earlier run wrote one.
    contents = {OVERLAY_FILE: _png(lungs), MASK_FILE: _png(screening.lung_mask)}
    contents |= {thumbnail.file: thumbnail.webp for thumbnail in found if thumbnail.file not in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder, "*.png", "*.webp")
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise _not_written(folder, error) from error
    return tuple(found)


def _not_written(folder: Path, error: OSError) -> ResultNotWrittenError:
    return ResultNotWrittenError(
        f"The result folder {folder.name!r} could not be written ({error.strerror}); check space and rights."
    )


def _thumbnail(name: str, title: str, note: str, picture: NDArray[np.uint8], *, is_map: bool = False) -> Thumbnail:
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "WEBP", quality=_QUALITY, method=_METHOD)
    height, width = picture.shape[:2]
    file = OVERLAY_FILE if name == "lung_overlay" else f"{name}.webp"
    return Thumbnail(name, title, note, file, encoded.getvalue(), width, height, is_map)


def _png(picture: NDArray[np.uint8]) -> bytes:
    ordered = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    done, encoded = cv2.imencode(".png", ordered, _PNG_OPTIONS)
    if not done:
        raise ResultNotWrittenError(
            f"A picture of {picture.shape[1]} x {picture.shape[0]} pixels could not be encoded."
        )
    return bytes(encoded)
