"""Phantoms, and a bundle trained on them whose classifier has the full one's parts and fewer of them."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import write_set
from cxrscreen.nets import efficientnet_lite

LITE_STAGES = ((1, 3, 1, 1, 8), (1, 3, 2, 2, 8), (1, 5, 2, 2, 16), (1, 3, 2, 2, 112), (1, 3, 2, 2, 24))


@contextmanager
def short_networks():
    """Build the classifier with few layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientnet_lite, "STAGES", LITE_STAGES)
        patch.setattr(efficientnet_lite, "MIDDLE_BLOCK", 3)
        patch.setattr(efficientnet_lite, "FEATURES", 64)
        yield


@pytest.fixture(scope="session")
def phantom_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, 40, seed=2, size=152)
    return load_manifest(folder)


@pytest.fixture(scope="session")
def recipe_file():
    """Every step in seconds; what it learns is nothing."""
    return Path(__file__).parents[3] / "recipes" / "covid-cxnet-phantoms.yaml"


@pytest.fixture(scope="session")
def recipe(recipe_file):
    from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe
    from cxrscreen.train.recipe import load_recipe

    return load_recipe(recipe_file, CovidCxNetRecipe)


@pytest.fixture(scope="session")
def trained_folder(phantom_data, recipe_file, tmp_path_factory):
    """Folder with ``work`` and the bundle ``tiny``."""
    from cxrscreen.systems.covid_cxnet.export import train_bundle

    folder = tmp_path_factory.mktemp("covid-cxnet")
    with short_networks():
        train_bundle(recipe_file, phantom_data, folder / "work", folder / "tiny")
    return folder


@pytest.fixture(scope="session")
def bundle(trained_folder):
    from cxrscreen.systems.bundle import open_bundle

    return open_bundle(trained_folder / "tiny")
