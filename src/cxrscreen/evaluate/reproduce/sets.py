"""The sets of images behind the cascade paper's tables, as far as the data at hand allow."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxrscreen.data.manifest import Manifest, check_manifest
from cxrscreen.data.protocols import PARTS, Part, Split, make_split
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.reproduce.recipe import CovidNetRecipe, ReproduceRecipe
from cxrscreen.systems.cascade.cohort import NEW_DISEASE, Cohort

Splits = Mapping[str, Split]
"""By protocol: ``stage2`` and ``stage3``."""

CLINIC_SHARES = (0.50, 0.25, 0.25)
"""Train / validation / test shares of the clinic's images; 48 / 30 / 29 and 16 / 8 / 3 in the paper (Table 2)."""
COVID_NET_VALIDATION = 0.10
"""Share of COVID-Net's training images on which thresholds and epochs are chosen here; it had none."""


@dataclass(frozen=True, eq=False)
class Sets:
    """Images and splits; no patient or near-duplicate is in two parts, nor in the open set and the clinic.

    Parameters
    ----------
    manifest
        All images, with absolute paths.
    images
        Ids that any stage can use, sorted.
    every
        All sources (tables 1 and 3).
    open
        All but the clinic (table 4).
    before
        The open set before the new disease: without COVID-19 (the sweep's start). Its ``stage3`` has one class.
    both
        The open set and the clinic (table 5).
    clinic
        Ids of the clinic's images.
    covid_net
        The split of table 7.
    """

    manifest: Manifest
    images: tuple[str, ...]
    every: Splits
    open: Splits
    before: Splits
    both: Splits
    clinic: frozenset[str]
    covid_net: Splits

    def cohort(self, cases: int | None, seed: int) -> Cohort:
        """The clinic's images as new and the open set as old ones, learning from so many patients with COVID-19.

        Fewer cases are a subset of more, with the same seed; the held-out images are always the same. None: all.

        Raises
        ------
        ManifestError
            If there are fewer cases.
        """
        table = self.manifest.table
        dropped, learned = self._undrawn(cases, seed)
        splits = {
            name: _parted(split, lambda i, part: None if str(table.at[i, "group"]) in dropped else part)
            for name, split in self.both.items()
        }
        return Cohort(self.manifest, splits, self.clinic, self.images, learned, frozenset(self.open["stage2"].train))

    def first_cases(self, cases: int, seed: int) -> Cohort:
        """A new disease: so many of the clinic's patients with COVID-19 as new images, ``before`` as the old ones.

        Of the clinic nothing else is learned from, so that all its other images are tested on. The held-out images are
        always the same.

        Raises
        ------
        ManifestError
            If there are fewer cases.
        """
        groups, labels = self.manifest.table["group"], self.manifest.table["label"]
        dropped, learned = self._undrawn(cases, seed)
        ill = {str(groups[i]) for i in self.clinic if labels[i] == NEW_DISEASE}

        def part_of(image_id: str, part: Part) -> Part | None:
            group, new = str(groups[image_id]), labels[image_id] == NEW_DISEASE
            if image_id not in self.clinic:
                return None if new else part
            if new:
                return None if group in dropped else part
            # Also an image of one of the learned patients from before the disease is not tested on.
            return "test" if group not in ill or part == "test" else None

        splits = {name: _parted(split, part_of) for name, split in self.both.items()}
        old = {i for part in PARTS for i in self.before["stage2"].part(part)}
        images = tuple(sorted(old | self.clinic))
        return Cohort(self.manifest, splits, self.clinic, images, learned, frozenset(self.before["stage2"].train))

    def without(self, sources: Sequence[str]) -> tuple[Splits, Splits]:
        """Leave sources out.

        Returns
        -------
        tuple
            Splits without any image of these sources or of a patient of theirs, and splits whose test part holds all
            images of these sources beside the test images of the others.

        Raises
        ------
        ManifestError
            If a source has no image that a stage can use.
        """
        table = self.manifest.table
        own = {i for i in self.images if table.at[i, "source"] in sources}
        missing = set(sources) - set(table.loc[sorted(own), "source"])
        if missing:
            raise ManifestError(f"The manifest has no image to leave out of {min(missing)}: correct left_out.")
        groups = set(table.loc[sorted(own), "group"])
        near = {i for i in self.images if table.at[i, "group"] in groups} - own
        learned = {
            name: _parted(split, lambda i, part: None if i in own or i in near else part)
            for name, split in self.every.items()
        }
        held = {
            name: _parted(split, lambda i, part: "test" if i in own else None if i in near else part)
            for name, split in self.every.items()
        }
        return learned, held

    def cases(self) -> int:
        """Patients with COVID-19 whom the clinic gives to learn from."""
        return len(self._cases())

    def _cases(self) -> list[str]:
        groups = self.manifest.table["group"]
        return sorted({str(groups[i]) for i in self.both["stage2"].train if self._is_case(i)})

    def _undrawn(self, cases: int | None, seed: int) -> tuple[set[str], int]:
        """Groups of the cases that are not learned from, and the number of those that are; None: all are."""
        ill = self._cases()
        if cases is not None and cases > len(ill):
            raise ManifestError(f"The clinic has {len(ill)} cases to learn from and {cases} were asked for: ask less.")
        order = np.random.default_rng(seed).permutation(len(ill))
        learned = len(ill) if cases is None else cases
        return {ill[int(index)] for index in order[learned:]}, learned

    def _is_case(self, image_id: str) -> bool:
        return image_id in self.clinic and str(self.manifest.table.at[image_id, "label"]) == NEW_DISEASE


