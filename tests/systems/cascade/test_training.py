import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.errors import RecipeError
from cxrscreen.imaging.read import read
from cxrscreen.runtime.weights import tensor_spans
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.registry import load_system


def test_the_bundle_says_what_it_was_trained_on(tiny_bundle, phantom_data):
    card = tiny_bundle.card
    assert card.bundle_id == "cascade@0.0.1"
    assert set(card.data.splits) == {"lungs-any", "stage2", "stage3"}
    assert sum(sum(labels.values()) for labels in card.data.images.values()) < len(phantom_data.table)
    assert "not a medical device" in card.intended_use
    assert open_bundle(tiny_bundle.folder).card == card


def test_weights_are_stored_once_in_half_precision(tiny_bundle):
    for graph in ("lungs", "pneumonia", "covid19", "covid19-guided"):
        model = onnx.load(tiny_bundle.file(f"{graph}.onnx"), load_external_data=False)
        stored = {
            entry.value for each in model.graph.initializer for entry in each.external_data if entry.key == "location"
        }
        assert stored == {f"{graph.removesuffix('-guided')}.safetensors"}
        assert tiny_bundle.file(f"{graph}.onnx").stat().st_size < 100_000
        kernels = [span for span in tensor_spans(tiny_bundle.file(*stored)).values() if len(span.shape) > 1]
        assert {span.dtype for span in kernels} == {"F16"}


def test_the_same_recipe_gives_the_same_bundle_and_finished_steps_are_not_repeated(
    tiny_bundle, tiny_recipe, phantom_data, tmp_path, monkeypatch
):
    from cxrscreen.systems.cascade import export, training
    from cxrscreen.systems.cascade.recipe import CascadeRecipe
    from cxrscreen.train.recipe import load_recipe

    recipe = load_recipe(tiny_recipe, CascadeRecipe)
    again = training.train_cascade(recipe, phantom_data, tmp_path / "work")
    bundle = export.write_bundle(recipe, phantom_data, again, tmp_path / "bundle")
    assert bundle.card.files == tiny_bundle.card.files

    def never(*_):
        raise AssertionError("a finished step was repeated")

    for step in ("_train_lungs", "_cut_all", "train_tutor", "train_stage"):
        monkeypatch.setattr(training, step, never)
    resumed = training.train_cascade(recipe, phantom_data, tmp_path / "work")
    assert all(np.array_equal(value, resumed.stage3[name]) for name, value in again.stage3.items())
    other = recipe.model_copy(update={"seed": 1})
    with pytest.raises(RecipeError, match="of another recipe or of other data"):
        training.train_cascade(other, phantom_data, tmp_path / "work")


def test_what_would_fail_after_hours_fails_at_once(tiny_recipe, phantom_data, tmp_path):
    from cxrscreen.data.manifest import check_manifest
    from cxrscreen.errors import ManifestError
    from cxrscreen.systems.cascade.recipe import CascadeRecipe
    from cxrscreen.systems.cascade.training import train_cascade
    from cxrscreen.train.recipe import load_recipe

    recipe = load_recipe(tiny_recipe, CascadeRecipe)
    weights = recipe.stage2.model_copy(update={"weights": "nowhere.pth"})
    with pytest.raises(RecipeError, match="nowhere.pth"):
        train_cascade(recipe.model_copy(update={"stage2": weights}), phantom_data, tmp_path / "work")
    table = phantom_data.table.drop(columns="group").reset_index(drop=True)
    normals = check_manifest(table[table["label"] == "normal"], phantom_data.root)
    with pytest.raises(ManifestError, match="one class only|leaves no image"):
        train_cascade(recipe, normals, tmp_path / "work")
    moved = check_manifest(table, phantom_data.root / "elsewhere")
    with pytest.raises(ManifestError, match="is not there"):
        train_cascade(recipe, moved, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_folder_that_holds_files_is_not_written_to(tmp_path):
    from cxrscreen.systems.bundle import check_out

    (tmp_path / "something.txt").write_text("kept")
    for taken in (tmp_path, tmp_path / "something.txt"):
        with pytest.raises(RecipeError, match="is not an empty folder"):
            check_out(taken)
    check_out(tmp_path / "new")


def test_the_train_command_measures_a_bundle_that_was_not_measured_yet(
    tiny_bundle, tiny_recipe, phantom_data, tmp_path
):
    out = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    command = ["train", str(tiny_recipe), "--data", str(phantom_data.root), "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "bundle.work").exists()
    card = open_bundle(out).card
    for name in ("pneumonia", "covid19"):
        stage = card.stages[name]
        assert stage.default == "youden"
        assert "validation part" in stage.point().site
    assert 0.0 <= card.results["lungs-any"]["dice"]["value"] <= 1.0
    within = card.results["stage2"]["within_source_auc"]
    assert within
    assert set(within) <= {"hospital-0", "hospital-1"}


def test_the_screen_command_runs_the_trained_bundle(tiny_bundle, phantom_data, tmp_path):
    files = [str(phantom_data.image_file(i)) for i in phantom_data.table.index[:3]]
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["screen", *files, "--out", str(out), "--bundle", str(tiny_bundle.folder), "--force"]
    )
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (out / "screenings.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == files
    for line in lines:
        assert line["status"] == "screened"
        assert line["finding"] in {"normal", "covid19", "other_pneumonia"}
        assert 0 <= line["triage_score"] <= 1
        assert line["probabilities"]["covid19"] is not None


def test_torch_is_not_imported_on_the_way_to_a_screening(tiny_bundle, phantom_data):
    file = phantom_data.image_file(phantom_data.table.index[0])
    code = (
        "import sys; from cxrscreen.imaging.read import read; from cxrscreen.systems.registry import load_system; "
        f"load_system({str(tiny_bundle.folder)!r}).screen(read({str(file)!r}), force=True); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_system_and_torch_agree(tiny_bundle, phantom_data):
    import torch
    from safetensors.torch import load_file

    from cxrscreen.nets.densenet import DenseNet121
    from cxrscreen.systems.cascade.pipeline import find_lungs
    from cxrscreen.systems.cascade.roi import cut_lungs, network_input

    system = load_system(tiny_bundle.folder)
    radiograph = read(phantom_data.image_file(phantom_data.table.index[0]))
    screening = system.screen(radiograph, force=True, explain=False)
    network = DenseNet121(pooling="lungs")
    state = load_file(tiny_bundle.file("pneumonia.safetensors"))
    network.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    network.eval()
    lungs = find_lungs(system._lungs, radiograph.pixels)
    roi = cut_lungs(radiograph.pixels, lungs.mask, system.settings.roi(64))
    with torch.no_grad():
        logit = network(torch.from_numpy(network_input(roi.masked))[None, None])
    assert screening.probabilities["pneumonia"] == pytest.approx(float(torch.sigmoid(logit)), abs=1e-4)
