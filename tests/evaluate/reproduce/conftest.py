"""A constructed manifest without files, and trainings whose logits are drawn instead of learned."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cxrscreen.data.manifest import check_manifest
from cxrscreen.evaluate.reproduce import runs as runs_module
from cxrscreen.evaluate.reproduce.recipe import ReproduceRecipe
from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.train.recipe import load_recipe

RECIPES = Path(__file__).parents[3] / "recipes"

# (source, label, patients): the first source lends a patient to the clinic.
IMAGES = (
    ("open-adults", "normal", 120),
    ("open-adults", "pneumonia", 120),
    ("open-covid", "covid19", 60),
    ("clinic", "normal", 24),
    ("clinic", "bacterial", 16),
    ("clinic", "viral", 16),
    ("clinic", "covid19", 60),
)


@pytest.fixture(scope="session")
def manifest():
    rows = [
        (f"{source}-{label}-{i}", f"{source}/{label}{i}.png", source, f"{source}-{label}-{i // 2 * 2}", label, "PA")
        for source, label, count in IMAGES
        for i in range(count)
    ]
    table = pd.DataFrame(rows, columns=["image_id", "path", "source", "patient_id", "label", "view"])
    table["duplicate_of"] = ""
    # A clinic image that is a copy of an open one, whose patient has another open image.
    table.loc[table["image_id"] == "clinic-covid19-0", "duplicate_of"] = "open-covid-covid19-0"
    return check_manifest(table, Path("pack"))


@pytest.fixture(scope="session")
def recipe():
    phase = {"side": 64, "epochs": 1, "batch": 6, "batches": 2, "learning_rate": 1e-3, "ema": 0.0}
    stage = {"phases": [phase], "augment": {"blur": 0.0}}
    tuning = {"epochs": 1, "batch": 6, "batches": 2, "learning_rate": 1e-3, "ema": 0.0}
    compute = {"precision": "32-true", "accelerator": "cpu", "threads": 1}
    return ReproduceRecipe.model_validate(
        {
            "compute": compute,
            "clinic": "clinic",
            "covid_net": {"sources": ["clinic", "open-adults"], "normal": 10, "pneumonia": 10, "covid19": 8},
            "stage2": stage,
            "stage3": {**stage, "weights": "stage2"},
            "adapt": {"compute": compute, "stage2": tuning, "stage3": tuning},
            "repeats": [0, 1],
            "new_cases": 6,
            "plain": {},
            "left_out": [["open-adults"], ["clinic"]],
            "cases": [4, 8, 500],
        }
    )


@pytest.fixture(scope="session")
def bundle():
    own = load_recipe(RECIPES / "cascade-phantoms.yaml", CascadeRecipe).model_dump(mode="json")
    return SimpleNamespace(
        card=SimpleNamespace(bundle_id="constructed@1.0.0", recipe=own, data=SimpleNamespace(seed=0))
    )


@pytest.fixture(scope="module")
def drawn():
    """Replace the trainings by draws: 2 apart for the truth; ``asked`` keeps what was asked for."""
    asked = []

    def logits(table, seed, apart):
        rng = np.random.default_rng(seed)
        pneumonia = rng.normal(size=len(table)) + apart * (table["label"] != "normal")
        covid = rng.normal(size=len(table)) + apart * (table["label"] == "covid19")
        return pneumonia, np.where(table["label"] == "normal", np.nan, covid)

    def held_of(split, manifest):
        parts = {i: part for part in ("validation", "test") for i in split.part(part)}
        table = manifest.table.loc[sorted(parts), ["image_id", "source", "group", "label"]].reset_index(drop=True)
        return table.assign(part=[parts[i] for i in table["image_id"]])

    def train_stages(bench, learned, held, folder, *, seed, both=True, masked=True, stage2_in=None):
        prefix = "plain-" if folder.parent.name == "left-out-plain" else ""
        limited = bench.recipe.stage2.augment.gamma
        asked.append((prefix + folder.name, learned, held, both, masked, limited))
        table = held_of(held["stage2"], bench.manifest)
        # A hospital that was left out is read worse.
        apart = {"left-out": 0.7, "left-out-plain": 0.2}.get(folder.parent.name, 2.0)
        table["pneumonia"], table["covid19"] = logits(table, seed, apart)
        if not both:
            table["covid19"] = np.nan
        folder.mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / runs_module.OUTPUTS, index=False)

    def adapt_stages(bench, base, cohort, recipe, folder):
        asked.append((folder.name, cohort, recipe, base.name, None))
        table = held_of(cohort.splits["stage2"], bench.manifest)
        table["new"] = table["image_id"].isin(cohort.new)
        table["pneumonia_before"], table["covid19_before"] = logits(table, 0, 2.0)
        # Without the old images, what was known of them is lost.
        table["pneumonia_after"], table["covid19_after"] = logits(table, 0, 2.0 if recipe.with_old else 0.5)
        folder.mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / runs_module.OUTPUTS, index=False)

    def tune_stage2(bench, base, cohort, recipe, folder):
        adapt_stages(bench, base, cohort, recipe, folder)
        file = folder / runs_module.OUTPUTS
        pd.read_csv(file).drop(columns=["covid19_before", "covid19_after"]).to_csv(file, index=False)

    fake = SimpleNamespace(
        Bench=lambda bundle, recipe, manifest, images, work: SimpleNamespace(manifest=manifest, recipe=recipe),
        train_stages=train_stages,
        adapt_stages=adapt_stages,
        tune_stage2=tune_stage2,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs_module, "_experiments", lambda: fake)
        yield asked
