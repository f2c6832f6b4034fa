"""The trainings behind the tables on phantoms: small inputs, two batches, and networks asked without compiling them."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from cxrscreen.data.manifest import check_manifest
from cxrscreen.data.protocols import PARTS
from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.evaluate.reproduce.recipe import ReproduceRecipe
from cxrscreen.evaluate.reproduce.run import reproduce
from cxrscreen.evaluate.reproduce.sets import make_sets
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.systems.bundle import Card, DataCard, sha256_of, write_card
from cxrscreen.systems.cascade import adaptation, cutting, experiments, training
from cxrscreen.systems.cascade.export import PROVISIONAL
from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.train.recipe import load_recipe

SIDE = 32
MADE = ("table3", "table4", "table5", "lambda-sweep", "leave-one-out")


class PlainEngine:
    """A classifier run by torch from its weights, and a segmenter that always sees two lungs."""

    def __init__(self, graph):
        self.image_shape = (1, SIDE, SIDE)
        self.network = None
        if graph.stem != "lungs":
            state = load_file(graph.with_suffix(".safetensors"))
            self.weights = {name: value.numpy() for name, value in state.items()}
            self.network = DenseNet121(pooling="lungs").eval()
            self.network.load_state_dict(state, strict=False)

    def __call__(self, image):
        if self.network is None:
            logits = np.full((1, 1, SIDE, SIDE), -9, np.float32)
            logits[..., 6:26, 3:13] = logits[..., 6:26, 19:29] = 9
            return {"logits": logits}
        with torch.inference_mode():
            features = self.network.feature_maps(torch.from_numpy(image))
            pooled = self.network.pool(features, torch.from_numpy(image))
            logits = self.network.classifier(pooled)
        return {"logits": logits.numpy(), "features": features.numpy(), "pooled": pooled.numpy()}


def save_plainly(network, side, weights, graph):
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    save_file({name: value.contiguous() for name, value in state.items()}, weights)
    graph.write_text(str(side), encoding="ascii")


@pytest.fixture(scope="module", autouse=True)
def plain_engines():
    with pytest.MonkeyPatch.context() as patch:
        for module in (adaptation, experiments, training):
            patch.setattr(module, "export_classifier", save_plainly)
        for module in (adaptation, experiments, training, cutting):
            patch.setattr(module, "load_engine", PlainEngine)
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, tiny_recipe):
    own = load_recipe(tiny_recipe, CascadeRecipe).model_dump(mode="json")
    own |= {"side": SIDE, "tutor": None}
    for name in ("stage2", "stage3"):
        still = {"side": SIDE, "imitation": 0.0, "hint": 0.0, "distillation": 0.0}
        own[name]["phases"] = [own[name]["phases"][-1] | still]
    folder = tmp_path_factory.mktemp("bundle")
    for name in ("lungs.onnx", "lungs.safetensors"):
        (folder / name).write_bytes(name.encode())
    save_plainly(DenseNet121(pooling="lungs"), SIDE, folder / "pneumonia.safetensors", folder / "pneumonia.onnx")
    card = Card(
        name="cascade",
        version="1.0.0",
        system="cascade",
        created="2020-01-01",
        summary="",
        intended_use="",
        not_for=[],
        limits=[],
        licence="",
        preprocessing=asdict(CascadeRecipe.model_validate(own).preprocessing),
        stages=dict.fromkeys(("pneumonia", "covid19"), PROVISIONAL),
        data=DataCard(images_sha256="", splits={}, seed=0, images={}, licences=[]),
        recipe=own,
        files={file.name: sha256_of(file) for file in sorted(folder.iterdir())},
    )
    return write_card(folder, card)


@pytest.fixture(scope="module")
def sites(phantom_data):
    """Two sources that both hold every class."""
    table = phantom_data.table.drop(columns="group").reset_index(drop=True)
    table["source"] = ["open" if int(patient[-4:]) // 4 % 2 else "clinic" for patient in table["patient_id"]]
    return check_manifest(table, phantom_data.root)


@pytest.fixture(scope="module")
def recipe():
    phase = {"epochs": 1, "batch": 6, "batches": 2, "learning_rate": 1e-3, "ema": 0.0}
    stage = {"phases": [{**phase, "side": SIDE}], "augment": {"blur": 0.0}}
    compute = {"precision": "32-true", "accelerator": "cpu", "threads": 1}
    return ReproduceRecipe.model_validate(
        {
            "compute": compute,
            "clinic": "clinic",
            "covid_net": {"sources": ["open", "clinic"], "normal": 2, "pneumonia": 2, "covid19": 2},
            "stage2": stage,
            "stage3": {**stage, "weights": "stage2"},
            "adapt": {"compute": compute, "stage2": phase, "stage3": phase},
            "repeats": [0],
            "lambdas": [1.0],
            "new_cases": 2,
            "left_out": [["clinic"]],
        }
    )


@pytest.fixture(scope="module")
def made(bundle, recipe, sites, tmp_path_factory):
    """Tables 3 to 5, the sweep and the source left out, trained from end to end."""
    folder = tmp_path_factory.mktemp("reproduced")
    for name in MADE:
        reproduce(name, recipe, folder / "work", folder / "out", make=(bundle, sites), command=name)
    return folder


def outputs(folder, name):
    return pd.read_csv(folder / "work" / name / "outputs.csv")


def test_the_tables_are_there(made):
    for name in MADE:
        assert (made / "out" / f"cascade-{name}.md").stat().st_size > 2000
    assert "new images alone" in (made / "out" / "cascade-lambda-sweep.md").read_text(encoding="utf-8")


def test_held_out_images_are_asked_and_training_images_are_not(made, recipe, sites):
    sets = make_sets(sites, recipe, 0)
    table = outputs(made, "trainings/open-seed0")
    held = {i for part in PARTS[1:] for i in sets.both["stage2"].part(part)}
    assert set(table["image_id"]) == held
    assert table["pneumonia"].notna().all()
    assert (table["covid19"].notna() == (table["label"] != "normal")).all()
    assert (table["source"] == "clinic").any()
    # Stage 2 alone is enough for table 3.
    assert outputs(made, "trainings/lungs-seed0")["covid19"].isna().all()


def test_stage_1_makes_a_difference(made):
    masked, whole = (outputs(made, f"trainings/{name}-seed0").set_index("image_id") for name in ("lungs", "whole"))
    assert not np.allclose(masked["pneumonia"], whole.loc[masked.index, "pneumonia"])


def test_the_fine_tuning_starts_from_the_open_training(made):
    before, base = outputs(made, "table5/seed0"), outputs(made, "trainings/open-seed0").set_index("image_id")
    for decision in ("pneumonia", "covid19"):
        given = base.loc[before["image_id"], decision].to_numpy()
        np.testing.assert_allclose(before[f"{decision}_before"], given, rtol=1e-4, atol=1e-4)
    assert not np.allclose(before["pneumonia_before"], before["pneumonia_after"])
    assert set(before.loc[before["new"], "source"]) == {"clinic"}


def test_the_sweep_starts_without_covid19_and_learns_from_stage_2_alone(made):
    table = outputs(made, "lambda-sweep/lambda-1-seed0")
    assert "covid19_after" not in table
    assert not ((table["label"] == "covid19") & ~table["new"]).any()
    base = outputs(made, "trainings/before-seed0").set_index("image_id")
    assert not (base["label"] == "covid19").any()
    old = table[~table["new"]].set_index("image_id")
    np.testing.assert_allclose(old["pneumonia_before"], base.loc[old.index, "pneumonia"], rtol=1e-4, atol=1e-4)
    assert not np.allclose(old["pneumonia_before"], old["pneumonia_after"])
    assert not (made / "work/lambda-sweep/lambda-1-seed0/run").exists()


def test_stage_2_of_all_sources_is_trained_once(made):
    assert not (made / "work/trainings/every-seed0/stage2").exists()
    one, other = (outputs(made, f"trainings/{name}-seed0") for name in ("lungs", "every"))
    np.testing.assert_allclose(one["pneumonia"], other["pneumonia"], atol=1e-5)
    assert other["covid19"].notna().any()


def test_checkpoints_are_removed_and_the_lungs_are_cut_once(made):
    left = {file.name for file in (made / "work").rglob("*")}
    assert not {"last.ckpt", "best.ckpt"} & left
    assert all(file.is_symlink() for file in (made / "work/trainings/open-seed0/cuts").glob("lungs-*"))


def test_a_finished_training_is_not_repeated_and_another_recipe_is_refused(made, bundle, recipe, sites):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "train_stage", None)
        patch.setattr(experiments, "adapt", None)
        reproduce("table5", recipe, made / "work", made / "again", make=(bundle, sites), command="table5")
    assert (made / "again/cascade-table5.md").read_bytes() == (made / "out/cascade-table5.md").read_bytes()
    smoother = recipe.model_copy(update={"stage2": recipe.stage2.model_copy(update={"smoothing": 0.1})})
    with pytest.raises(RecipeError, match="another recipe"):
        reproduce("table4", smoother, made / "work", made / "again", make=(bundle, sites))


def test_an_image_is_not_both_learned_and_held_out(bundle, recipe, sites, tmp_path):
    sets = make_sets(sites, recipe, 0)
    bench = experiments.Bench(bundle, None, sets.manifest, sets.images, tmp_path)
    with pytest.raises(ManifestError, match="learned from and held out"):
        experiments.train_stages(bench, sets.covid_net, sets.both, tmp_path / "run", seed=0)
