"""Settings with which the tables of the patch-voting paper are made again."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from cxrscreen.errors import RecipeError
from cxrscreen.evaluate.reproduce.recipe import CovidNetRecipe
from cxrscreen.systems.patch_voting.recipe import OrganNetwork, PatchVotingRecipe, WeightedPhase
from cxrscreen.train.recipe import Settings, load_recipe


class PatchReproduceRecipe(Settings):
    """Which recipes are varied, and how.

    Attributes
    ----------
    system
        ``patch_voting``.
    own, baseline
        Recipes of the local and of the global approach: files beside this one. They must not differ in organs, classes'
        sources, seed or image side, so that both share organ network, images and parts.
    threads
        Takes the place of both recipes' ``compute.threads``, on which the figures depend in their last digits; None
        leaves them.
    organ_phases, classifier_phases
        What takes the place of both recipes' phases; None leaves them. For tables of shorter trainings.
    networks
        Organ networks of Tables XIII and XIV.
    shares
        Shares of the training images, in falling order from 1 (Table XV, Fig. 12).
    patches
        Patch sides in pixels (Table XVII).
    elsewhere
        Source whose lung masks train no organ network here.
    normal_only
        Whether only its normal images are measured, as in the paper.
    covid_net
        Sources and test images of Table XII.
    """

    system: Literal["patch_voting"]
    own: str
    baseline: str
    threads: PositiveInt | None = None
    organ_phases: tuple[WeightedPhase, ...] | None = Field(default=None, min_length=1)
    classifier_phases: tuple[WeightedPhase, ...] | None = Field(default=None, min_length=1)
    networks: tuple[OrganNetwork, ...] = Field(default=("fc-densenet103", "unet"), min_length=2)
    shares: tuple[float, ...] = Field(default=(1.0, 0.5, 0.3, 0.1), min_length=2)
    patches: tuple[PositiveInt, ...] = Field(default=(112, 224, 448), min_length=2)
    elsewhere: str = "montgomery"
    normal_only: bool = True
    covid_net: CovidNetRecipe = CovidNetRecipe(sources=("cohen", "nih"), covid19=10)


STRIDE = 32
"""Sides that the classifiers take are multiples of it."""


@dataclass(frozen=True)
class Variants:
    """The recipes behind the tables.

    Parameters
    ----------
    settings
        What is varied.
    own, baseline
        The two recipes.
    """

    settings: PatchReproduceRecipe
    own: PatchVotingRecipe
    baseline: PatchVotingRecipe

    @property
    def digest(self) -> str:
        """SHA-256 of all settings."""
        # These are in the two recipes already.
        settings = self.settings.model_dump_json(exclude={"threads", "organ_phases", "classifier_phases"})
        text = "".join((settings, self.own.model_dump_json(), self.baseline.model_dump_json()))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def mask_alone(self) -> PatchVotingRecipe:
        """The baseline on nothing but the lungs' mask, whole, for normal against diseased (section V-F3)."""
        return self.baseline.model_copy(update={"shown": "mask", "pooling": "image"})

    def same(self, name: str) -> str:
        """The name under which a variant is made once: ``own`` where its change is none."""
        own = self.own
        unchanged = (own.organs.network, f"patch-{own.patch}", f"share-{own.classifier.share:g}")
        return "own" if name in unchanged else name

    def organs(self, name: str) -> PatchVotingRecipe:
        """The own recipe with another organ network: ``own``, a network's name, or ``share-0.5``."""
        if name == "own":
            return self.own
        change = {"share": _share(name)} if name.startswith("share-") else {"network": name}
        return self.own.model_copy(update={"organs": self.own.organs.model_copy(update=change)})

    def votes(self, name: str) -> PatchVotingRecipe:
        """A recipe of the classifier.

        Parameters
        ----------
        name
            ``own``, ``global``, ``whole`` (no mask), ``mask`` (nothing but the mask), an organ network, ``patch-112``,
            ``share-0.5`` or ``global-share-0.5``.
        """
        if name.startswith("global"):
            base, name = self.baseline, name.removeprefix("global").removeprefix("-") or "own"
        else:
            base = self.own
        if name in {"whole", "mask"}:
            # Features cannot be pooled over lungs that the image does not show.
            return base.model_copy(update={"shown": name, "pooling": "image"})
        if name.startswith("patch-"):
            # As in the published code a patch is seen at its own size, or at the next one that the networks take:
            # brought to one side, small and large patches would differ in sharpness as well.
            side = int(name.removeprefix("patch-"))
            seen = base.classifier.model_copy(update={"side": -(-side // STRIDE) * STRIDE})
            return base.model_copy(update={"patch": side, "classifier": seen})
        if name.startswith("share-"):
            return base.model_copy(update={"classifier": base.classifier.model_copy(update={"share": _share(name)})})
        return base if name == "own" else self.organs(name)


def load_variants(recipe: Path) -> Variants:
    """Read the settings and the two recipes they name.

    Raises
    ------
    RecipeError
        If a file cannot be read, shares do not fall from 1, or the two recipes do not fit each other.
    """
    settings = load_recipe(recipe, PatchReproduceRecipe)
    own, baseline = (
        _changed(load_recipe(recipe.parent / name, PatchVotingRecipe), settings)
        for name in (settings.own, settings.baseline)
    )
    if settings.shares[0] != 1 or list(settings.shares) != sorted(set(settings.shares), reverse=True):
        raise RecipeError(f"The recipe {recipe.name} is wrong at shares: they must fall from 1.0.")
    if min(settings.shares) <= 0:
        raise RecipeError(f"The recipe {recipe.name} is wrong at shares: they must be above 0.")
    same = ("seed", "organs", "gamma", "working_side", "image_side")
    differing = [name for name in same if getattr(own, name) != getattr(baseline, name)]
    if own.classifier.sources != baseline.classifier.sources:
        differing.append("classifier.sources")
    if differing:
        raise RecipeError(f"{settings.own} and {settings.baseline} differ in {', '.join(differing)}: make them equal.")
    if (own.approach, baseline.approach) != ("local", "global"):
        raise RecipeError(f"{settings.own} must have the approach local, and {settings.baseline} global.")
    return Variants(settings, own, baseline)


def _changed(recipe: PatchVotingRecipe, settings: PatchReproduceRecipe) -> PatchVotingRecipe:
    organs, classifier, compute = recipe.organs, recipe.classifier, recipe.compute
    if settings.threads is not None:
        compute = compute.model_copy(update={"threads": settings.threads})
    if settings.organ_phases is not None:
        organs = organs.model_copy(update={"phases": settings.organ_phases})
    if settings.classifier_phases is not None:
        classifier = classifier.model_copy(update={"phases": settings.classifier_phases})
    return recipe.model_copy(update={"organs": organs, "classifier": classifier, "compute": compute})


def _share(name: str) -> float:
    return float(name.removeprefix("share-"))
