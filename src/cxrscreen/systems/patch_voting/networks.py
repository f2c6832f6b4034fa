"""The networks that a recipe of patch voting names."""

from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.fc_densenet import FCDenseNet
from cxrscreen.nets.named import classifier_named
from cxrscreen.nets.unet import UNet
from cxrscreen.systems.patch_voting.morphology import ORGANS
from cxrscreen.systems.patch_voting.preprocessing import Pooling
from cxrscreen.systems.patch_voting.recipe import ClassifierRecipe, OrganRecipe
from cxrscreen.systems.patch_voting.voting import CLASSES


def organ_network(recipe: OrganRecipe) -> UNet | FCDenseNet:
    """Build the organ network with random weights."""
    if recipe.network == "unet":
        return UNet(num_outputs=len(ORGANS), width=recipe.width)
    return FCDenseNet(103 if recipe.network == "fc-densenet103" else 67, num_outputs=len(ORGANS))


def patch_classifier(recipe: ClassifierRecipe, pooling: Pooling, classes: int = len(CLASSES)) -> Classifier:
    """Build the patch classifier with random weights; it tells so many classes apart."""
    return classifier_named(recipe.network, classes, dropout=recipe.dropout, pooling=pooling)
