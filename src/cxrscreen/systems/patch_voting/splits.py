"""Which images train, choose and test the two networks: both draw on the one base split of the manifest."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import PARTS, Split, make_split
from cxrscreen.errors import ManifestError
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.voting import CLASS_OF_LABEL, CLASSES

ORGAN_SPLIT, CLASS_SPLIT = "organs", "classes"

T = TypeVar("T")


def splits_of(recipe: PatchVotingRecipe, manifest: Manifest) -> dict[str, Split]:
    """Split the images for the organ network and for the classifier.

    Returns
    -------
    dict
        ``organs``: frontal images with masks of lungs (drawn by people, the heart left out) and of the heart; in the
        data pack these are JSRT's. ``classes``: frontal images of adults of the recipe's sources, with one of the four
        classes as truth. No patient is in two parts, and no image that tests one network has trained the other.

    Raises
    ------
    ManifestError
        If a part is empty, or a part of the classes lacks a class.
    """
    table = manifest.table
    organs = _restricted(
        make_split("lungs-any", manifest, recipe.seed), ORGAN_SPLIT, lambda i: bool(table.at[i, "heart_mask"])
    )
    sources = set(recipe.classifier.sources)
    classes = _restricted(
        make_split("stage2-adults", manifest, recipe.seed),
        CLASS_SPLIT,
        lambda i: table.at[i, "source"] in sources and table.at[i, "label"] in CLASS_OF_LABEL,
    )
    classes = replace(
        classes,
        truth={i: CLASSES.index(CLASS_OF_LABEL[str(table.at[i, "label"])]) for i in classes.truth},
    )
    for part in PARTS:
        if not organs.part(part):
            raise ManifestError(f"No image with a lung and a heart mask is left for the {part} part: add some.")
        present = {classes.truth[i] for i in classes.part(part)}
        lacking = [name for index, name in enumerate(CLASSES) if index not in present]
        if lacking:
            raise ManifestError(
                f"The {part} part of the classes has no {lacking[0]} image: add some, or name another source that has "
                "them in the recipe's classifier.sources."
            )
    return {ORGAN_SPLIT: organs, CLASS_SPLIT: classes}


def shared(image_ids: tuple[str, ...], share: float, seed: int, stratum: Callable[[str], T]) -> list[str]:
    """Draw a share of the images, the same share of each stratum and at least one; a smaller share is a subset.

    Parameters
    ----------
    image_ids
        To draw from.
    share
        In (0, 1].
    seed
        Of the draw.
    stratum
        Class, or anything else, by image id.
    """
    order = np.random.default_rng(seed).permutation(len(image_ids))
    members: dict[T, list[str]] = {}
    for index in order:
        image_id = image_ids[int(index)]
        members.setdefault(stratum(image_id), []).append(image_id)
    return sorted(i for own in members.values() for i in own[: max(1, round(share * len(own)))])


def _restricted(split: Split, name: str, keep: Callable[[str], bool]) -> Split:
    kept = {part: tuple(i for i in split.part(part) if keep(i)) for part in PARTS}
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
