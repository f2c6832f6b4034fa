"""Which images train, choose and test the two networks: both draw on the one base split of the manifest."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import PARTS, Split, make_split
from cxrscreen.errors import ManifestError
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.voting import CLASSES

ORGAN_SPLIT, CLASS_SPLIT = "patch-organs", "patch-classes"
"""Their protocols."""

T = TypeVar("T")


def splits_of(recipe: PatchVotingRecipe, manifest: Manifest) -> dict[str, Split]:
    """Split the images for the organ network and for the classifier.

    Returns
    -------
    dict
        ``patch-organs``: frontal images with masks of lungs (drawn by people, the heart left out) and of the heart; in
        the data pack these are JSRT's. ``patch-classes``: frontal images of adults of the recipe's sources, with one of
        the four classes as truth. No patient is in two parts, and no image that tests one network has trained the
        other.

    Raises
    ------
    ManifestError
        If a part is empty, or a part of the classes lacks a class.
    """
    organs = make_split(ORGAN_SPLIT, manifest, recipe.seed)
    classes = make_split(CLASS_SPLIT, manifest, recipe.seed, recipe.classifier.sources)
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
