"""Phantoms, and a bundle trained on them whose classifier has the full one's parts and fewer of them."""

from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import write_set
from cxrscreen.nets import efficientnet_lite

LITE_STAGES = ((1, 3, 1, 1, 8), (1, 3, 2, 2, 8), (1, 5, 2, 2, 16), (1, 3, 2, 2, 112), (1, 3, 2, 2, 24))
LITE_MIDDLE_BLOCK = 3


@contextmanager
def short_networks():
    """Build the classifier with few layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientnet_lite, "STAGES", LITE_STAGES)
        patch.setattr(efficientnet_lite, "MIDDLE_BLOCK", LITE_MIDDLE_BLOCK)
        patch.setattr(efficientnet_lite, "FEATURES", 64)
        yield patch


@pytest.fixture(scope="session")
def phantom_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, 44, seed=2, size=152)
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    assert set(table["label"]) == {"normal", "covid19", "bacterial", "tuberculosis"}
    return load_manifest(folder)


@pytest.fixture(scope="session")
def tiny_recipe_file():
    """Every step in seconds; what it learns is nothing."""
    return Path(__file__).parents[3] / "recipes" / "patch-voting-phantoms.yaml"


@pytest.fixture(scope="session")
def tiny_recipe(tiny_recipe_file):
    from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
    from cxrscreen.train.recipe import load_recipe

    return load_recipe(tiny_recipe_file, PatchVotingRecipe)


@pytest.fixture(scope="session")
def trained_folder(phantom_data, tiny_recipe_file, tmp_path_factory):
    """Folder with ``work`` and the bundle ``tiny``."""
    from cxrscreen.systems.patch_voting import export

    folder = tmp_path_factory.mktemp("patch-voting")
    with short_networks() as patch:
        # Parted once: another stride would only take time.
        patch.setattr(export, "HALVES", {8: export.HALVES[8]})
        train_bundle = export.train_bundle
        train_bundle(tiny_recipe_file, phantom_data, folder / "work", folder / "tiny")
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(trained_folder):
    from cxrscreen.systems.bundle import open_bundle

    return open_bundle(trained_folder / "tiny")
