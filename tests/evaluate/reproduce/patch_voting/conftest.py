"""Recipes, and finished trainings whose figures are known by hand."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxrscreen.evaluate.reproduce.kept import ABOUT, About
from cxrscreen.evaluate.reproduce.patch_voting.covid_net_split import COVID_NET
from cxrscreen.evaluate.reproduce.patch_voting.recipe import load_variants
from cxrscreen.evaluate.reproduce.patch_voting.runs import NORMAL_OR_NOT, SETS, PatchRuns
from cxrscreen.systems.patch_voting.voting import CLASSES

RECIPES = Path(__file__).parents[4] / "recipes"
TRUTH = [0, 1, 2, 3] * 15


@pytest.fixture(scope="session")
def variants():
    return load_variants(RECIPES / "reproduce-patch-voting.yaml")


def votes(wrong: int) -> pd.DataFrame:
    """Votes of which the first ``wrong`` call the next class."""
    calls = [(truth + (number < wrong)) % 4 for number, truth in enumerate(TRUTH)]
    scores = {f"p_{name}": [0.7 if call == place else 0.1 for call in calls] for place, name in enumerate(CLASSES)}
    ids = [f"i{number:02d}" for number in range(len(TRUTH))]
    truth = [CLASSES[each] for each in TRUTH]
    return pd.DataFrame({"image_id": ids, "source": "s", "group": ids, "truth": truth, **scores})


def three_votes() -> pd.DataFrame:
    """Votes with the counts of the paper's Table XII: 100, 100 and 10 images; 90, 93 and 10 of them right."""
    pairs = [(0, 0)] * 90 + [(0, 1)] * 10 + [(1, 1)] * 93 + [(1, 0)] * 4 + [(1, 2)] * 3 + [(2, 2)] * 10
    ids = [f"c{number:03d}" for number in range(len(pairs))]
    scores = {f"p_{name}": [0.8 if call == place else 0.1 for _, call in pairs] for place, name in enumerate(COVID_NET)}
    truth = [COVID_NET[each] for each, _ in pairs]
    return pd.DataFrame({"image_id": ids, "source": "s", "group": ids, "truth": truth, **scores})


def normal_or_not() -> pd.DataFrame:
    """Calls by the mask alone: 12 of 15 normal images and 40 of 45 diseased ones are right."""
    pairs = [(0, 0)] * 12 + [(0, 1)] * 3 + [(1, 1)] * 40 + [(1, 0)] * 5
    ids = [f"m{number:02d}" for number in range(len(pairs))]
    scores = {
        f"p_{name}": [0.9 if call == place else 0.1 for _, call in pairs] for place, name in enumerate(NORMAL_OR_NOT)
    }
    truth = [NORMAL_OR_NOT[each] for each, _ in pairs]
    return pd.DataFrame({"image_id": ids, "source": "s", "group": ids, "truth": truth, **scores})


def overlaps(level: float) -> pd.DataFrame:
    """Jaccard indices around a level; hearts 0.1 below, the unprepared 0.05 below."""
    rng = np.random.default_rng(7)
    shift = {"lungs": 0.0, "heart": -0.1, "elsewhere": 0.0, "elsewhere, raw": -0.05}
    rows = []
    for what in SETS:
        for number, noise in enumerate(rng.normal(0, 0.002, 20)):
            image_id = f"{what.partition(',')[0]}{number:02d}"
            rows.append((image_id, "s", image_id, level + shift[what] + noise, what))
    return pd.DataFrame(rows, columns=["image_id", "source", "group", "jaccard", "set"]).assign(dice=0.9)


@pytest.fixture
def finished(variants, tmp_path):
    """Runs of which every training is finished."""
    work = tmp_path / "work"
    for name, level in {"own": 0.95, "fc-densenet67": 0.94, "fc-densenet103": 0.95, "share-0.5": 0.949}.items():
        (work / "organs" / name).mkdir(parents=True)
        overlaps(level).to_csv(work / "organs" / name / "overlaps.csv", index=False)
    for name, level in {"share-0.3": 0.9, "share-0.1": 0.8}.items():
        (work / "organs" / name).mkdir(parents=True)
        overlaps(level).to_csv(work / "organs" / name / "overlaps.csv", index=False)
    wrong = {"own": 6, "global": 24, "whole": 12, "mask": 30, "patch-112": 12, "patch-448": 6}
    wrong |= {"fc-densenet67": 8, "fc-densenet103": 6}
    wrong |= {"share-0.5": 7, "share-0.3": 9, "share-0.1": 12}
    wrong |= {"global-share-0.5": 30, "global-share-0.3": 36, "global-share-0.1": 48}
    for name, count in wrong.items():
        (work / "votes" / name).mkdir(parents=True)
        votes(count).to_csv(work / "votes" / name / "classes.csv", index=False)
    (work / "mask-alone").mkdir()
    normal_or_not().to_csv(work / "mask-alone" / "classes.csv", index=False)
    (work / "covid-net").mkdir()
    three_votes().to_csv(work / "covid-net" / "classes.csv", index=False)
    (work / ABOUT).write_text(json.dumps(asdict(About(variants.digest, "0" * 64))), encoding="utf-8")
    return PatchRuns(work, variants)
