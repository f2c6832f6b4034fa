"""Every table from its name to its files, with the trainings replaced by draws."""

import json

import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.data.protocols import PARTS
from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.evaluate.reproduce import cascade, change, left_out, measure
from cxrscreen.evaluate.reproduce.recipe import ReproduceRecipe
from cxrscreen.evaluate.reproduce.run import NAMES, reproduce

COMMAND = "cxrscreen reproduce cascade all --data DATA"


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((measure, "bootstrap"), (change, "bootstrap_all"), (left_out, "bootstrap_all")):
            whole = getattr(module, name)
            patch.setattr(module, name, lambda *a, whole=whole, **k: whole(*a, **k | {"replicates": 40}))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="module")
def everything(drawn, recipe, bundle, manifest, folder):
    files = reproduce("all", recipe, folder / "work", folder / "out", make=(bundle, manifest), command=COMMAND)
    return files, tuple(drawn)


def test_all_tables_are_written_with_their_origin(everything, recipe, folder):
    files, _ = everything
    pages = {name: files[f"cascade-{name}.md"].read_text(encoding="utf-8") for name in NAMES}
    for name, text in pages.items():
        stored = json.loads(files[f"cascade-{name}.json"].read_text(encoding="utf-8"))
        assert RESEARCH_USE in text
        assert "What must not be concluded" in text
        assert stored["command"] == f"cxrscreen reproduce cascade {name} --data DATA"
        assert stored["recipe_sha256"] == recipe.digest
        assert len(stored["images_sha256"]) == 64
        assert stored["rows"]
        assert str(folder) not in text
    assert {name for name in files if name.endswith((".png", ".svg"))} == {
        f"cascade-{name}.{kind}"
        for name in ("lambda-sweep", "learning-curve", "leave-one-out")
        for kind in ("png", "svg")
    }
    # As printed, as recomputed with its interval, and marked where print is wrong.
    row = next(line for line in pages["table4"].splitlines() if "clinic | test | 2: pneumonia | Sensitivity" in line)
    assert "63.64 (see remarks)" in row
    assert "19/21 = 90.5 [71.1, 97.3]" in row
    assert "45/55 = 81.8" in pages["table6"]
    assert "30/31 = 96.8" in pages["table7"]
    assert "no source holds both classes" in pages["table4"]


def test_the_sweep_sees_what_is_forgotten(everything):
    files, _ = everything
    rows = json.loads(files["cascade-lambda-sweep.json"].read_text(encoding="utf-8"))["rows"]
    old = {row["way"]: row["pooled"]["change"]["value"] for row in rows if row["images"].startswith("D_o")}
    found = [row for row in rows if row["way"] == "lambda 1" and row.get("when") == "after"]
    assert found[0]["pooled"]["sensitivity"]["value"] > 0.5
    assert list(old) == ["lambda 0", "lambda 0.1", "lambda 1", "lambda 10", "new images alone"]
    assert old["lambda 1"] == pytest.approx(0.0)
    assert old["new images alone"] < -0.05
    page = files["cascade-lambda-sweep.md"].read_text(encoding="utf-8")
    assert "| lambda 1 | +0.00 | yes |" in page
    assert next(line for line in page.splitlines() if line.startswith("| new images alone")).endswith("| no |")
    assert "drops more. Held." in page
    assert "Kept with every seed by lambda 0.1, lambda 1, lambda 10." in page


def test_the_source_that_was_left_out_is_set_beside_the_one_that_was_learned_from(everything):
    files, _ = everything
    rows = json.loads(files["cascade-leave-one-out.json"].read_text(encoding="utf-8"))["rows"]
    by = {(row["stage"], row["source"]): row["figures"] for row in rows}
    assert set(by) == {("2", "open-adults"), ("2", "clinic"), ("3", "open-adults"), ("3", "clinic")}
    own = by["2", "open-adults"]
    assert own["auc"]["n"] > own["auc_test"]["n"] - 1
    assert own["auc_known"]["value"] - own["auc"]["value"] > 0.1
    assert own["gap"]["value"] == pytest.approx(own["pooled"]["value"] - own["auc"]["value"])
    # One class only: rates, no AUC.
    assert "auc" not in by["3", "open-adults"]
    assert "specificity" in by["3", "open-adults"]
    assert "sensitivity" not in by["3", "open-adults"]
    page = files["cascade-leave-one-out.md"].read_text(encoding="utf-8")
    assert "Stage 2, open-adults: AUC" in page
    assert "missed" in page


