"""Phantoms of two hospitals, and a bundle trained on them whose networks have the full ones' parts and fewer of them.

The full networks are tested where size can matter: exported in ``tests/runtime``, trained and screened with in the
bundle that ships.
"""

from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import write_set
from cxrscreen.nets import densenet, efficientnet_lite

BLOCK_LAYERS = (1, 2, 1, 1)
LITE_STAGES = (
    (1, 3, 2, 1, 8),
    (2, 5, 2, 2, 16),
    (1, 3, 2, 2, efficientnet_lite.MIDDLE_FEATURES),
    (1, 3, 2, 2, 24),
)
LITE_MIDDLE_BLOCK = 3


@contextmanager
def short_networks():
    """Build every network with few layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(densenet, "BLOCK_LAYERS", BLOCK_LAYERS)
        patch.setattr(efficientnet_lite, "STAGES", LITE_STAGES)
        patch.setattr(efficientnet_lite, "MIDDLE_BLOCK", LITE_MIDDLE_BLOCK)
        yield


@pytest.fixture(scope="module", autouse=True)
def _short_networks():
    with short_networks():
        yield


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
    # A session's fixture is made before a module's.
    with short_networks():
        trained = train_cascade(recipe, phantom_data, folder / "work")
        return write_bundle(recipe, phantom_data, trained, folder / "tiny")
