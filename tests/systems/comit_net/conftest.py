"""Phantoms, some with boxes of disease, and a bundle trained on them: every part of the paper's network, and small."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxrscreen.data.disease_masks import BOX_COLUMNS
from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.masks import read_lung_mask
from cxrscreen.data.phantoms import write_set


@pytest.fixture(scope="session")
def phantom_data(tmp_path_factory):
    """Boxes around the lower half of the right lung where a phantom has COVID-19."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, 24, seed=2, size=152)
    manifest = load_manifest(folder)
    rows = []
    for image_id in manifest.table.index[manifest.table["label"] == "covid19"]:
        y, x = np.nonzero(read_lung_mask(manifest.mask_file(image_id)) == 1)
        middle = int(np.median(y))
        rows.append((image_id, "constructed", x.min(), middle, x.max() - x.min() + 1, y.max() - middle + 1))
    pd.DataFrame(rows, columns=BOX_COLUMNS).to_csv(folder / "boxes.csv", index=False)
    return manifest


@pytest.fixture(scope="session")
def recipe_file():
    """Every step in seconds; what it learns is nothing."""
    return Path(__file__).parents[3] / "recipes" / "comit-net-phantoms.yaml"


@pytest.fixture(scope="session")
def recipe(recipe_file):
    from cxrscreen.systems.comit_net.recipe import ComitNetRecipe
    from cxrscreen.train.recipe import load_recipe

    return load_recipe(recipe_file, ComitNetRecipe)


@pytest.fixture(scope="session")
def trained_folder(phantom_data, recipe_file, tmp_path_factory):
    """Folder with ``work`` and the bundle ``tiny``."""
    from cxrscreen.systems.comit_net.export import train_bundle

    folder = tmp_path_factory.mktemp("comit-net")
    train_bundle(recipe_file, phantom_data, folder / "work", folder / "tiny")
    return folder


@pytest.fixture(scope="session")
def bundle(trained_folder):
    from cxrscreen.systems.bundle import open_bundle

    return open_bundle(trained_folder / "tiny")
