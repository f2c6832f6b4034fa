"""A publisher's folder -> a manifest, and what a person has to know of it."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrscreen.data.disease_masks import BOX_COLUMNS, BOXES, load_boxes
from cxrscreen.data.manifest import COLUMNS, LABELS, check_manifest
from cxrscreen.data.public_sources.catalogue import source_named
from cxrscreen.data.public_sources.gathering import COPY_OF, Gathering, SourceError
from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.read import read as read_image

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What was written.

    Parameters
    ----------
    source
        Its name.
    images, patients, without_patient, boxes
        How many images there are, patients with a name, images whose patient is unknown, and boxes.
    labels
        Images by label, in the order of the labels.
    left_out
        Images by reason.
    remarks
        Sentences on files that were not there, and the like.
    """

    source: str
    images: int
    patients: int
    without_patient: int
    boxes: int
    labels: dict[str, int]
    left_out: dict[str, int]
    remarks: tuple[str, ...]


def build_manifest(
    name: str, folder: Path, out: Path, *, verify: bool = False, progress: Progress | None = None
) -> Outcome:
    """Read a public source as its publisher ships it and write its manifest.

    Paths in the manifest are relative to its folder. Masks and converted images go to ``masks`` and ``images`` beside
    it, boxes to ``boxes.csv``, where those of other sources stay.

    Parameters
    ----------
    name
        A source of ``catalogue.SOURCES``.
    folder
        Where it was unpacked.
    out
        CSV file to write.
    verify
        Also read every image: those that cannot be read are left out, the others get their width and height.
    progress
        Called with how many images were read and how many there are.

    Returns
    -------
    Outcome
        Counts.

    Raises
    ------
    SourceError
        If the source is unknown, the layout is another, no image was found, or the manifest cannot be written.
    """
    source = source_named(name)
    into = Gathering(source.name, source.terms, source.home, out.parent)
    source.read(folder, into)
    if verify:
        _verify(into, progress)
    if not into.rows:
        reasons = "; ".join(f"{count} {reason}" for reason, count in into.left_out.items())
        raise SourceError(
            f"No image of {source.title} is left in {folder.name!r}{f' ({reasons})' if reasons else ''}: compare the "
            f"folder with cxrscreen sources show {source.name}."
        )
    if into.unusable_boxes:
        into.say(f"{into.unusable_boxes} boxes were left out: they have no number, no area or a corner outside.")
    table = pd.DataFrame(into.rows, columns=[*COLUMNS, COPY_OF])
    check_manifest(table, out.parent, name=out.name)
    there = set(table["image_id"])
    boxes = [box for box in into.boxes if box["image_id"] in there]
    write_table(table, out)
    _write_boxes(boxes, source.name, out.parent / BOXES)
    counts = Counter(table["label"])
    return Outcome(
        source=source.name,
        images=len(table),
        patients=table.loc[table["patient_id"] != "", "patient_id"].nunique(),
        without_patient=int((table["patient_id"] == "").sum()),
        boxes=len(boxes),
        labels={label: counts[label] for label in LABELS if counts[label]},
        left_out=dict(into.left_out),
        remarks=tuple(into.remarks),
    )


def write_table(table: pd.DataFrame, out: Path) -> None:
    """Write a table as CSV, its folder made where missing.

    Raises
    ------
    SourceError
        If that is not possible.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(out, index=False, lineterminator="\n")
    except OSError as error:
        raise SourceError(
            f"{out.name} cannot be written to {str(out.parent)!r} ({error.strerror or error}): choose another with "
            "--out."
        ) from error


def _verify(into: Gathering, progress: Progress | None) -> None:
    kept = []
    # The manifest's folder need not be there yet, and a path through it cannot be opened before.
    target = Path(os.path.realpath(into.target))
    for done, row in enumerate(into.rows, start=1):
        try:
            height, width = read_image(os.path.normpath(target / row["path"])).pixels.shape
        except UnreadableImageError:
            into.leave_out("the file cannot be read as a radiograph")
        else:
            kept.append({**row, "width": str(width), "height": str(height)})
        if progress is not None:
            progress(done, len(into.rows))
    into.rows[:] = kept


def _write_boxes(boxes: list[dict[str, str]], source: str, file: Path) -> None:
    """Replace this source's boxes, keep those of others."""
    mine = pd.DataFrame(boxes, columns=list(BOX_COLUMNS))
    if file.is_file():
        others = load_boxes(file)
        others = others[~others["image_id"].str.startswith(f"{source}/")]
        mine = pd.concat([others, mine], ignore_index=True) if len(others) else mine
    if len(mine) or file.is_file():
        write_table(mine, file)
