"""The network that a recipe of COMiT-Net names."""

from cxrscreen.nets.comit import ComitNet, Encoder, LiteEncoder, VggEncoder
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0, load_lite_pretrained
from cxrscreen.nets.vgg import VGG, load_vgg_pretrained
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe, NetworkRules


def comit_network(recipe: ComitNetRecipe, weights: str = "none") -> ComitNet:
    """Build the network with random weights, its encoder filled from ``weights``.

    Raises
    ------
    RecipeError
        If the weights are missing or another network's.
    """
    rules = recipe.network
    return ComitNet(
        encoder(rules, weights),
        widths=rules.decoder,
        joins=rules.joins,
        nodes=rules.nodes,
        dropout=rules.dropout,
        tasks=recipe.tasks,
    )


def encoder(rules: NetworkRules, weights: str) -> Encoder:
    """Build the encoder; raises as :func:`comit_network`."""
    if rules.encoder == "efficientnet-lite0":
        lite = EfficientNetLite0(1)
        load_lite_pretrained(lite, weights)
        return LiteEncoder(lite)
    vgg = VGG(16 if rules.encoder == "vgg16" else 19, 1, width=rules.width)
    load_vgg_pretrained(vgg, weights)
    return VggEncoder(vgg)
