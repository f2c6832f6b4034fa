import pandas as pd
import pytest
import yaml

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import write_set

STILL = {"rotation": 5, "flip": 0.5, "blur": 0.0, "noise": 0.01}
PHASE = {"epochs": 1, "batch": 6, "batches": 3, "learning_rate": 1.0e-3, "ema": 0.5}

TINY = {
    "system": "cascade",
    "version": "0.0.1",
    "seed": 0,
    "compute": {"precision": "32-true", "accelerator": "cpu", "threads": 1},
    "working_side": 96,
    "side": 64,
    "lungs": {
        "protocol": "lungs-any",
        "width": 4,
        "side": 64,
        "phases": [PHASE | {"epochs": 2, "batches": 20, "learning_rate": 1.0e-2}],
        "augment": STILL,
    },
    "stage2": {"phases": [PHASE | {"side": 32, "without_covid19": True}, PHASE | {"side": 64}], "augment": STILL},
    "stage3": {"weights": "stage2", "phases": [PHASE | {"side": 64}], "augment": STILL | {"histogram": 0.5}},
}
"""A recipe that runs every step in seconds; what it learns is nothing."""


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
def tiny_recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


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
