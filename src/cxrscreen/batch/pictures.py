"""What pictures a batch leaves of each radiograph: all of them in full, small ones alone, or none."""

from pathlib import Path
from typing import Final, Literal, get_args

from cxrscreen.imaging.encode import encode_png
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.figures import grey_picture, mask_picture
from cxrscreen.report.folder import (
    MASK_FILE,
    OVERLAY_FILE,
    THUMBNAIL_SIDE,
    Thumbnail,
    not_written,
    remove_stale,
    thumbnail,
    views_of,
    write_folder,
)
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
    return write_folder(folder, radiograph, screening)


def write_small(folder: Path, radiograph: Radiograph, screening: Screening) -> tuple[Thumbnail, ...]:
    """Write the lung mask at the radiograph's own size, and pictures of at most 420 pixels without frames.

    For many radiographs: a third of the time and an eighth of the space of the full pictures. ``lung_mask.png`` and
    ``lung_overlay.png`` as in a full folder; ``original.jpg`` and one JPEG picture for each saliency map.

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
    views = views_of(grey, mask_picture(screening.lung_mask, grey.shape), screening)
    original, lungs = next(views), next(views)
    found = [thumbnail(original, "original.jpg"), thumbnail(lungs, OVERLAY_FILE)]
    found += [thumbnail(view, f"{view.name}.jpg") for view in views]
    # The overlay first: it marks the folder as one of ours, and stays where an earlier run wrote one.
    contents = {OVERLAY_FILE: encode_png(lungs.picture), MASK_FILE: encode_png(screening.lung_mask)}
    contents |= {item.file: item.jpeg for item in found if item.file != OVERLAY_FILE}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise not_written(folder, error) from error
    return tuple(found)