def make_sets(manifest: Manifest, recipe: ReproduceRecipe, seed: int) -> Sets:
    """Draw all sets.

    Parameters
    ----------
    manifest
        The images.
    recipe
        Which source is the clinic, and the split of table 7.
    seed
        Of the split: that of the bundle whose stage 1 is used, so that no test image of ``every`` has trained it.

    Raises
    ------
    ManifestError
        If a source that is asked for is not there, or has too few images.
    """
    table = manifest.table
    for source in (recipe.clinic, *recipe.covid_net.sources):
        if not (table["source"] == source).any():
            raise ManifestError(f"The manifest has no image of the source {source}: name another one in the recipe.")
    absolute = _with_absolute_paths(manifest)
    every = {name: make_split(name, absolute, seed) for name in ("stage2", "stage3")}
    images = tuple(sorted(i for part in PARTS for i in every["stage2"].part(part)))
    clinic = frozenset(i for i in images if table.at[i, "source"] == recipe.clinic)
    # Also an open image goes where its patient, or an image of which it is a copy, is one of the clinic's.
    clinic_groups = set(table.loc[table["source"] == recipe.clinic, "group"])
    apart = {i for i in images if table.at[i, "group"] in clinic_groups and i not in clinic}
    redrawn = _clinic_parts(absolute, clinic, every["stage2"], seed)
    both = {
        name: _parted(split, lambda i, part: None if i in apart else redrawn.get(i, part))
        for name, split in every.items()
    }
    opened = {name: _parted(split, lambda i, part: None if i in clinic else part) for name, split in both.items()}
    before = {
        name: _parted(split, lambda i, part: None if table.at[i, "label"] == NEW_DISEASE else part)
        for name, split in opened.items()
    }
    covid_net = covid_net_split(absolute, every, recipe.covid_net, seed)
    return Sets(absolute, images, every, opened, before, both, clinic, covid_net)