def test_each_table_asks_for_the_trainings_it_means(everything, recipe):
    _, asked = everything
    by_name = {name: rest for name, *rest in asked}
    learned, held, both, masked, _ = by_name["open-seed0"]
    assert both
    assert masked
    assert set(learned["stage2"].train) < set(held["stage2"].train)
    assert learned["stage2"].test != held["stage2"].test
    gamma = recipe.stage2.augment.gamma
    assert gamma > 0
    assert by_name["whole-seed0"][2:] == [False, False, gamma]
    assert by_name["lungs-seed0"][2:] == [False, True, gamma]
    assert by_name["every-seed0"][2:] == [True, True, gamma]
    # Both stages, without stage 1 and without variation of grey values.
    assert by_name["plain-seed0"][2:] == by_name["plain-clinic-seed0"][2:] == [True, False, 0]
    before = by_name["before-seed0"][0]["stage2"]
    assert not any("covid19" in image_id for part in PARTS for image_id in before.part(part))
    without, unseen = by_name["clinic-seed0"][:2]
    assert not any(i.startswith("clinic") for part in PARTS for i in without["stage2"].part(part))
    assert {i for i in unseen["stage2"].test if i.startswith("clinic")} > {
        i for i in by_name["every-seed0"][1]["stage2"].test if i.startswith("clinic")
    }
    ways = {name: rest[1] for name, *rest in asked if name.startswith(("lambda", "new-images", "cases"))}
    assert [ways[f"lambda-{x}-seed1"].distillation for x in ("0", "0.1", "1", "10")] == [0.0, 0.1, 1.0, 10.0]
    assert not ways["new-images-alone-seed0"].with_old
    assert ways["new-images-alone-seed1"].seed == 1
    assert ways["lambda-1-seed0"].stage == "2"
    assert ways["cases4-seed0"].stage == "3"
    starts = {name: rest[2] for name, *rest in asked if name.startswith(("lambda", "cases"))}
    assert starts == {name: "before-seed0" if name.startswith("lambda") else "open-seed0" for name in starts}
    # 500 cases are not there: all follow instead.
    counts = sorted({rest[0].cases for name, *rest in asked if name.startswith("cases")})
    assert counts[:2] == [4, 8]
    assert len(counts) == 3
    assert counts[2] < 60


def test_tables_are_written_again_without_training_byte_for_byte(everything, recipe, folder, drawn):
    files, _ = everything
    trained = len(drawn)
    again = reproduce("all", recipe, folder / "work", folder / "again", command=COMMAND)
    assert len(drawn) == trained
    assert {name: file.read_bytes() for name, file in again.items()} == {
        name: file.read_bytes() for name, file in files.items()
    }


def test_a_missing_training_and_mixed_recipes_are_said(drawn, recipe, bundle, manifest, tmp_path):
    with pytest.raises(CxrscreenError, match="no finished training trainings/lungs-seed0"):
        reproduce("table3", recipe, tmp_path, tmp_path / "out")
    with pytest.raises(CxrscreenError, match="no table 'table9'"):
        reproduce("table9", recipe, tmp_path, tmp_path / "out")
    reproduce("table4", recipe, tmp_path, tmp_path / "out", make=(bundle, manifest))
    stored = tmp_path / "trainings" / "open-seed0"
    other = tmp_path / "trainings" / "open-seed1"
    other.mkdir()
    (other / "outputs.csv").write_bytes((stored / "outputs.csv").read_bytes())
    about = json.loads((stored / "about.json").read_text())
    (other / "about.json").write_text(json.dumps(about | {"recipe_sha256": "0" * 64}))
    with pytest.raises(RecipeError, match="different recipes"):
        reproduce("table4", recipe.seeded((0, 1)), tmp_path, tmp_path / "out")


def test_a_recipe_that_does_not_fit_is_said(recipe, bundle):
    from cxrscreen.evaluate.reproduce.recipe import stages_recipe

    assert stages_recipe(bundle, recipe).stage2 == recipe.stage2
    wide = recipe.model_dump()
    wide["stage2"]["phases"][0]["side"] = 96
    with pytest.raises(RecipeError, match="does not fit the bundle"):
        stages_recipe(bundle, ReproduceRecipe.model_validate(wide))
    with pytest.raises(RecipeError, match="different numbers"):
        recipe.seeded((1, 1))
    assert recipe.seeded((3,)).digest == recipe.digest


def test_the_tables_have_functions():
    assert set(cascade.TABLES) < set(NAMES)
