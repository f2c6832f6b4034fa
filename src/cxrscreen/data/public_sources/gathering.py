"""Where an adapter puts what it finds: rows, boxes, derived pictures, and what it leaves out and why."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrscreen.data.disease_masks import BOX_COLUMNS
from cxrscreen.data.manifest import COLUMNS
from cxrscreen.errors import CxrscreenError

COPY_OF = "copy_of"
"""Extra column of a manifest: id of the image of another source that this one is a copy of, by publishers' names."""

MISSING_FILE = "named in the publisher's table, but the file is not there"

_MASK_PALETTE = [0, 0, 0, 230, 80, 80, 80, 140, 240, 250, 220, 90]


class SourceError(CxrscreenError):
    """A public source's folder that is not as its publisher ships it."""


class Gathering:
    """Rows of a manifest in the making.

    Parameters
    ----------
    source
        Name of the source.
    terms, home
        Written into rows that have none of their own.
    target
        Folder of the manifest: paths are relative to it, derived pictures go below it.
    """

    def __init__(self, source: str, terms: str, home: str, target: Path) -> None:
        self.source, self.target = source, target
        self.rows: list[dict[str, str]] = []
        self.boxes: list[dict[str, str]] = []
        self.left_out: Counter[str] = Counter()
        self.remarks: list[str] = []
        self._defaults = {"license": terms, "url_or_doi": home}
        self._ids: set[str] = set()

    def add(self, name: str, image: Path, label: str, *, patient: str = "", **columns: str) -> str | None:
        """Add an image, or count it as left out where its file is not there.

        Parameters
        ----------
        name
            Within the source; one that was there before gets the image's folder in front.
        image
            Its file.
        label
            One of the project's labels.
        patient
            The publisher's name of the patient, empty where there is none.
        **columns
            Further columns of the manifest, as text.

        Returns
        -------
        str or None
            The image's id in the manifest; None where it was left out.
        """
        if not image.is_file():
            self.leave_out(MISSING_FILE)
            return None
        image_id = f"{self.source}/{name}"
        if image_id in self._ids:
            image_id = f"{self.source}/{image.parent.name}/{name}"
        if image_id in self._ids:
            self.leave_out("named twice in the publisher's table")
            return None
        self._ids.add(image_id)
        row = dict.fromkeys((*COLUMNS, COPY_OF), "")
        row.update(view="unknown", pediatric="unknown", **self._defaults)
        row.update({key: value for key, value in columns.items() if value})
        row.update(
            image_id=image_id,
            path=self.relative(image),
            source=self.source,
            patient_id=f"{self.source}:{patient}" if patient else "",
            label=label,
        )
        self.rows.append(row)
        return image_id

    def box(self, image_id: str, finding: str, x: float, y: float, width: float, height: float) -> None:
        """Add a box in pixels of the stored image; x and y are its upper left corner."""
        values = (image_id, finding, *(f"{value:g}" for value in (x, y, width, height)))
        self.boxes.append(dict(zip(BOX_COLUMNS, values, strict=True)))

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count images that do not come into the manifest."""
        if count:
            self.left_out[reason] += count

    def say(self, sentence: str) -> None:
        """Keep a sentence for the person at the end, once."""
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    def write_mask(self, name: str, mask: NDArray[np.uint8]) -> str:
        """Write a lung mask, uint8 (H, W) of 0 to 3, as a palette PNG below the manifest's folder; give its path."""
        picture = Image.frombytes("P", mask.shape[::-1], np.ascontiguousarray(mask).tobytes())
        picture.putpalette(_MASK_PALETTE)
        return self._save(picture, "masks", name)

    def write_image(self, name: str, pixels: NDArray[np.uint16]) -> Path:
        """Write grey values, uint16 (H, W), as a 16-bit PNG below the manifest's folder; give the file."""
        picture = Image.frombytes("I;16", pixels.shape[::-1], np.ascontiguousarray(pixels, "<u2").tobytes())
        return self.target / self._save(picture, "images", name)

    def relative(self, file: Path) -> str:
        """Path of a file from the manifest's folder, with slashes; absolute where no relative one exists."""
        return relative_path(file, self.target)

    def _save(self, picture: Image.Image, kind: str, name: str) -> str:
        file = self.target / kind / self.source / f"{name}.png"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file, compress_level=1)
        except OSError as error:
            raise SourceError(
                f"{file.name} cannot be written below {str(self.target)!r} ({error.strerror or error}): write the "
                "manifest to another folder."
            ) from error
        return file.relative_to(self.target).as_posix()


def relative_path(file: Path, folder: Path) -> str:
    """Path of a file from a folder, with slashes; absolute where no relative one exists (another drive)."""
    # The system goes up from where a folder really is, whatever link leads to it.
    real = Path(os.path.realpath(file.parent)) / file.name
    try:
        return Path(os.path.relpath(real, os.path.realpath(folder))).as_posix()
    except ValueError:
        return real.as_posix()