def covid_net_split(manifest: Manifest, every: Splits, settings: CovidNetRecipe, seed: int) -> Splits:
    """Draw a split of COVID-Net's counts, by patient: a fixed test set, all else for training and validation.

    Parameters
    ----------
    manifest, every
        The images, and splits that say which of them a stage can use.
    settings
        Sources and numbers of test images by class.
    seed
        Of the draw.

    Raises
    ------
    ManifestError
        If the sources have too few images of a class.
    """
    table = manifest.table
    ids = [i for part in PARTS for i in every["stage2"].part(part) if table.at[i, "source"] in settings.sources]
    classes = {i: _class_of(str(table.at[i, "label"])) for i in ids}
    wanted = {"normal": settings.normal, "pneumonia": settings.pneumonia, NEW_DISEASE: settings.covid19}
    by_group: dict[str, list[str]] = {}
    for image_id in sorted(ids):
        by_group.setdefault(str(table.at[image_id, "group"]), []).append(image_id)
    names = sorted(by_group)
    order = [names[int(index)] for index in np.random.default_rng(seed).permutation(len(names))]
    test, short = _fill(order, by_group, classes, wanted)
    if short:
        raise ManifestError(
            f"The sources of the COVID-Net split have too few images ({', '.join(short)}): name more, or ask for fewer."
        )
    left = [name for name in order if name not in test]
    share = {
        name: round(COVID_NET_VALIDATION * sum(classes[i] == name for group in left for i in by_group[group]))
        for name in wanted
    }
    validation, _ = _fill(left, by_group, classes, {name: max(1, count) for name, count in share.items()})

    def part_of(image_id: str, part: Part) -> Part | None:  # noqa: ARG001 - the draw replaces the part
        group = str(table.at[image_id, "group"])
        if image_id not in classes:
            return None
        return "test" if group in test else "validation" if group in validation else "train"

    return {name: _parted(split, part_of) for name, split in every.items()}


def _fill(
    order: Iterable[str],
    by_group: Mapping[str, Sequence[str]],
    classes: Mapping[str, str],
    wanted: Mapping[str, int],
) -> tuple[set[str], tuple[str, ...]]:
    """Groups, in order, until the wanted numbers are met, and the classes of which some are lacking.

    A group that does not fit any more is passed over.
    """
    lacking: dict[str, int] = dict(wanted)
    chosen: set[str] = set()
    for group in order:
        counts = {name: sum(classes[i] == name for i in by_group[group]) for name in wanted}
        if all(counts[name] <= lacking[name] for name in wanted):
            chosen.add(group)
            lacking = {name: lacking[name] - counts[name] for name in wanted}
    return chosen, tuple(name for name, count in lacking.items() if count)


def _clinic_parts(manifest: Manifest, clinic: frozenset[str], base: Split, seed: int) -> dict[str, Part]:
    """Part of the clinic's images: as in the base split with COVID-19, else drawn anew in the clinic's shares.

    The base split tests on a tenth of the other labels, of which a clinic has too few for that.
    """
    table = manifest.table.loc[sorted(clinic)]
    part_of: dict[str, Part] = {i: part for part in PARTS for i in base.part(part) if i in clinic}
    with_covid = set(table.loc[table["label"] == NEW_DISEASE, "group"])
    others = table[~table["group"].isin(with_covid)]
    for label, rows in others.groupby("label", sort=True):
        groups = sorted(set(rows["group"]) - set(others.loc[others["label"] < label, "group"]))
        order = np.random.default_rng((seed, len(groups))).permutation(len(groups))
        bounds = np.round(np.cumsum(CLINIC_SHARES) * len(groups)).astype(int)
        for place, index in enumerate(order):
            part = PARTS[int(np.searchsorted(bounds, place, side="right"))]
            part_of |= dict.fromkeys(others.index[others["group"] == groups[int(index)]].astype(str), part)
    return part_of


def _parted(split: Split, part_of: Callable[[str, Part], Part | None]) -> Split:
    """The same split with images moved to other parts, or left out (None)."""
    moved = {i: part_of(i, part) for part in PARTS for i in split.part(part)}
    parts = {part: tuple(sorted(i for i, now in moved.items() if now == part)) for part in PARTS}
    return replace(split, train=parts["train"], validation=parts["validation"], test=parts["test"])


def _with_absolute_paths(manifest: Manifest) -> Manifest:
    table = manifest.table.drop(columns="group").reset_index(drop=True)
    root = manifest.root.resolve()
    table["path"] = [str(root / name) for name in table["path"]]
    return check_manifest(table, root)


def _class_of(label: str) -> str:
    return label if label in ("normal", NEW_DISEASE) else "pneumonia"
