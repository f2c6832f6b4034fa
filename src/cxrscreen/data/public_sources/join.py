"""Several manifests -> one, with copies that publishers' names tell linked."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrscreen.data.disease_masks import BOXES, load_boxes
from cxrscreen.data.manifest import PATH_COLUMNS, check_manifest, load_manifest
from cxrscreen.data.public_sources.build import write_table
from cxrscreen.data.public_sources.gathering import COPY_OF, SourceError, relative_path

UNPREFIXED = "unprefixed_id"
"""Extra column of a manifest joined with a prefix: the id before it, by which a later join tells copies."""


@dataclass(frozen=True)
class Joined:
    """What was joined.

    Parameters
    ----------
    images
        In the order of the manifests.
    copies
        How many rows were given a ``duplicate_of`` by this.
    boxes
        How many boxes there are.
    """

    images: tuple[int, ...]
    copies: int
    boxes: int


def join_manifests(files: list[Path], out: Path, *, prefix: bool = False) -> Joined:
    """Join manifests; paths are rebased on the new one's folder, boxes beside them are joined too.

    Copies are told by the column ``copy_of``, and by two rows of one source and one id (before a prefix). Of copies the
    image of the manifest named first stays; the others lead to its id by ``duplicate_of``, which keeps all of them, and
    all images of their patients, on one side of every split. A manifest's own ``duplicate_of`` stays, but for circles,
    which are opened: of any set of linked rows exactly one has none.

    Parameters
    ----------
    files
        Manifests, or folders that hold one; at least two.
    out
        CSV file to write; none of those read.
    prefix
        Put the file's name (without .csv) and a colon before every image id, where ids of two manifests are the same;
        the column :data:`UNPREFIXED` keeps the id.

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
    if (whole[UNPREFIXED] == whole["image_id"]).all():
        whole = whole.drop(columns=UNPREFIXED)
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
    if UNPREFIXED not in table.columns:
        table[UNPREFIXED] = ""
    table[UNPREFIXED] = table[UNPREFIXED].where(table[UNPREFIXED] != "", table["image_id"])
    return table


def _link(whole: pd.DataFrame) -> int:
    """Fill ``duplicate_of`` in place so that all copies of an image lead to one of them; give how many were linked."""
    of = dict(zip(whole["image_id"], whole["duplicate_of"], strict=True))
    place = {image_id: row for row, image_id in enumerate(of)}
    for image_id in of:
        _end(of, image_id)
    # Two sources may both have an image 1: then nobody knows of which of them another row is a copy.
    source_of: dict[str, str | None] = {}
    for name, source in zip(whole[UNPREFIXED], whole["source"], strict=True):
        source_of[name] = source if source_of.get(name, source) == source else None
    first: dict[tuple[str | None, str], str] = {}
    linked = 0
    columns = (whole[name] for name in ("image_id", "source", UNPREFIXED, COPY_OF))
    for image_id, source, name, copied in zip(*columns, strict=True):
        keys = [(source, name), (source_of.get(copied), copied)]
        for key in keys if copied else keys[:1]:
            ends = {_end(of, first.setdefault(key, image_id)), _end(of, image_id)}
            if len(ends) == 2:
                kept, other = sorted(ends, key=place.__getitem__)
                of[other] = kept
                linked += 1
    whole["duplicate_of"] = list(of.values())
    return linked


def _end(of: dict[str, str], image_id: str) -> str:
    """Follow copies to the row that stays; a circle is opened where it closes."""
    seen = {image_id}
    while target := of[image_id]:
        if target in seen:
            of[image_id] = ""
            break
        seen.add(target)
        image_id = target
    return image_id
