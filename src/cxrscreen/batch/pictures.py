"""What pictures a batch leaves of each radiograph: all of them in full, small ones alone, or none."""

from pathlib import Path
from typing import Final, Literal, get_args

from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.figures import grey_picture, lung_picture, mask_picture, saliency_picture
from cxrscreen.report.folder import (
    MASK_FILE,
    OVERLAY_FILE,
    THUMBNAIL_SIDE,
    ResultNotWrittenError,
    Thumbnail,
    png,
    remove_stale,
    thumbnail,
    write_folder,
)
from cxrscreen.report.wording import lung_share_sentence
from cxrscreen.systems.contract import Screening

Pictures = Literal["full", "small", "none"]
"""``full``: :func:`~cxrscreen.report.folder.write_folder`. ``small``: :func:`write_small`. ``none``: records alone."""
PICTURES: Final[tuple[Pictures, ...]] = get_args(Pictures)


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

    For many radiographs: a third of the time and an eighth of the space of the full pictures. ``lung_mask.png`` and
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
    found = [
        thumbnail("original", "Radiograph", "", "original.webp", grey),
        thumbnail("lung_overlay", "Lungs found", area, OVERLAY_FILE, lungs),
    ]
    for saliency in screening.saliency:
        picture = saliency_picture(grey, saliency.values, mask)
        note, file = lung_share_sentence(saliency), f"{saliency.name}.webp"
        found.append(thumbnail(saliency.name, saliency.title, note, file, picture, is_map=True))
    # The overlay first: it marks the folder as one of ours, and stays where an earlier run wrote one.
    contents = {OVERLAY_FILE: png(lungs), MASK_FILE: png(screening.lung_mask)}
    contents |= {item.file: item.webp for item in found if item.file not in contents}
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
