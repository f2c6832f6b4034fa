from pathlib import Path

import pandas as pd
import pytest

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import write_set


@pytest.fixture(scope="session")
def phantom_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, 72, seed=1, size=160)
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    # Two sources that both hold every class, as the evaluation needs them.
    table["source"] = [f"hospital-{int(patient[-4:]) % 2}" for patient in table["patient_id"]]
    table.to_csv(folder / "manifest.csv", index=False)
    return load_manifest(folder)


@pytest.fixture(scope="session")
def tiny_recipe():
    """Every step in seconds; what it learns is nothing."""
    return Path(__file__).parents[3] / "recipes" / "cascade-phantoms.yaml"


@pytest.fixture(scope="session")
def tiny_bundle(phantom_data, tiny_recipe, tmp_path_factory):
    from cxrscreen.systems.cascade.export import write_bundle
    from cxrscreen.systems.cascade.recipe import CascadeRecipe
    from cxrscreen.systems.cascade.training import train_cascade
    from cxrscreen.train.recipe import load_recipe

    recipe = load_recipe(tiny_recipe, CascadeRecipe)
    folder = tmp_path_factory.mktemp("bundle")
    trained = train_cascade(recipe, phantom_data, folder / "work")
    return write_bundle(recipe, phantom_data, trained, folder / "tiny")
