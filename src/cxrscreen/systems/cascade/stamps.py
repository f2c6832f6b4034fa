"""What each step of the cascade's trainings depends on, for :func:`cxrscreen.train.steps.once`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Split
from cxrscreen.systems.cascade.adaptation_recipe import AdaptRecipe
from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.systems.learned import facts_stamp

Stamp = dict[str, Any]


def stamp_of(recipe: AdaptRecipe | CascadeRecipe, **chosen: set[str]) -> Stamp:
    """What of a recipe a result depends on.

    Parameters
    ----------
    recipe
        On any number of devices, which is left out: a run may go on on another one.
    chosen
        ``include`` or ``exclude``, as of pydantic's ``model_dump``.
    """
    alone = recipe.model_copy(update={"compute": recipe.compute.alone()})
    return alone.model_dump(mode="json", include=chosen.get("include"), exclude=chosen.get("exclude"))


def lungs_stamp(recipe: CascadeRecipe, manifest: Manifest, split: Split, partial: Sequence[str]) -> Stamp:
    """Of stage 1, which also learns from the partially labelled images, that are in no part of its split."""
    learned = {"facts": facts_stamp(manifest, [*_learned(split), *partial]), "partial": list(partial)}
    return stamp_of(recipe, include={"compute", "lungs", "seed"}) | learned | {"split": split.digest}


def rois_stamp(recipe: CascadeRecipe, split: Split, *, lungs: str) -> Stamp:
    """Of the cut-out lungs, which are the same whatever is read from them."""
    preprocessing = asdict(recipe.preprocessing) | {"h2": None, "pooling": None, "mirrored": None}
    return {"lungs": lungs, "side": recipe.side, "preprocessing": preprocessing, "split": split.digest}


def tutor_stamp(recipe: CascadeRecipe, manifest: Manifest, split2: Split, split3: Split, *, rois: str) -> Stamp:
    """Of the tutor; stage 3's images are a share of stage 2's."""
    return stamp_of(recipe, include={"compute", "pooling", "seed", "tutor"}) | {
        "rois": rois,
        "facts": facts_stamp(manifest, _learned(split2)),
        "splits": [split2.digest, split3.digest],
    }


def stage2_stamp(recipe: CascadeRecipe, manifest: Manifest, split: Split, *, rois: str, tutor: str) -> Stamp:
    """Of stage 2."""
    return stamp_of(recipe, include={"compute", "pooling", "seed", "stage2"}) | {
        "rois": rois,
        "tutor": tutor,
        "facts": facts_stamp(manifest, _learned(split)),
        "split": split.digest,
    }


def stage3_stamp(recipe: CascadeRecipe, manifest: Manifest, split: Split, *, stage2: str) -> Stamp:
    """Of stage 3; only a head that is fitted by itself learns from mirror images as well."""
    return stamp_of(recipe, include={"compute", "h2", "seed", "stage3"}) | {
        "stage2": stage2,
        "mirrored": recipe.mirrored and recipe.stage3.head is not None,
        "facts": facts_stamp(manifest, _learned(split)),
        "split": split.digest,
    }


def _learned(split: Split) -> tuple[str, ...]:
    return (*split.train, *split.validation)
