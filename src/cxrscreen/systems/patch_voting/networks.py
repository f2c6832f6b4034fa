"""The networks that a recipe of patch voting names."""

from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.fc_densenet import FCDenseNet
from cxrscreen.nets.named import NetworkName, classifier_named, load_classifier_weights
from cxrscreen.nets.resnet import ResNet, load_resnet_pretrained
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


def patch_classifier(recipe: ClassifierRecipe, pooling: Pooling) -> Classifier:
    """Build the patch classifier with random weights."""
    if recipe.network in {"resnet18", "resnet50"}:
        return ResNet(18 if recipe.network == "resnet18" else 50, len(CLASSES), recipe.dropout, pooling)
    name: NetworkName = "densenet121" if recipe.network == "densenet121" else "efficientnet-lite0"
    return classifier_named(name, len(CLASSES), dropout=recipe.dropout, pooling=pooling)


def load_initial_weights(network: Classifier, recipe: ClassifierRecipe) -> None:
    """Fill the classifier from the recipe's weights.

    Raises
    ------
    RecipeError
        If they are missing or another network's.
    """
    if isinstance(network, ResNet):
        load_resnet_pretrained(network, recipe.weights)
    else:
        load_classifier_weights(network, recipe.weights)
