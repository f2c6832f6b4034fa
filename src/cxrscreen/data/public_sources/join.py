"""Several manifests -> one, with copies that publishers' names tell linked."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrscreen.data.disease_masks import BOXES, MASK_COLUMN, load_boxes
from cxrscreen.data.manifest import check_manifest, load_manifest
from cxrscreen.data.public_sources.build import write_table
from cxrscreen.data.public_sources.gathering import COPY_OF, SourceError, relative_path

PATH_COLUMNS = ("path", "lung_mask", "lung_mask_2", "heart_mask", MASK_COLUMN)


@dataclass(frozen=True)
class Joined:
    """What was joined.

    Parameters
    ----------
    images
        In the order of the manifests.
    copies
        How many rows were linked to an image of an earlier manifest.
    boxes
        How many boxes there are.
    """

    images: tuple[int, ...]
    copies: int
    boxes: int


def join_manifests(files: list[Path], out: Path, *, prefix: bool = False) -> Joined:
    """Join manifests; paths are rebased on the new one's folder, boxes beside them are joined too.

    Of two copies that the column ``copy_of`` tells, the image of the manifest named first stays; the later row gets its
    id as ``duplicate_of``, which keeps both, and all images of their patients, on one side of every split.

    Parameters
    ----------
    files
        Manifests, or folders that hold one; at least two.
    out
        CSV file to write; none of those read.
    prefix
        Put the file's name (without .csv) and a colon before every image id, where ids of two manifests are the same.

    Returns
    -------
    Joined
        Counts.

    Raises
    ------
    ManifestError
        If a manifest is not one.
    SourceError
        If fewer than two are given, two image ids are the same, or the new manifest would overwrite a part.
    """
    if len(files) < 2:
        raise SourceError("Give at least two manifests to join.")
    files = [file / "manifest.csv" if file.is_dir() else file for file in files]
    if out.resolve() in [file.resolve() for file in files]:
        raise SourceError(f"{out.name} is one of the manifests to join: choose another name with --out.")
    stems = [file.stem for file in files]
    if prefix and len(set(stems)) < len(stems):
        raise SourceError("Two manifests have the same file name, which is to be the prefix: rename one.")
    tables, boxes = [], []
    for file, stem in zip(files, stems, strict=True):
        before = f"{stem}:" if prefix else ""
        table = _rebased(load_manifest(file).table, file.parent, out.parent)
        own = set(table["image_id"])
        table["_said"] = table["image_id"]
        table["image_id"] = before + table["image_id"]
        table["duplicate_of"] = [before + target if target else "" for target in table["duplicate_of"]]
        tables.append(table)
        if (file.parent / BOXES).is_file():
            found = load_boxes(file.parent / BOXES)
            found = found[found["image_id"].isin(own)]
            boxes.append(found.assign(image_id=before + found["image_id"]))
    whole = pd.concat(tables, ignore_index=True).fillna("")
    doubled = whole["image_id"][whole["image_id"].duplicated()]
    if len(doubled):
        raise SourceError(
            f"The image id {doubled.iloc[0]} is in two of the manifests ({len(doubled)} ids are): give --prefix to put "
            "the file's name before each, or leave one manifest out."
        )
    copies = _link(whole)
    whole = whole.drop(columns="_said")
    check_manifest(whole, out.parent, name=out.name)
    write_table(whole, out)
    every = pd.concat(boxes, ignore_index=True) if boxes else pd.DataFrame()
    if len(every):
        write_table(_with_others(every, set(whole["image_id"]), out.parent / BOXES), out.parent / BOXES)
    return Joined(tuple(len(table) for table in tables), copies, len(every))


def _with_others(boxes: pd.DataFrame, own: set[str], file: Path) -> pd.DataFrame:
    """Add the boxes of other images that a file already holds: other manifests may lie in its folder."""
    if not file.is_file():
        return boxes
    others = load_boxes(file)
    return pd.concat([others[~others["image_id"].isin(own)], boxes], ignore_index=True)


def _rebased(table: pd.DataFrame, old: Path, new: Path) -> pd.DataFrame:
    table = table.reset_index(drop=True).drop(columns="group")
    for column in PATH_COLUMNS:
        if column in table.columns:
            table[column] = [relative_path(old / name, new) if name else "" for name in table[column]]
    if COPY_OF not in table.columns:
        table[COPY_OF] = ""
    return table


def _link(whole: pd.DataFrame) -> int:
    """Fill ``duplicate_of`` of later copies in place; give how many."""
    said = Counter(whole["_said"])
    # An id that two manifests use may name two images.
    copied_from = {n: c for n, c in zip(whole["_said"], whole[COPY_OF], strict=True) if c and c != n and said[n] == 1}
    roots = {_root(name, copied_from) for name in whole[COPY_OF] if name}
    first: dict[str, str] = {}
    links = list(whole["duplicate_of"])
    linked = 0
    for row, (copied, name, image_id) in enumerate(zip(whole[COPY_OF], whole["_said"], whole["image_id"], strict=True)):
        key = _root(copied or name, copied_from)
        if key not in roots or (not copied and said[name] > 1):
            continue
        kept = first.setdefault(key, image_id)
        if kept != image_id and not links[row]:
            links[row] = kept
            linked += 1
    whole["duplicate_of"] = links
    return linked


def _root(name: str, copied_from: dict[str, str]) -> str:
    """Follow copies of copies (COVIDx's of RSNA's of NIH's) to their end; a circle ends where it closes."""
    seen: set[str] = set()
    while name in copied_from and name not in seen:
        seen.add(name)
        name = copied_from[name]
    return name
