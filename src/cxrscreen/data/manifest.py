"""The manifest: one typed row per image, with patients and duplicates linked into groups."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrscreen.errors import ManifestError

LABELS = (
    "normal",
    "covid19",
    "bacterial",
    "viral",
    "tuberculosis",
    "fungal",
    "pneumonia",
    "nodule",
    "other",
    "unknown",
)
"""Coarse labels; ``pneumonia`` is pneumonia of unspecified cause."""

PNEUMONIA_LABELS = ("covid19", "bacterial", "viral", "tuberculosis", "fungal", "pneumonia")
"""Labels that stage 2 of the cascade calls pneumonia (of any type)."""

VIEWS = ("PA", "AP", "AP Supine", "L", "unknown")
TERNARY = ("true", "false", "unknown")

REQUIRED_COLUMNS = ("image_id", "path", "source", "label")
COLUMNS = (
    "image_id",
    "path",
    "source",
    "patient_id",
    "finding",
    "label",
    "view",
    "sex",
    "age",
    "offset_days",
    "offset_reference",
    "width",
    "height",
    "original_width",
    "original_height",
    "pediatric",
    "license",
    "url_or_doi",
    "lung_mask",
    "lung_mask_origin",
    "lung_mask_sides",
    "lung_mask_2",
    "lung_mask_2_origin",
    "heart_mask",
    "severity_geographic",
    "severity_opacity",
    "duplicate_of",
    "notes",
)
"""All columns, in order; those that are not required may be missing or empty."""

PATH_COLUMNS = ("path", "lung_mask", "lung_mask_2", "heart_mask", "disease_mask")
"""Columns that hold a file's path, relative to the manifest's folder; the last is an extra one."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """A validated table of images.

    Parameters
    ----------
    table
        One row per image, indexed by ``image_id``; all columns are strings, empty where unknown. The added column
        ``group`` names the set of images linked by patient or by ``duplicate_of``: no split may divide it.
    root
        Folder to which the table's paths are relative.
    """

    table: pd.DataFrame
    root: Path

    def image_file(self, image_id: str) -> Path:
        """Path of an image."""
        return self.root / str(self.table.at[image_id, "path"])

    def mask_file(self, image_id: str) -> Path | None:
        """Path of the preferred lung mask (palette PNG: 0 background, 1 right lung, 2 left lung), or None."""
        name = str(self.table.at[image_id, "lung_mask"])
        return self.root / name if name else None


def load_manifest(path: Path | str) -> Manifest:
    """Read and check a manifest.

    Parameters
    ----------
    path
        A CSV file, or a folder that holds ``manifest.csv``. Paths in it are relative to its folder.

    Returns
    -------
    Manifest
        With missing optional columns added, empty.

    Raises
    ------
    ManifestError
        If the file is missing or unreadable, a required column is missing, an id is doubled or empty, a label, view or
        paediatric flag is unknown, or ``duplicate_of`` names no row.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "manifest.csv"
    if not file.is_file():
        raise ManifestError(f"No manifest at {file}: give a CSV file or a folder that holds manifest.csv.")
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise ManifestError(f"{file.name} is not a readable CSV table: {str(error).splitlines()[0]}") from error
    return check_manifest(table, file.parent, name=file.name)


def check_manifest(table: pd.DataFrame, root: Path, name: str = "The manifest") -> Manifest:
    """Check a table against the schema and link its images into groups; see :func:`load_manifest`."""
    missing = [column for column in REQUIRED_COLUMNS if column not in table.columns]
    if missing:
        raise ManifestError(f"{name} lacks the column(s) {', '.join(missing)}: add them (one row per image).")
    table = table.copy()
    for column in COLUMNS:
        if column not in table.columns:
            table[column] = {"view": "unknown", "pediatric": "unknown"}.get(column, "")
    if (table["image_id"] == "").any():
        row = int((table["image_id"] == "").to_numpy().argmax())
        raise ManifestError(f"{name} has an empty image_id in data row {row + 1}: give every image its own id.")
    doubled = table["image_id"][table["image_id"].duplicated()]
    if len(doubled):
        raise ManifestError(f"{name} has the image_id {doubled.iloc[0]} more than once: give every image its own id.")
    for column, allowed in (("label", LABELS), ("view", VIEWS), ("pediatric", TERNARY)):
        wrong = ~table[column].isin(allowed)
        if wrong.any():
            first = table[wrong].iloc[0]
            raise ManifestError(
                f"{name} has the {column} {first[column]!r} for {first['image_id']}: use one of {', '.join(allowed)}."
            )
    table = table.set_index("image_id", drop=False)
    lost = [target for target in table["duplicate_of"] if target and target not in table.index]
    if lost:
        raise ManifestError(f"{name} names {lost[0]} in duplicate_of, which is no image_id in it: correct or empty it.")
    table["group"] = _groups(table)
    return Manifest(table, root)


def _groups(table: pd.DataFrame) -> list[str]:
    """Connected components over "same patient" and "copy of"; the smallest image id names a component."""
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(a: str, b: str) -> None:
        parent[find(a)] = find(b)

    columns = (table[name] for name in ("image_id", "source", "patient_id", "duplicate_of"))
    for image_id, source, patient, twin in zip(*columns, strict=True):
        find(f"image {image_id}")
        if patient:
            # Two hospitals may both have a patient 1.
            join(f"image {image_id}", f"patient {patient} of {source}")
        if twin:
            join(f"image {image_id}", f"image {twin}")
    names: dict[str, str] = {}
    for image_id in sorted(table["image_id"]):
        names.setdefault(find(f"image {image_id}"), image_id)
    return [names[find(f"image {image_id}")] for image_id in table["image_id"]]
