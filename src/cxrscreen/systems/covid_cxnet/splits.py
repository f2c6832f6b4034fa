"""Which images train, choose and test COVID-CXNet, by the paper's data rules; all draw on the one base split."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cxrscreen.data.findings import FINDINGS, finding_targets
from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import PARTS, Part, Split, make_split
from cxrscreen.errors import ManifestError
from cxrscreen.systems.covid_cxnet.classes import CLASSES, STAGES, WORDS, class_of_label
from cxrscreen.systems.covid_cxnet.decisions import DECISIONS
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe, DataRules

CLASS_SPLIT, FINDING_SPLIT = "classes", "findings"


def splits_of(recipe: CovidCxNetRecipe, manifest: Manifest) -> dict[str, Split]:
    """Split the images for the classifier and, where there is one, for the pre-training.

    Returns
    -------
    dict
        ``classes``: truth is the place of the class. ``findings``: images of which a finding is known (truth 1); what
        tests the classifier has not pre-trained it. No patient and no near-duplicate is in two parts of either.

    Raises
    ------
    ManifestError
        If a part lacks a class, or the pre-training has nothing to learn from.
    """
    table = manifest.table
    whole = make_split("stage2", manifest, recipe.splitting)
    places, rules = class_of_label(recipe.classes), recipe.data

    source, label, view, age = (table[name].to_dict() for name in ("source", "label", "view", "pediatric"))
    unseen = left_out_groups(rules, manifest)

    def part_of(image_id: str, part: Part) -> Part | None:
        if source[image_id] not in rules.sources or label[image_id] not in places:
            return None
        if str(table.at[image_id, "group"]) in unseen:
            if source[image_id] not in rules.left_out:
                return None
            part = "test"
        if part == "test":
            return "test" if age[image_id] != "true" else None
        kept = view[image_id] in rules.views and _of_age(rules, age[image_id], label[image_id])
        return part if kept else None

    classes = _restricted(whole, CLASS_SPLIT, part_of)
    classes = replace(classes, truth={i: places[str(table.at[i, "label"])] for i in classes.truth})
    if rules.share < 1:
        classes = replace(classes, train=_shared(classes, rules.share))
    for part in PARTS:
        present = {classes.truth[i] for i in classes.part(part)}
        lacking = [WORDS[name] for place, name in enumerate(CLASSES[recipe.classes]) if place not in present]
        if lacking:
            raise ManifestError(
                f"The {part} part of the classes has no image of the class {lacking[0]}: name another source in the "
                "recipe's data.sources, or loosen its rules."
            )
    result = {CLASS_SPLIT: classes}
    if recipe.pretraining is not None:
        result[FINDING_SPLIT] = _findings(recipe, manifest)
    return result


def asked_splits(recipe: CovidCxNetRecipe, manifest: Manifest) -> dict[str, Split]:
    """Split the images of the protocols that ask this version: validation parts set its thresholds, test parts measure.

    Images of sources that are left out are in none; ``cxrscreen evaluate --source`` asks about them.

    Raises
    ------
    ManifestError
        If a protocol has no images in these sources.
    """
    names = [decision.protocols[0] for decision in DECISIONS if decision.stage in STAGES[recipe.classes]]
    several = ["cxnet-classes"] if recipe.classes == "three" else []
    return {name: make_split(name, manifest, recipe.splitting, recipe.data.learned) for name in (*names, *several)}


def left_out_groups(rules: DataRules, manifest: Manifest) -> frozenset[str]:
    """Groups of patients who have an image of a source that is left out."""
    table = manifest.table
    return frozenset(table.loc[table["source"].isin(rules.left_out), "group"].astype(str))


def _findings(recipe: CovidCxNetRecipe, manifest: Manifest) -> Split:
    """Images of which any finding is known, whatever their label; children too, as in the data of CheXNet."""
    assert recipe.pretraining is not None
    table, sources = manifest.table, recipe.pretraining.sources
    unseen = left_out_groups(recipe.data, manifest)
    whole = make_split("comit-images", manifest, recipe.splitting)
    ids = [i for part in PARTS for i in whole.part(part)]
    targets = np.isfinite(finding_targets(manifest, ids))
    known = {image_id for image_id, told in zip(ids, targets, strict=True) if told.any()}

    def part_of(image_id: str, part: Part) -> Part | None:
        own = table.at[image_id, "source"] in sources and str(table.at[image_id, "group"]) not in unseen
        return part if own and image_id in known else None

    split = _restricted(whole, FINDING_SPLIT, part_of)
    for part in ("train", "validation"):
        targets = finding_targets(manifest, split.part(part))
        told_apart = [(column == 1).any() and (column == 0).any() for column in targets.T]
        if not any(told_apart):
            raise ManifestError(
                f"No finding is both present and absent in the {part} part of pretraining.sources: name a source "
                f"whose column finding has them (of {', '.join(FINDINGS[:3])} and so on)."
            )
    return split


def _of_age(rules: DataRules, paediatric: str, label: str) -> bool:
    if rules.paediatric == "kept":
        return True
    if rules.paediatric == "normals" and label == "normal":
        return paediatric == "true"
    return paediatric != "true"


def _shared(split: Split, share: float) -> tuple[str, ...]:
    """The first of one shuffled order, class by class, so that a smaller share is a subset of a larger one."""
    members: dict[int, list[str]] = {}
    for index in np.random.default_rng(split.seed).permutation(len(split.train)):
        image_id = split.train[int(index)]
        members.setdefault(split.truth[image_id], []).append(image_id)
    return tuple(sorted(i for own in members.values() for i in own[: max(1, round(share * len(own)))]))


def _restricted(split: Split, name: str, part_of: Callable[[str, Part], Part | None]) -> Split:
    """The same split with images moved to other parts, or left out (None)."""
    moved = {i: part_of(i, part) for part in PARTS for i in split.part(part)}
    kept = {part: tuple(sorted(i for i, now in moved.items() if now == part)) for part in PARTS}
    ids = [i for part in PARTS for i in kept[part]]
    return replace(
        split,
        name=name,
        train=kept["train"],
        validation=kept["validation"],
        test=kept["test"],
        truth={i: split.truth[i] for i in ids},
        groups={i: split.groups[i] for i in ids},
        dropped=dict(split.dropped) | {f"not for {name}": sum(len(split.part(part)) for part in PARTS) - len(ids)},
    )
