"""Where an adapter puts what it finds: rows, boxes, derived pictures, and what it leaves out and why."""

import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrscreen.data.disease_masks import BOX_COLUMNS
from cxrscreen.data.manifest import COLUMNS
from cxrscreen.data.masks import HEART, palette_image
from cxrscreen.errors import CxrscreenError

COPY_OF = "copy_of"
"""Extra column of a manifest: id of the image of another source that this one is a copy of, by publishers' names."""

MISSING_FILE = "named in the publisher's table, but the file is not there"


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

    Attributes
    ----------
    unusable_boxes
        How many boxes were none.
    """

    def __init__(self, source: str, terms: str, home: str, target: Path) -> None:
        self.source, self.target = source, target
        self.rows: list[dict[str, str]] = []
        self.boxes: list[dict[str, str]] = []
        self.left_out: Counter[str] = Counter()
        self.unusable_boxes = 0
        self.remarks: list[str] = []
        self._root = Path()
        self._defaults = {"license": terms, "url_or_doi": home}
        self._by_id: dict[str, dict[str, str]] = {}
        self._files: set[Path] = set()

    def root_of(self, folder: Path, *markers: str) -> Path:
        """Find the folder that holds a publisher's file: the one given, or one directly below it.

        Parameters
        ----------
        folder
            As given by a person.
        *markers
            Names of a file or folder; glob patterns; any one of them will do.

        Raises
        ------
        SourceError
            If the folder is missing, or holds none of them.
        """
        if not folder.is_dir():
            raise SourceError(f"There is no folder {str(folder)!r}: give the one into which the data set was unpacked.")
        for candidate in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
            if any(next(candidate.glob(marker), None) is not None for marker in markers):
                self._root = candidate
                return candidate
        raise SourceError(
            f"The folder {folder.name!r} does not hold {' or '.join(markers)}: give the folder into which the data set "
            "was unpacked, with its publisher's names."
        )

    def add(self, name: str, image: Path, label: str, *, patient: str = "", **columns: str) -> str | None:
        """Add an image, or count it as left out where its file is not there.

        Parameters
        ----------
        name
            Within the source; where another file has it, the image's folder below the root comes in front.
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
        if image in self._files:
            self.leave_out("named twice in the publisher's table")
            return None
        self._files.add(image)
        image_id = self._free_id(name, image)
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
        self._by_id[image_id] = row
        return image_id

    def lung_mask(self, image_id: str | None, found: tuple[NDArray[np.uint8], bool] | None, origin: str) -> None:
        """Write an added image's mask as a palette PNG below the manifest's folder, and its columns.

        Parameters
        ----------
        image_id
            As :meth:`add` gave it, which also names the file: two images may share a publisher's name. None for an
            image that was left out: nothing is written.
        found
            The mask, uint8 (H, W) in the image's size, 0 background, 1 right lung, 2 left lung, 3 heart; and whether it
            tells the lungs apart. None where there is none: nothing is written.
        origin
            ``human`` or ``automatic``.
        """
        if image_id is None or found is None:
            return
        mask, sides = found
        path = self._save(palette_image(mask), "masks", image_id)
        self._by_id[image_id].update(lung_mask=path, lung_mask_origin=origin, lung_mask_sides=str(sides).lower())
        if (mask == HEART).any():
            self._by_id[image_id]["heart_mask"] = path

    def box(
        self, image_id: str, finding: str, x: str | float, y: str | float, width: str | float, height: str | float
    ) -> None:
        """Add a box, or count it where it is none.

        Parameters
        ----------
        image_id
            As :meth:`add` gave it.
        finding
            What it shows.
        x, y, width, height
            Numbers or their text, in pixels of the stored image: the upper left corner, not below 0; above 0.
        """
        try:
            box = [float(value) for value in (x, y, width, height)]
        except ValueError:
            box = [math.nan]
        if not all(map(math.isfinite, box)) or min(box) < 0 or min(box[2:]) == 0:
            self.unusable_boxes += 1
            return
        values = (image_id, finding, *(f"{value:g}" for value in box))
        self.boxes.append(dict(zip(BOX_COLUMNS, values, strict=True)))

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count images that do not come into the manifest."""
        if count:
            self.left_out[reason] += count

    def say(self, sentence: str) -> None:
        """Keep a sentence for the person at the end, once."""
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    def write_image(self, name: str, pixels: NDArray[np.uint16]) -> Path:
        """Write grey values, uint16 (H, W), as a 16-bit PNG below the manifest's folder; give the file."""
        picture = Image.frombytes("I;16", pixels.shape[::-1], np.ascontiguousarray(pixels, "<u2").tobytes())
        return self.target / self._save(picture, "images", f"{self.source}/{name}")

    def relative(self, file: Path) -> str:
        """Path of a file from the manifest's folder, with slashes; absolute where no relative one exists."""
        return relative_path(file, self.target)

    def _free_id(self, name: str, image: Path) -> str:
        """An id that no other image has: with the folder in front where the name is taken, then with the suffix too."""
        if f"{self.source}/{name}" not in self._by_id:
            return f"{self.source}/{name}"
        inside = image.relative_to(self._root)
        longer = f"{self.source}/{(inside.parent / name).as_posix()}"
        return longer if longer not in self._by_id else f"{self.source}/{inside.as_posix()}"

    def _save(self, picture: Image.Image, kind: str, name: str) -> str:
        file = self.target / kind / f"{name}.png"
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
