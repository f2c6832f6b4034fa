"""Recipes, and finished trainings whose answers are drawn instead of learned."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cxrscreen.evaluate.reproduce.comit_net.combinations import COMBINATIONS
from cxrscreen.evaluate.reproduce.comit_net.recipe import load_variants
from cxrscreen.evaluate.reproduce.comit_net.runs import COMPARATOR, IMAGES, ComitRuns
from cxrscreen.evaluate.reproduce.kept import ABOUT, About
from cxrscreen.systems.comit_net.answers import DISEASE, LEFT_OUT, LUNG_BOXES, LUNGS, REGION_TABLE, Answers

RECIPES = Path(__file__).parents[4] / "recipes"
LEFT_OUT_SETS = [["cohen"], ["hannover", "montgomery"]]
PHASE = {"epochs": 1, "batch": 6, "batches": 2, "learning_rate": 1e-3, "ema": 0}
COMPARATORS = {
    "densenet121.yaml": {"kind": "classifier", "network": "densenet121", "phases": [PHASE], "augment": {}},
    "unet.yaml": {"kind": "masks", "network": "unet", "width": 4, "phases": [PHASE], "augment": {}},
    "forest.yaml": {"kind": "embedding", "classifier": "forest", "trees": 20},
    "svm-rbf.yaml": {"kind": "embedding", "classifier": "svm-rbf"},
}
# Source, label, images: hannover holds no negatives, montgomery no positives.
SOURCES = (
    ("cohen", "covid19", 48),
    ("cohen", "bacterial", 48),
    ("hannover", "covid19", 30),
    ("montgomery", "normal", 30),
    ("nih", "normal", 60),
    ("nih", "pneumonia", 60),
)
PARTS = ("train", "test", "validation", "test")
APART = {"1234": 3.5, "4": 0.5, "densenet121": 1.0}
"""How far COVID-19 lies from the rest, by variant; 2.0 for the others."""


def written_recipe(folder: Path, **changes: object) -> Path:
    """A recipe with its comparators and COMiT-Net's own, all small."""
    (folder / "own.yaml").write_bytes((RECIPES / "comit-net-phantoms.yaml").read_bytes())
    for name, comparator in COMPARATORS.items():
        (folder / name).write_text(yaml.safe_dump({"system": "comit_net", "comparator": comparator}), encoding="utf-8")
    content = {
        "system": "comit_net",
        "own": "own.yaml",
        "comparators": list(COMPARATORS),
        "seeds": [0, 1],
        "left_out": LEFT_OUT_SETS,
        "left_out_seeds": [0],
        **changes,
    }
    file = folder / "reproduce.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def variants(tmp_path_factory):
    return load_variants(written_recipe(tmp_path_factory.mktemp("recipes")))


def facts() -> pd.DataFrame:
    """Every second image is of the patient of the one before."""
    rows = [
        (f"{source}/{label}{i:02d}", source, f"{source}-{label}-{i // 2}", label)
        for source, label, count in SOURCES
        for i in range(count)
    ]
    return pd.DataFrame(rows, columns=["image_id", "source", "group", "label"])


def drawn(variant: str, seed: int, left_out: tuple[str, ...]) -> Answers:
    """Answers whose COVID-19 score is better for some variants; heat of task 4 alone lies anywhere."""
    table = facts()
    number = table["image_id"].str[-2:].astype(int) // 2
    table["part"] = np.where(
        table["source"].isin(left_out), LEFT_OUT, np.asarray(PARTS)[number.to_numpy() % len(PARTS)]
    )
    rng = np.random.default_rng((seed, len(variant), len(left_out)))
    count = len(table)
    positive = (table["label"] == "covid19").to_numpy()
    logit = rng.normal(size=count) + APART.get(variant, 2.0) * (positive - 0.5)
    lungs = np.zeros((count, 4, 4), np.float32)
    lungs[:, 1:3] = 1.0
    heat = np.where(lungs > 0, 1.0, 0.1 if variant == "1234" else 0.9).astype(np.float32)
    tested = table.loc[table["part"] == "test", "image_id"]
    region_rows = [(image_id, region, 90, 5, 10) for image_id in tested[:30] for region in (LUNGS, LUNG_BOXES)]
    region_rows += [(image_id, DISEASE, 8, 24, 2) for image_id in tested[:4]]
    pooled = rng.normal(size=(count, 6)) + 2.0 * positive[:, None] * np.eye(6)[0]
    return Answers(
        tuple(table["image_id"]),
        tuple(table["part"]),
        (1 / (1 + np.exp(-logit))).astype(np.float32),
        np.full(count, np.nan, np.float32),
        unhealthy(table) if variant == "1234" else np.full(count, np.nan, np.float32),
        pooled.astype(np.float32),
        heat,
        lungs if variant == "1234" else np.zeros((count, 0, 0), np.float32),
        pd.DataFrame(region_rows, columns=list(REGION_TABLE)),
    )


def unhealthy(table: pd.DataFrame) -> np.ndarray:
    """Right of every image but the pneumonias of NIH."""
    ill = (table["label"] != "normal") & ~((table["source"] == "nih") & (table["label"] == "pneumonia"))
    return np.where(ill, 0.9, 0.1).astype(np.float32)


@pytest.fixture(scope="session")
def work(variants, tmp_path_factory):
    """A folder in which every training is finished."""
    folder = tmp_path_factory.mktemp("work")
    for together in ((), *(tuple(names) for names in LEFT_OUT_SETS)):
        base = folder / (f"without-{'-'.join(together)}" if together else "all-sources")
        for variant in (*COMBINATIONS, "densenet121", "unet"):
            for seed in variants.seeds(left_out=bool(together)):
                own = base / (variant if variant in variants.comparators else f"tasks-{variant}") / f"seed-{seed}"
                drawn(variant, seed, together).save(own)
                comparator = variants.comparators.get(variant)
                (own / COMPARATOR).write_text("{}" if comparator is None else comparator.model_dump_json())
    facts().to_csv(folder / IMAGES, index=False)
    (folder / ABOUT).write_text(json.dumps(asdict(About(variants.digest, "0" * 64))), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def runs(variants, work):
    return ComitRuns(work, variants)


@pytest.fixture(scope="module", autouse=True)
def few_replicates():
    """Intervals from few resamples: what is tested here is what is compared with what.

    Of a module: a session's would go on to the tests of other folders.
    """
    from cxrscreen.evaluate import bootstrap, region_overlap, screening_points

    functions = (
        screening_points.screening_points,
        screening_points.compare_points,
        region_overlap.region_figures,
        bootstrap.bootstrap,
        bootstrap.bootstrap_all,
    )
    with pytest.MonkeyPatch.context() as patch:
        for function in functions:
            patch.setattr(function, "__kwdefaults__", {**function.__kwdefaults__, "replicates": 40})
        yield


@pytest.fixture(scope="module")
def made(runs, few_replicates):
    """Every table and figure, made once."""
    from cxrscreen.evaluate.reproduce.comit_net.run import MAKERS

    return {name: make(runs) for name, make in MAKERS.items()}
