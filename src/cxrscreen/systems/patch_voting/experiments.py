"""What the patch-voting paper's tables need: trainings that differ in one setting and share what they can."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Split
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.runtime.engine import Engine, load_engine
from cxrscreen.runtime.export import export_classifier
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.learned import already_made
from cxrscreen.systems.patch_voting.ballots import ask_patches
from cxrscreen.systems.patch_voting.export import write_bundle
from cxrscreen.systems.patch_voting.networks import patch_classifier
from cxrscreen.systems.patch_voting.pipeline import find_organs
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing, patch_image
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.training import engine_of, train_classifier, train_organs, train_patch_voting
from cxrscreen.systems.patch_voting.views import lungs_of_patch_image
from cxrscreen.systems.patch_voting.voting import Vote, majority_vote


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
    if (found := already_made(made, recipe, manifest)) is not None:
        return found
    return write_bundle(recipe, manifest, trained, made)


@dataclass(frozen=True, eq=False)
class OtherClasses:
    """Both networks where the classes are not those of the system, to be measured and not to screen with.

    Parameters
    ----------
    settings
        The recipe's preprocessing.
    organs, classifier
        Engines.
    """

    settings: Preprocessing
    organs: Engine
    classifier: Engine

    def vote(self, radiograph: Radiograph) -> Vote:
        """The patches' vote among the classes of the split, by their places."""
        side = self.settings.image_side
        found = find_organs(self.organs, radiograph.pixels, self.settings)
        lungs, _ = lungs_of_patch_image(found.mask, found.probabilities, side)
        ballot = ask_patches(self.classifier, patch_image(radiograph.pixels, self.settings), lungs, self.settings)
        return majority_vote(ballot.probabilities)


def other_classes(
    recipe: PatchVotingRecipe,
    manifest: Manifest,
    split: Split,
    folder: Path,
    organs_in: Path,
    images_in: Path | None = None,
) -> OtherClasses:
    """Train the classifier of a recipe on other classes, in ``folder`` unless it was.

    Parameters
    ----------
    recipe, manifest
        As for :func:`voting_bundle`.
    split
        See :func:`~cxrscreen.systems.patch_voting.training.train_classifier`.
    folder
        Of the training.
    organs_in
        Folder of the organ network, which is shared.
    images_in
        Folder of the preprocessed images of the split's parts, where they are shared; None: ``folder/images``.

    Raises
    ------
    RecipeError, ManifestError
        As :func:`~cxrscreen.systems.patch_voting.training.train_patch_voting` says.
    """
    organs = train_organs(recipe, manifest, organs_in)
    weights = train_classifier(
        recipe, manifest, split, organs, images_in=images_in or folder / "images", folder=folder / "classifier"
    )
    classifier = patch_classifier(recipe.classifier, recipe.pooling, len(set(split.truth.values())))
    classifier.load_state_dict(load_file(weights))
    graph, exported = folder / "classifier.onnx", folder / "classifier.safetensors"
    export_classifier(classifier, recipe.classifier.side, exported, graph)
    return OtherClasses(
        recipe.preprocessing,
        engine_of(recipe.organs, load_file(organs[0]), organs_in / "engine"),
        load_engine(graph),
    )
