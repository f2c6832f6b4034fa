"""The images of an adaptation: new and old ones, none held out that the bundle has learned from."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.data.manifest import PATH_COLUMNS, Manifest, check_manifest
from cxrscreen.data.protocols import PARTS, Part, Split, make_split
from cxrscreen.errors import BundleError, ManifestError
from cxrscreen.systems.bundle import Bundle

NEW_DISEASE = "covid19"
"""Label of the disease that stage 3 tells from other pneumonia."""
FEWEST_CASES = 8
"""Patients with the new disease below which there are too few to learn from, choose on and measure on."""
STAGES: Mapping[str, str] = {"2": "stage2", "3": "stage3"}
"""Protocol by the stage's number."""

_PRECEDENCE: tuple[Part, ...] = ("test", "validation", "train")


@dataclass(frozen=True, eq=False)
class Cohort:
    """Old and new images in one manifest, split for the stages.

    Parameters
    ----------
    manifest
        All images, with absolute paths.
    splits
        By protocol, ``stage2`` and ``stage3``. An image that the bundle knows keeps its part (training wins over
        validation, and that over test); the others are drawn by patient.
    new
        Ids of the new images.
    images
        All ids that a stage can use, sorted; they do not depend on the seed or on the number of cases.
    cases
        Patients with the new disease to learn from.
    seen
        Ids among ``images`` from which the bundle has learned before.
    """

    manifest: Manifest
    splits: Mapping[str, Split]
    new: frozenset[str]
    images: tuple[str, ...]
    cases: int
    seen: frozenset[str]

    def is_new(self, image_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each image is new, (N,)."""
        return np.array([image_id in self.new for image_id in image_ids], dtype=bool)

    def in_old_set(self, image_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each image belongs to D_o of Eq. 2, (N,): an old image without the new disease."""
        labels = self.manifest.table["label"]
        return np.array([i not in self.new and labels[i] != NEW_DISEASE for i in image_ids], dtype=bool)

    def used(self, image_ids: Sequence[str], *, with_old: bool) -> list[str]:
        """The images that an adaptation uses: all, or the new ones alone."""
        return [image_id for image_id in image_ids if with_old or image_id in self.new]

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Images by origin (``old``, ``new``), part and label."""
        result: dict[str, dict[str, dict[str, int]]] = {}
        split, labels = self.splits["stage2"], self.manifest.table["label"]
        for origin in ("old", "new"):
            for part in PARTS:
                ids = [i for i in split.part(part) if (i in self.new) == (origin == "new")]
                found = labels.loc[ids].value_counts().sort_index()
                result.setdefault(origin, {})[part] = {str(name): int(count) for name, count in found.items()}
        return result


def make_cohort(
    bundle: Bundle, new: Manifest, old: Manifest | None, *, seed: int = 0, cases: int | None = None
) -> Cohort:
    """Put new and old images together and split them.

    Parameters
    ----------
    bundle
        What will be adapted; its split files say which images it has learned from.
    new
        The new site's images: the new disease, and if there are any other pneumonia and normal ones.
    old
        The collection that must not be forgotten; None: there is none.
    seed
        Of the split of images that the bundle does not know (shares as in the cascade paper, 50 / 25 / 25 % for the
        new disease and 80 / 10 / 10 % for the others), and of the drawn cases.
    cases
        Learn from so many patients with the new disease and leave the others out of training; the held-out images stay
        the same, and fewer cases are a subset of more. None: all.

    Raises
    ------
    ManifestError
        If an image or a patient is in both manifests, or the new disease is missing or has too few cases.
    BundleError
        If the bundle lacks one of its split files.
    """
    found = new.table.loc[new.table["label"] == NEW_DISEASE, "group"].nunique()
    if found == 0:
        raise ManifestError(f"The new manifest has no image labelled {NEW_DISEASE}: give the new disease that label.")
    if found < FEWEST_CASES:
        raise ManifestError(
            f"The new manifest holds {found} patient(s) with {NEW_DISEASE}: at least {FEWEST_CASES} are needed, to "
            "learn from half of them and to choose and measure on the rest."
        )
    halves = [new] if old is None else [new, old]
    if old is not None:
        _check_apart(new, old)
    merged = _merged(halves)
    known = known_parts(bundle)
    drawn: dict[str, Part] = {}
    for half in halves:
        split = make_split("stage2", half, seed)
        drawn |= {image_id: part for part in PARTS for image_id in split.part(part)}
    part_of = _by_group(merged.table["group"], drawn, known)
    is_new = frozenset(str(i) for i in new.table.index)
    left_out, learned = _left_out(merged, part_of, is_new, seed, cases)
    return Cohort(
        manifest=merged,
        splits={name: _parted(make_split(name, merged, seed), part_of, left_out) for name in STAGES.values()},
        new=is_new,
        images=tuple(sorted(drawn)),
        cases=learned,
        seen=frozenset(image_id for image_id in drawn if known.get(image_id) == "train"),
    )


def known_parts(bundle: Bundle) -> dict[str, Part]:
    """Part of every image in the bundle's split files; training wins where the stages differ.

    Raises
    ------
    BundleError
        If the card names a split whose file is not there: training images could not be told from held-out ones.
    """
    contents = []
    for name in bundle.card.data.splits:
        file = bundle.file(f"split-{name}.json.gz")
        if not file.is_file():
            raise BundleError(f"{bundle.card.bundle_id} lacks {file.name}: give the complete bundle, with its splits.")
        contents.append(json.loads(gzip.decompress(file.read_bytes())))
    known: dict[str, Part] = {}
    for part in _PRECEDENCE:
        for content in contents:
            known |= dict.fromkeys(content[part], part)
    return known


def check_cohort(cohort: Cohort, stage: str, *, with_old: bool) -> None:
    """Find now what would stop the training or the measurement later.

    Parameters
    ----------
    cohort
        The images.
    stage
        ``"2"``, ``"3"`` or ``"both"``.
    with_old
        Whether old images are learned from.

    Raises
    ------
    ManifestError
        If there is nothing to learn from, a part lacks a class, or a file is missing.
    """
    labels = cohort.manifest.table["label"]
    for number in STAGES if stage == "both" else (stage,):
        split = cohort.splits[STAGES[number]]
        learned = cohort.used(split.train, with_old=with_old)
        if not any(i in cohort.new and labels[i] == NEW_DISEASE for i in learned):
            raise ManifestError(
                f"No new image with {NEW_DISEASE} is left to learn from, since the bundle keeps them all for "
                "validation or test: add new cases."
            )
        # Stage 2 alone may be fine-tuned on one class: that is the comparison which shows forgetting.
        if (number == "3" or with_old) and len({split.truth[i] for i in learned}) < 2:
            raise ManifestError(
                f"Stage {number} would learn from images of one class only: add images of the other one to either "
                "manifest, and leave out --without-old if the old ones have it."
            )
        if not cohort.used(split.validation, with_old=with_old):
            raise ManifestError("No new image is left to validate on: add new images.")
        for part in ("validation", "test"):
            if len({split.truth[i] for i in split.part(part)}) < 2:
                raise ManifestError(
                    f"The {part} part of stage {number} has images of one class only: add images of the other one."
                )
    missing = [i for i in cohort.images if not cohort.manifest.image_file(i).is_file()]
    if missing:
        raise ManifestError(
            f"{len(missing)} file(s) are not there, the first for {missing[0]}: correct the path column."
        )


def _check_apart(new: Manifest, old: Manifest) -> None:
    shared = len(set(new.table.index) & set(old.table.index))
    if shared:
        raise ManifestError(f"{shared} image(s) are in the new and in the old manifest: keep each in one of them.")

    def patients(manifest: Manifest) -> set[tuple[str, str]]:
        rows = manifest.table[manifest.table["patient_id"] != ""]
        return set(zip(rows["source"], rows["patient_id"], strict=True))

    shared = len(patients(new) & patients(old))
    if shared:
        raise ManifestError(
            f"{shared} patient(s) have images in the new and in the old manifest: keep each patient in one of them."
        )


def _merged(halves: Iterable[Manifest]) -> Manifest:
    tables = []
    for half in halves:
        table = half.table.drop(columns="group").reset_index(drop=True)
        root = half.root.resolve()
        for column in table.columns.intersection(list(PATH_COLUMNS)):
            table[column] = [str(root / name) if name else "" for name in table[column]]
        tables.append(table)
    return check_manifest(pd.concat(tables, ignore_index=True).fillna(""), root, name="The two manifests")


def _by_group(groups: "pd.Series[str]", drawn: Mapping[str, Part], known: Mapping[str, Part]) -> dict[str, Part]:
    """Part of every drawn image: that of its group's known images where there are any."""
    of_group: dict[str, Part] = {}
    for image_id, group in groups.items():
        part = known.get(str(image_id))
        if part is not None:
            of_group[group] = max(part, of_group.get(group, part), key=_PRECEDENCE.index)
    return {image_id: of_group.get(str(groups[image_id]), part) for image_id, part in drawn.items()}


def _left_out(
    merged: Manifest, part_of: Mapping[str, Part], new: frozenset[str], seed: int, cases: int | None
) -> tuple[frozenset[str], int]:
    """Training images of the cases that are not asked for, and the number of cases that are learned from."""
    table = merged.table
    ill = {str(i) for i in table.index[table["label"] == NEW_DISEASE]} & new
    groups = sorted({str(table.at[i, "group"]) for i, part in part_of.items() if part == "train" and i in ill})
    if cases is None:
        return frozenset(), len(groups)
    if not 1 <= cases <= len(groups):
        raise ManifestError(
            f"{cases} cases were asked for and the new manifest has {len(groups)} to learn from (the others are held "
            "out): ask for a number from 1 to that."
        )
    # The first of one shuffled order, so that fewer cases are a subset of more.
    order = np.random.default_rng(seed).permutation(len(groups))
    dropped = {groups[int(i)] for i in order[cases:]}
    return frozenset(i for i in part_of if str(table.at[i, "group"]) in dropped), cases


def _parted(base: Split, part_of: Mapping[str, Part], left_out: frozenset[str]) -> Split:
    kept = [i for part in PARTS for i in base.part(part) if i not in left_out]
    parts = {part: tuple(sorted(i for i in kept if part_of[i] == part)) for part in PARTS}
    dropped = dict(base.dropped) | {"new cases beyond the number asked for": len(left_out & set(base.truth))}
    return Split(
        name=base.name,
        seed=base.seed,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        truth=base.truth,
        groups=base.groups,
        dropped=dropped,
    )
