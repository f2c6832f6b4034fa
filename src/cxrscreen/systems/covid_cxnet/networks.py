"""The networks that a recipe of COVID-CXNet names."""

from cxrscreen.data.findings import FINDINGS
from cxrscreen.errors import RecipeError
from cxrscreen.nets.base_cxr import BaseCxr
from cxrscreen.nets.chexnet import CheXNet, CovidCxNet, load_chexnet, widen_stem
from cxrscreen.nets.classifier import Classifier
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0, load_lite_pretrained
from cxrscreen.nets.pretrained import load_pretrained
from cxrscreen.nets.resnet import ResNet, load_resnet_pretrained
from cxrscreen.systems.covid_cxnet.classes import CLASSES
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe, Network


def class_network(recipe: CovidCxNetRecipe) -> CovidCxNet | BaseCxr:
    """Build the classifier with random weights: one logit for two classes, three for three."""
    own = recipe.classifier
    outputs = 1 if recipe.classes == "binary" else len(CLASSES[recipe.classes])
    if own.network == "base":
        return BaseCxr(own.side, outputs, 3 if recipe.channels == "stack" else 1)
    return CovidCxNet(backbone(own.network, recipe, "none"), outputs, own.nodes, own.dropout)


def published_findings(recipe: CovidCxNetRecipe) -> CheXNet:
    """The published checkpoint with its 14 outputs, where ``classifier.chart`` asks for them.

    Raises
    ------
    RecipeError
        If the checkpoint is missing, another network's, or has no layer of the 14 findings.
    """
    network = CheXNet(pooling=recipe.pooling)
    load_chexnet(network, recipe.classifier.weights)
    return network


def finding_network(recipe: CovidCxNetRecipe, weights: str = "none") -> Classifier:
    """Build the network that is pre-trained on the 14 findings."""
    return backbone(recipe.classifier.network, recipe, weights)


def backbone(name: Network, recipe: CovidCxNetRecipe, weights: str) -> Classifier:
    """Build a network with a logit for each finding, filled from weights.

    Parameters
    ----------
    name
        Not ``base``.
    recipe
        Channels and pooling.
    weights
        ``none``, ``imagenet`` or a path; a last layer of another size keeps its random weights.

    Raises
    ------
    RecipeError
        If the weights are missing or another network's.
    """
    if name == "chexnet":
        densenet: DenseNet121 = CheXNet(pooling=recipe.pooling)
        load_pretrained(densenet, weights)
        return densenet
    if name == "base":
        raise RecipeError("The base model has no backbone: leave out pretraining and weights.")
    network: Classifier
    if name == "resnet50":
        network = resnet = ResNet(50, len(FINDINGS), pooling=recipe.pooling)
        load_resnet_pretrained(resnet, weights)
    else:
        network = lite = EfficientNetLite0(len(FINDINGS), pooling=recipe.pooling)
        load_lite_pretrained(lite, weights)
    if recipe.channels == "stack":
        widen_stem(network)
    return network
