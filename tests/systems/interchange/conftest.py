"""Small bundles with random weights: what they answer is nothing, but they do. Patch voting's is the one that ships."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import write_set

RECIPES = Path(__file__).parents[3] / "recipes"
LITE_STAGES = ((1, 3, 1, 1, 8), (1, 3, 2, 2, 8), (1, 5, 2, 2, 16), (1, 3, 2, 2, 112), (1, 3, 2, 2, 24))


@contextmanager
def short_networks():
    """Build every network with few layers."""
    from cxrscreen.nets import densenet, efficientnet_lite

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(densenet, "BLOCK_LAYERS", (1, 1, 1, 1))
        patch.setattr(efficientnet_lite, "STAGES", LITE_STAGES)
        patch.setattr(efficientnet_lite, "MIDDLE_BLOCK", 3)
        patch.setattr(efficientnet_lite, "FEATURES", 64)
        yield


@pytest.fixture(scope="module")
def _short_networks():
    """For tests in which modules are built again, when an export is read back."""
    with short_networks():
        yield


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, 40, seed=2, size=152)
    return load_manifest(folder)


@pytest.fixture(scope="session")
def bundles(phantoms, tmp_path_factory):
    """A function from a system's name to its bundle, made when first asked for."""
    folder, made = tmp_path_factory.mktemp("bundles"), {}

    def bundle(system):
        if system not in made:
            with short_networks():
                made[system] = MAKERS[system](phantoms, folder / system)
        return made[system]

    return bundle


def cascade(manifest, out):
    from cxrscreen.nets.named import classifier_named
    from cxrscreen.nets.unet import UNet
    from cxrscreen.systems.cascade.export import write_bundle
    from cxrscreen.systems.cascade.recipe import CascadeRecipe
    from cxrscreen.systems.cascade.training import Trained
    from cxrscreen.train.recipe import load_recipe

    recipe = load_recipe(RECIPES / "cascade-phantoms.yaml", CascadeRecipe)
    states = [classifier_named(stage.network).state_dict() for stage in (recipe.stage2, recipe.stage3)]
    return write_bundle(recipe, manifest, Trained(UNet(width=recipe.lungs.width).state_dict(), *states), out)


def covid_cxnet(manifest, out):
    from cxrscreen.systems.covid_cxnet.export import write_bundle
    from cxrscreen.systems.covid_cxnet.networks import class_network
    from cxrscreen.systems.covid_cxnet.preprocessing import Preprocessing
    from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe
    from cxrscreen.systems.covid_cxnet.training import Trained
    from cxrscreen.train.recipe import load_recipe

    recipe = load_recipe(RECIPES / "covid-cxnet-phantoms.yaml", CovidCxNetRecipe)
    settings = Preprocessing(recipe.classes, recipe.roi, recipe.channels, 224, 0.05, 0.01, 2.0, 8, 1.5)
    return write_bundle(recipe, manifest, Trained(class_network(recipe).state_dict(), None, settings), out)


def comit_net(manifest, out):
    from cxrscreen.systems.comit_net.export import write_bundle
    from cxrscreen.systems.comit_net.labels import STAGES
    from cxrscreen.systems.comit_net.networks import comit_network
    from cxrscreen.systems.comit_net.preprocessing import Preprocessing
    from cxrscreen.systems.comit_net.recipe import ComitNetRecipe
    from cxrscreen.systems.comit_net.training import Trained
    from cxrscreen.train.recipe import load_recipe

    recipe = load_recipe(RECIPES / "comit-net-phantoms.yaml", ComitNetRecipe)
    trained = Trained(comit_network(recipe).state_dict(), Preprocessing(("lungs",)), tuple(STAGES))
    return write_bundle(recipe, manifest, trained, out)


MAKERS = {"cascade": cascade, "covid_cxnet": covid_cxnet, "comit_net": comit_net}
