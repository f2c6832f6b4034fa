"""Runs that are made, on phantoms, by networks whose answers are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import write_set
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import RecipeError
from cxrscreen.evaluate.reproduce.patch_voting import runs as runs_module
from cxrscreen.evaluate.reproduce.patch_voting.recipe import Variants
from cxrscreen.evaluate.reproduce.patch_voting.runs import SETS, PatchRuns
from cxrscreen.evaluate.reproduce.recipe import CovidNetRecipe
from cxrscreen.systems.patch_voting.voting import Vote

SIDE = 64
COVID_NET_TEST = CovidNetRecipe(sources=("phantom",), normal=2, pneumonia=3, covid19=2)


class BrightIsLung:
    """Calls what is brighter than the middle grey lung: the preprocessed image is brighter, so it finds more."""

    image_shape = (1, SIDE, SIDE)

    def __init__(self):
        self.means = []

    def __call__(self, view):
        self.means.append(float(view.mean()))
        logits = np.zeros((1, 4, SIDE, SIDE), np.float32)
        left = np.arange(SIDE) < SIDE // 2
        logits[0, 0] = 5.0 * (view[0, 0] <= 0)
        logits[0, 1], logits[0, 2] = 5.0 * ((view[0, 0] > 0) & left), 5.0 * ((view[0, 0] > 0) & ~left)
        return {"logits": logits}


class Viral:
    def vote(self, radiograph):
        return Vote(3, np.array([1, 1, 1, 7]), np.array([0.1, 0.1, 0.1, 0.7]))


class Third:
    def vote(self, radiograph):
        return Vote(2, np.array([1, 1, 8]), np.array([0.1, 0.1, 0.8]))


class Diseased:
    def vote(self, radiograph):
        return Vote(1, np.array([2, 8]), np.array([0.2, 0.8]))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, 44, seed=2, size=152, dicom_every=0)
    manifest = load_manifest(folder)
    # A source whose hearts nobody drew teaches no organ network.
    lent = manifest.table.index[manifest.table["label"] == "normal"][:3]
    manifest.table.loc[lent, ["source", "heart_mask"]] = ["lent", ""]
    return manifest


@pytest.fixture
def made(variants, phantoms, tmp_path, monkeypatch):
    settings = variants.settings.model_copy(update={"elsewhere": "lent", "covid_net": COVID_NET_TEST})
    classifier = variants.own.classifier.model_copy(update={"sources": ("phantom",)})
    own = variants.own.model_copy(update={"classifier": classifier})
    baseline = variants.baseline.model_copy(update={"classifier": classifier})
    asked, engine = [], BrightIsLung()

    def voting_bundle(recipe, manifest, folder, organs, images):
        asked.append((recipe, folder.name, organs.name, images.name))
        folder.mkdir(parents=True)
        return SimpleNamespace(folder=folder)

    def organ_engine(recipe, manifest, folder):
        folder.mkdir(parents=True)
        return engine

    def other_classes(recipe, manifest, split, folder, organs, images=None):
        if images is not None:
            assert (folder.name, images.parent.name, images.name) == ("mask-alone", "images", "own")
        asked.append((recipe, split, folder.name, organs.name))
        folder.mkdir(parents=True)
        return Third() if images is None else Diseased()

    fakes = SimpleNamespace(voting_bundle=voting_bundle, organ_engine=organ_engine, other_classes=other_classes)
    monkeypatch.setattr(runs_module, "_experiments", lambda: fakes)
    monkeypatch.setattr(runs_module, "load_system", lambda folder: Viral())
    return PatchRuns(tmp_path / "work", Variants(settings, own, baseline), phantoms), asked, engine


def test_organs_are_measured_prepared_and_raw(made, phantoms):
    runs, _, engine = made
    table = runs.organs("own")
    assert list(dict.fromkeys(table["set"])) == list(SETS)
    own = make_split("patch-organs", phantoms, runs.variants.own.seed).test
    assert list(table.loc[table["set"] == "lungs", "image_id"]) == list(own)
    normal = phantoms.table.index[phantoms.table["source"] == "lent"]
    for what in ("elsewhere", "elsewhere, raw"):
        assert list(table.loc[table["set"] == what, "image_id"]) == sorted(normal)
    assert table["jaccard"].between(0, 1).all()
    # Equalisation and gamma brighten: the network is shown other grey values without them.
    count = len(normal)
    assert np.mean(engine.means[-2 * count : -count]) > np.mean(engine.means[-count:]) + 0.1
    runs.organs("own")
    assert len(engine.means) == 2 * len(own) + 2 * count


@pytest.mark.parametrize("source", ["phantom", "cohen"])
def test_a_source_that_taught_or_was_drawn_with_the_heart_is_not_elsewhere(made, source):
    runs, _, _ = made
    settings = runs.variants.settings.model_copy(update={"elsewhere": source})
    other = PatchRuns(runs.work, replace(runs.variants, settings=settings), runs.manifest)
    with pytest.raises(RecipeError, match="name another source in the recipe at elsewhere"):
        other.organs("own")


def test_votes_are_measured_on_the_test_part_and_share_organs(made, phantoms):
    runs, asked, _ = made
    table = runs.votes("patch-112")
    split = make_split("patch-classes", phantoms, runs.variants.own.seed, ("phantom",))
    assert list(table["image_id"]) == list(split.test)
    assert (table["p_viral"] > 0.6).all()
    runs.votes("fc-densenet67")
    runs.votes("patch-112")
    assert [(name, organs, images) for _, name, organs, images in asked] == [
        ("patch-112", "own", "own"),
        ("fc-densenet67", "fc-densenet67", "fc-densenet67"),
    ]
    assert asked[0][0].patch == 112


def test_covid_nets_classes_are_drawn_by_its_counts(made, phantoms):
    runs, asked, _ = made
    table = runs.covid_net()
    assert table["truth"].value_counts().to_dict() == {"normal": 2, "pneumonia": 3, "covid19": 2}
    assert (table["p_covid19"] > 0.7).all()
    recipe, split, folder, organs = asked[0]
    assert (recipe, folder, organs) == (runs.variants.own, "covid-net", "own")
    labels = phantoms.table["label"]
    # Any pneumonia but COVID-19 is one class; the parts share no patient.
    assert {(labels[i], split.truth[i]) for i in (*split.train, *split.validation, *split.test)} == {
        ("normal", 0),
        ("bacterial", 1),
        ("tuberculosis", 1),
        ("covid19", 2),
    }
    assert {split.truth[i] for i in split.train} == {split.truth[i] for i in split.validation} == {0, 1, 2}
    assert not {split.groups[i] for i in split.test} & {split.groups[i] for i in split.train}


def test_the_mask_alone_is_asked_for_normal_or_not_on_the_parts_of_the_votes(made, phantoms):
    runs, asked, _ = made
    table = runs.mask_alone()
    parts = make_split("patch-classes", phantoms, runs.variants.own.seed, ("phantom",))
    assert list(table["image_id"]) == list(parts.test)
    labels = phantoms.table["label"]
    assert list(table["truth"] == "normal") == [labels[i] == "normal" for i in parts.test]
    assert (table["p_diseased"] > table["p_normal"]).all()
    recipe, split, _, organs = asked[0]
    assert (recipe, organs) == (runs.variants.mask_alone, "own")
    assert split.digest == parts.digest
    assert set(split.truth.values()) == {0, 1}


def test_a_folder_of_other_images_is_refused(made, phantoms):
    runs, _, _ = made
    runs.votes("patch-112")
    fewer = type(phantoms)(phantoms.table.iloc[:-1], phantoms.root)
    with pytest.raises(RecipeError, match="other recipes or images"):
        PatchRuns(runs.work, runs.variants, fewer).votes("patch-112")
