"""The recipe, and finished trainings whose answers are known by hand."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxrscreen.evaluate.reproduce.covid_cxnet.recipe import CxNetReproduceRecipe
from cxrscreen.evaluate.reproduce.covid_cxnet.runs import TRAININGS, CxNetRuns
from cxrscreen.evaluate.reproduce.kept import ABOUT, About
from cxrscreen.systems.covid_cxnet.classes import CLASSES
from cxrscreen.train.recipe import load_recipe

RECIPES = Path(__file__).parents[4] / "recipes"
IMAGES = {
    "binary": {("cohen", "covid19"): 20, ("cohen", "normal"): 6, ("nih", "normal"): 20, ("armiro", "covid19"): 10},
    "three": {("cohen", "covid19"): 20, ("cohen", "other_pneumonia"): 8, ("nih", "normal"): 20,
              ("nih", "other_pneumonia"): 20, ("armiro", "covid19"): 10},
}  # fmt: skip


@pytest.fixture(scope="session")
def recipe():
    return load_recipe(RECIPES / "reproduce-covid-cxnet.yaml", CxNetReproduceRecipe)


def answers(version, wrong, *, sure=0.9, lungs=0.6, area=0.4):
    """Answers about as many validation as test images, the first ``wrong`` of each part and class the next class."""
    classes, rows = CLASSES[version], []
    for part in ("validation", "test"):
        seen = dict.fromkeys(classes, 0)
        for (source, truth), count in IMAGES[version].items():
            for number in range(count):
                place = (classes.index(truth) + (seen[truth] < wrong)) % len(classes)
                shares = np.full(len(classes), (1 - sure) / (len(classes) - 1))
                shares[place] = sure
                seen[truth] += 1
                name = f"{part}-{source}-{truth}-{number}"
                about = (name, source, name, "pneumonia" if truth == "other_pneumonia" else truth, part, truth)
                rows.append((*about, *shares, lungs + 0.01 * (number % 3), area))
    columns = ["image_id", "source", "group", "label", "part", "truth", *(f"p_{name}" for name in classes)]
    table = pd.DataFrame(rows, columns=[*columns, "lung_share", "lung_area"])
    odds = np.log(table["p_covid19"] / table[f"p_{classes[-2]}"])
    if version == "binary":
        return table.assign(covid19_against_normal=odds)
    sick = table["p_covid19"] + table["p_other_pneumonia"]
    return table.assign(pneumonia=np.log(sick / table["p_normal"]), covid19=odds)


def without(table, sources):
    """All images of the sources in the test part."""
    return table.assign(part=table["part"].where(~table["source"].isin(sources), "test"))


def write(runs, name, table, file="outputs.csv"):
    folder = runs.work / TRAININGS / name
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / file, index=False)


@pytest.fixture
def finished(recipe, tmp_path):
    """Runs of which every training is finished; the whole radiograph errs on 1 image of a class, the lungs on 2."""
    work = tmp_path / "work"
    work.mkdir()
    (work / ABOUT).write_text(json.dumps(asdict(About(recipe.digest, "0" * 64))), encoding="utf-8")
    runs = CxNetRuns(work, recipe)
    write(runs, "whole", answers("binary", 1, lungs=0.4, area=0.3))
    write(runs, "own", answers("binary", 2, lungs=0.8, area=0.5))
    write(runs, "box", answers("binary", 1, lungs=0.6, area=0.5))
    write(runs, "base-v1", answers("binary", 10))
    write(runs, "base-v1-adults", answers("binary", 4))
    write(runs, "base-v2", answers("binary", 1))
    write(runs, "three", answers("three", 3))
    write(runs, "imagenet", answers("binary", 3))
    write(runs, "imagenet-frozen", answers("binary", 8))
    for number, share in enumerate(recipe.shares[1:], start=1):
        write(runs, f"share-{share:g}", answers("binary", 2 * number))
    for seed in recipe.seeds:
        write(runs, f"seed-{seed}", answers("binary", 1 + seed % 3))
    for model, version in {"own": "binary", "three": "three", "whole": "binary", "base-v1": "binary"}.items():
        for sources in recipe.left_out:
            if model in {"own", "three"} or "cohen" in sources:
                write(runs, f"{model}-without-{'+'.join(sources)}", without(answers(version, 4), sources))
    for model in ("base-v1-adults", "base-v2"):
        write(runs, f"{model}-without-cohen", without(answers("binary", 4), ("cohen",)))
    for kind, moved in {"whole": 0.2, "box": 0.1, "own": 0.0}.items():
        rows = pd.read_csv(runs.work / TRAININGS / kind / "outputs.csv")
        rows = rows[rows["part"] == "test"]
        score = (rows["p_covid19"] + moved).clip(0, 1)
        edited = rows.assign(p_covid19=score, p_normal=1 - score, touched=np.arange(len(rows)) % 4 == 0)
        for edit in ("burned", "concealed"):
            write(runs, kind, edited.assign(lung_share=rows["lung_share"] - moved), f"{edit}.csv")
    return runs
