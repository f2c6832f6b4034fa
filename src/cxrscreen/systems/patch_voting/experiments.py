"""What the patch-voting paper's tables need: trainings that differ in one setting and share what they can."""

from pathlib import Path

from safetensors.torch import load_file

from cxrscreen.data.manifest import Manifest
from cxrscreen.runtime.engine import Engine
from cxrscreen.systems.bundle import CARD, Bundle, open_bundle
from cxrscreen.systems.patch_voting.export import write_bundle
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.training import engine_of, train_organs, train_patch_voting


def organ_engine(recipe: PatchVotingRecipe, manifest: Manifest, folder: Path) -> Engine:
    """The organ network of a recipe, trained in ``folder`` unless it was, as screening runs it.

    Raises
    ------
    RecipeError, ManifestError
        As :func:`~cxrscreen.systems.patch_voting.training.train_patch_voting` says.
    """
    weights, _ = train_organs(recipe, manifest, folder)
    return engine_of(recipe.organs, load_file(weights), folder / "engine")


def voting_bundle(
    recipe: PatchVotingRecipe, manifest: Manifest, folder: Path, organs_in: Path, images_in: Path
) -> Bundle:
    """The bundle of a recipe, trained in ``folder`` unless it was; the steps before the classifier may be shared.

    Raises
    ------
    RecipeError, ManifestError
        As :func:`~cxrscreen.systems.patch_voting.training.train_patch_voting` says.
    """
    trained = train_patch_voting(recipe, manifest, folder / "work", organs_in=organs_in, images_in=images_in)
    made = folder / "bundle"
    if (made / CARD).is_file() and (found := open_bundle(made)).card.recipe == recipe.model_dump(mode="json"):
        return found
    return write_bundle(recipe, manifest, trained, made)
