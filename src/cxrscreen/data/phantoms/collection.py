"""Folders of phantoms: a set with its manifest for training runs, and the examples of the repository."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrscreen.data.manifest import COLUMNS
from cxrscreen.data.phantoms.render import Phantom, make_phantom
from cxrscreen.data.phantoms.spec import MIN_SIZE, Frame, Marker, PhantomError, PhantomFinding, PhantomView
from cxrscreen.data.phantoms.write import write_dicom, write_mask, write_png

_FINDINGS: tuple[PhantomFinding, ...] = ("normal", "covid19", "bacterial", "tuberculosis")
_WORDS = {
    "normal": "normal",
    "covid19": "bilateral peripheral ground glass",
    "bacterial": "lobar consolidation",
    "tuberculosis": "apical lesions",
}
_TEXT = ("SYNTHETIC PHANTOM", "PATIENT: NOBODY  02-JAN-2020", "CHEST 120 kV 2.0 mAs", "SCREENING UNIT 3")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Planned:
    """One image of a set before it is drawn."""

    patient: int
    image: int
    seed: int
    finding: PhantomFinding
    view: PhantomView


def write_set(
    folder: Path,
    count: int,
    seed: int = 0,
    *,
    size: int = 512,
    dicom_every: int = 4,
    progress: Progress | None = None,
) -> Path:
    """Write a mixed set of phantoms with masks and a manifest.

    The findings take turns, every third patient has two images (a PA, then an AP of the same body), and every
    ``dicom_every``-th image is a DICOM file, MONOCHROME1 and MONOCHROME2 in turn. Files: ``manifest.csv``,
    ``images/phantom/*``, ``masks/phantom/*`` (0 background, 1 right lung, 2 left lung, 3 heart).

    Parameters
    ----------
    folder
        Made if missing; must not hold a manifest yet.
    count
        Number of images, at least 1.
    seed
        Seed of the whole set, at least 0.
    size
        Rows of every image, at least 128; the columns vary between 0.85 and 1.15 of it.
    dicom_every
        0 for PNG files alone.
    progress
        Called with (written, count) after each image.

    Returns
    -------
    pathlib.Path
        The manifest.

    Raises
    ------
    PhantomError
        If a number is outside its range, the folder has a manifest, or a file cannot be written.
    """
    if count < 1:
        raise PhantomError(f"The number of phantoms must be 1 or more, not {count}.")
    if seed < 0:
        raise PhantomError(f"The seed of a set of phantoms must be 0 or more, not {seed}.")
    if size < MIN_SIZE / 0.85:
        raise PhantomError(f"The phantoms of a set need at least {int(MIN_SIZE / 0.85) + 1} rows, not {size}.")
    if dicom_every < 0:
        raise PhantomError(f"Every how many phantoms one is a DICOM file must be 0 (none) or more, not {dicom_every}.")
    manifest = folder / "manifest.csv"
    if manifest.exists():
        raise PhantomError(f"{folder} already holds a manifest.csv: choose another folder for the phantoms.")
    _make_folders(folder / "images" / "phantom", folder / "masks" / "phantom")
    rng = np.random.default_rng([seed, 100])
    rows = []
    for number, planned in enumerate(_plan(count, seed, rng)):
        shape = (size, round(size * float(rng.uniform(0.85, 1.15))))
        phantom = make_phantom(planned.seed, planned.finding, shape=shape, view=planned.view)
        as_dicom = dicom_every > 0 and number % dicom_every == dicom_every - 1
        name = f"{planned.patient:04d}-{planned.image}"
        path = f"images/phantom/{name}.{'dcm' if as_dicom else 'png'}"
        if as_dicom:
            one = (number // dicom_every) % 2 == 0
            write_dicom(
                phantom,
                folder / path,
                transfer_syntax="JPEGLSLossless",
                photometric="MONOCHROME1" if one else "MONOCHROME2",
                patient_id=f"PHANTOM-{planned.seed}",
                image_number=planned.image,
            )
        else:
            write_png(phantom, folder / path)
        mask = f"masks/phantom/{name}.png"
        write_mask(phantom, folder / mask)
        rows.append(_row(phantom, planned, name, path, mask))
        if progress is not None:
            progress(number + 1, count)
    _write_manifest(manifest, rows)
    return manifest


def write_examples(folder: Path, *, size: int = 640) -> list[Path]:
    """Write the six example files of the repository.

    Parameters
    ----------
    folder
        Made if missing; files of the same names are replaced.
    size
        Rows and columns, at least 128.

    Returns
    -------
    list of pathlib.Path
        A normal PNG, ground glass (PNG), a consolidation (16-bit PNG), apical lesions (DICOM, MONOCHROME1),
        ground glass on a portable machine (DICOM, MONOCHROME2), and an inverted PNG full of text.

    Raises
    ------
    PhantomError
        If the size is too small or a file cannot be written.
    """
    _make_folders(folder)
    shape = (size, size)
    frame: Frame = "black"
    markers: tuple[Marker, ...] = ("R", "ERECT", "arrow")
    files = [
        folder / name
        for name in (
            "normal.png",
            "covid19.png",
            "bacterial-16bit.png",
            "tuberculosis-monochrome1.dcm",
            "covid19-portable.dcm",
            "bacterial-text-inverted.png",
        )
    ]
    write_png(make_phantom(4, "normal", shape=shape), files[0])
    write_png(make_phantom(15, "covid19", shape=shape), files[1])
    write_png(make_phantom(8, "bacterial", shape=shape), files[2], bits=16)
    apical = make_phantom(35, "tuberculosis", shape=shape)
    write_dicom(apical, files[3], transfer_syntax="JPEGLSLossless", photometric="MONOCHROME1")
    portable = make_phantom(21, "covid19", shape=shape, view="AP", markers=("L", "PORTABLE"))
    write_dicom(portable, files[4], transfer_syntax="JPEGLSLossless")
    texted = make_phantom(16, "bacterial", shape=shape, text=_TEXT, markers=markers, frame=frame, inverted=True)
    write_png(texted, files[5])
    return files


def _plan(count: int, seed: int, rng: np.random.Generator) -> Iterator[_Planned]:
    """Patients with one or two images each, the findings in turn."""
    made, patient = 0, 0
    while made < count:
        finding = _FINDINGS[patient % len(_FINDINGS)]
        patient += 1
        person = int(np.random.default_rng([seed, 101, patient]).integers(2**31))
        alone: PhantomView = "AP" if rng.uniform() < 0.4 else "PA"
        views: tuple[PhantomView, ...] = ("PA", "AP") if patient % 3 == 1 else (alone,)
        for image, view in enumerate(views[: count - made], start=1):
            yield _Planned(patient=patient, image=image, seed=person, finding=finding, view=view)
            made += 1


def _row(phantom: Phantom, planned: _Planned, name: str, path: str, mask: str) -> dict[str, str]:
    """One line of the manifest; columns that do not apply stay empty."""
    height, width = phantom.pixels.shape
    anatomy = phantom.spec.anatomy
    filled = {
        "image_id": f"phantom/{name}",
        "path": path,
        "source": "phantom",
        "patient_id": f"phantom:{planned.patient:04d}",
        "finding": _WORDS[phantom.finding],
        "label": phantom.finding,
        "view": phantom.view,
        "sex": anatomy.sex,
        "age": str(anatomy.age),
        "width": str(width),
        "height": str(height),
        "original_width": str(width),
        "original_height": str(height),
        "pediatric": "false",
        "license": "Apache-2.0",
        "lung_mask": mask,
        "lung_mask_origin": "exact",
        "lung_mask_sides": "true",
        "heart_mask": mask,
        "notes": f"synthetic, seed {phantom.spec.seed}",
    }
    return {column: filled.get(column, "") for column in COLUMNS}


def _write_manifest(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the table."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise PhantomError(f"{path} could not be written: {error.strerror or error}.") from error


def _make_folders(*folders: Path) -> None:
    """Make folders, with one sentence where that fails."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PhantomError(f"The folder {folder} could not be made: {error.strerror or error}.") from error
