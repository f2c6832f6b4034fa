import json
from dataclasses import replace

import numpy as np
import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.evaluate.metrics import sensitivity_at_specificity
from cxrscreen.evaluate.reproduce import asked
from cxrscreen.evaluate.reproduce.comit_net import run as run_module
from cxrscreen.evaluate.reproduce.comit_net.classification import all_tasks_answer
from cxrscreen.evaluate.reproduce.comit_net.embedding import embedded, neighbours
from cxrscreen.evaluate.reproduce.comit_net.heat import lung_shares, mean_heats
from cxrscreen.evaluate.reproduce.comit_net.recipe import load_variants
from cxrscreen.evaluate.reproduce.comit_net.regions import NOTHING, disease_table, lungs_table
from cxrscreen.evaluate.reproduce.comit_net.run import NAMES, reproduce_comit_net
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.comit_net.spread import TOO_FEW, spreads
from cxrscreen.systems.comit_net.answers import load_answers

from .conftest import written_recipe


def test_table4_has_printed_pooled_within_and_never_trained_on(runs, made):
    table = made["table4"][0]
    rows = {row["variant"]: row for row in table.content}
    assert list(rows) == ["densenet121", "forest", "svm-rbf", "1234"]
    tests = runs.trainings("1234", "test")
    plain = np.mean([sensitivity_at_specificity(each["truth"], each["score"], 0.9) for each in tests])
    assert rows["1234"]["test"]["pooled"]["sensitivity_0.90"]["value"] == pytest.approx(plain)
    assert rows["1234"]["test"]["sources"] == ("cohen",)
    assert rows["1234"]["never"]["sources"] == ("cohen",)
    assert rows["1234"]["changes"] == {}
    # DenseNet-121's scores lie less apart than COMiT-Net's.
    assert rows["densenet121"]["changes"]["auc"].ci_high < 0
    assert rows["densenet121"]["printed"]["sensitivity_0.99"]["counts"] == (76, 125)
    cells = {row[:2]: row for row in table.parts[0].rows}
    assert cells["COMiT-Net", "Sensitivity at 90 % specificity"][2] == "96.80"
    assert cells["COMiT-Net", "Sensitivity at 90 % specificity"][3].startswith("121/125 = 96.8 [92.")
    assert len(table.parts[0].rows) == 16
    assert len(table.parts[1].rows) == 8
    assert any("one and the same kernel" in remark for remark in table.remarks)
    assert any("goal at least 96.8" in sentence and "missed" in sentence for sentence in table.answer)
    assert any("goal at most 7.3" in sentence for sentence in table.answer)
    assert "Less COMiT-Net, pooled" in table.parts[0].head
    assert "Within sources counts cohen." in table.answer
    assert "reaches an AUC of" in table.source_notes[0]


def test_table4_has_the_other_decisions_at_one_half(runs, made):
    table = made["table4"][0]
    part = table.parts[2]
    cells = {row[:2]: row for row in part.rows}
    title = "Unhealthy lungs, against healthy"
    test = runs.facts[runs.facts["image_id"].isin(runs.scores("1234", 0, "test")["image_id"])]
    missed = ((test["source"] == "nih") & (test["label"] == "pneumonia")).sum()
    wrong = 100 * missed / len(test)
    assert cells[title, "Accuracy"][2] == "75.17 (see remarks)"
    assert cells[title, "Accuracy"][3].startswith("4735/6299 = 75.2 [")
    assert cells[title, "Accuracy"][4].startswith(f"{100 - wrong:.1f} [")
    assert cells[title, "Specificity"][4].startswith("100.0 [")
    # NIH alone holds both answers, and there the drawn ones are the same for both.
    assert cells[title, "AUC"][5].startswith("50.0 [")
    assert cells[title, "Accuracy"][5].startswith("50.0 [")
    # Of what was left out, Cohen's images are all unhealthy: no source has both answers.
    assert cells[title, "Accuracy"][6] == "-"
    assert "-" not in cells["COVID-19, against everything else", "Accuracy"][6].split(" [")[0]
    assert cells[title, "COVID-19 images called unhealthy"][4].startswith("100.0 [")
    # Nothing is said of other diseases here.
    assert not any(row[0].startswith("Pneumonia other") for row in part.rows)
    assert cells["COVID-19, against everything else", "Accuracy"][2] == "98.79 (see remarks)"
    assert any("no count of 125" in remark for remark in table.remarks)
    stored = table.content[-1]["decisions"]
    assert [each.name for each in stored] == ["unhealthy", "covid19_against_all"]
    assert stored[0].accuracy.value == pytest.approx(1 - missed / len(test))


def test_table5_compares_every_combination_with_all_tasks(made):
    table = made["table5"][0]
    rows = {row["variant"]: row for row in table.content}
    assert list(rows) == ["1234", "4", "14", "24", "34", "124", "134", "234"]
    assert rows["4"]["changes"]["auc"].value < 0
    assert rows["4"]["never_changes"]["within auc"].value < 0
    assert rows["34"]["printed"]["sensitivity_0.90"]["counts"] is None
    assert any("Combinations of tasks differ in images too" in text for text in table.differs)
    assert [row[0] for row in table.parts[0].rows][:3] == ["All 4 tasks", "All 4 tasks", "Task 4 only"]
    assert any(remark.startswith("Tasks 3 and 4: no count of 125") for remark in table.remarks)


def test_the_answer_says_plainly_whether_all_tasks_beat_task_4(runs, variants, work, tmp_path):
    sensitivity, area, images = all_tasks_answer(runs)
    assert "also bring images" in images
    assert "On sources never trained on (cohen)" in sensitivity
    assert area.startswith("On sources never trained on (cohen), AUC: learning all four tasks beats task 4 alone, by +")

    class Same(ComitRuns):
        def scores(self, variant, *args):
            return super().scores("4", *args)

    class Turned(ComitRuns):
        def scores(self, variant, *args):
            return super().scores({"1234": "4", "4": "1234"}.get(variant, variant), *args)

    assert "does not beat (the interval holds 0) task 4 alone, by +0.0" in all_tasks_answer(Same(work, variants))[1]
    assert "is beaten by task 4 alone, by -" in all_tasks_answer(Turned(work, variants))[1]
    none = load_variants(written_recipe(tmp_path, left_out=[]))
    assert all_tasks_answer(ComitRuns(work, none))[0].endswith("not measured, none was left out.")


def test_external_sources_have_their_negatives_beside_them(runs, made):
    table = made["external"][0]
    rates = {(row[1], row[2]): row for row in table.parts[1].rows}
    assert set(rates) == {
        (source, word) for source in ("cohen", "hannover", "montgomery") for word in ("All 4 tasks", "Task 4 only")
    }
    assert [rates[name, "All 4 tasks"][3] for name in ("hannover", "cohen")] == ["99.45", "-"]
    assert rates["hannover", "Task 4 only"][3] == "-"
    assert rates["hannover", "All 4 tasks"][5] == "-"
    assert rates["hannover", "All 4 tasks"][6] == "30 / 0"
    assert rates["montgomery", "All 4 tasks"][4] == "-"
    assert rates["montgomery", "All 4 tasks"][6] == "0 / 30"
    together = [row for row in table.parts[2].rows if row[0] == "hannover + montgomery" and row[1] == "All 4 tasks"]
    assert [row[4] for row in together] == ["-"] * 4
    assert all(row[3] != "-" and row[5] != "-" for row in together)
    assert table.parts[0].rows[0][0] == "BIMCV-COVID19+ (bimcv-positive)"
    assert "1793/2098 = 85.5" in table.parts[0].rows[0][2]
    assert table.answer == all_tasks_answer(runs)


def test_regions_stand_beside_the_printed_ones(made):
    lungs = made["lungs"][0]
    outlines, boxes = lungs.parts
    assert outlines.rows[0][:2] == ("U-Net", "all sources")
    assert outlines.rows[0][3].startswith("0.857 [0.857")
    assert boxes.rows[0][2] == "0.82"
    assert "0.857" in lungs.answer[0]
    assert "missed" in lungs.answer[0]
    disease = made["disease"][0]
    assert disease.parts[0].rows[-1][:5] == (
        "COMiT-Net",
        "0.87",
        *["0.800 [0.800, 0.800]", "0.250 [0.250, 0.250]"],
        "0.235 [0.235, 0.235]",
    )
    assert disease.parts[0].rows[-1][-1] == "4"
    assert "precision 0.250" in disease.answer[0]


def test_without_references_a_table_says_that_there_is_nothing(variants, work, tmp_path):
    class Unmarked(ComitRuns):
        def answers(self, *key):
            found = super().answers(*key)
            replace(found, regions=found.regions.iloc[:0]).save(tmp_path)
            return load_answers(tmp_path)

    runs = Unmarked(work, variants)
    for table in (lungs_table(runs), disease_table(runs)):
        assert table.answer == (NOTHING,)
        assert {row[-1] for row in table.parts[0].rows} == {"0"}
        assert all("not measured" in row for row in table.parts[0].rows)


def test_stability_is_over_seeds(runs, work, tmp_path):
    found = {each.variant: each.spread for each in spreads(runs)}
    assert set(found) == {"densenet121", "forest", "svm-rbf", "1234"}
    assert len(found["1234"].values) == 2
    assert found["1234"].low < found["1234"].deviation < found["1234"].high
    one = load_variants(written_recipe(tmp_path, seeds=[0]))
    with pytest.raises(RecipeError, match="at least two seeds"):
        spreads(ComitRuns(work, one))


def test_neighbours_are_counted_by_class_and_source(runs):
    images = embedded(runs)
    assert len(images.truth) == len(runs.scores("1234", 0, "test"))
    found = {each.shared: each for each in neighbours(images)}
    assert found["class"].share.value > found["class"].by_chance
    assert set(images.predicted) == {"called COVID-19", "not called"}


def test_maps_are_averaged_and_compared_inside_the_lungs(runs):
    heat = np.array([[[3.0, 1.0], [0.0, 0.0]]], np.float32)
    assert lung_shares(heat, np.array([[[1.0, 0.5], [1.0, 0.0]]], np.float32)) == pytest.approx([3.5 / 4])
    found = {(each.variant, each.images): each for each in mean_heats(runs)}
    own = found["1234", "COVID-19"]
    # Half of the places are lung, with heat 1 against 0.1, or 0.9 for task 4 alone.
    assert own.inside.value == pytest.approx(1 / 1.1)
    assert own.by_area.value == pytest.approx(0.5)
    assert own.more_than.value == pytest.approx(1 / 1.1 - 1 / 1.9)
    assert found["4", "COVID-19"].more_than is None
    assert {images for _, images in found} == {"COVID-19", "normal", "other pneumonia"}


def test_all_goes_on_without_figure_8_where_there_is_one_seed(work, tmp_path, monkeypatch):
    small = {"seeds": [0], "combinations": ["1234", "4"], "comparators": ["unet.yaml", "forest.yaml"]}
    one = load_variants(written_recipe(tmp_path, left_out=[["cohen"]], **small))
    drawn = []
    monkeypatch.setattr(asked, "write_figure", lambda figure, folder, stem: drawn.append(stem) or ())
    files = reproduce_comit_net("all", one, work, tmp_path / "out", command="cxrscreen reproduce comit-net all")
    assert drawn == [f"comit-net-figure{number}" for number in (9, 11, 12)]
    assert set(files) == {f"comit-net-{name}.{suffix}" for name in NAMES for suffix in ("md", "json")}
    assert TOO_FEW in files["comit-net-figure8.md"].read_text(encoding="utf-8")
    with pytest.raises(RecipeError, match="at least two seeds"):
        reproduce_comit_net("figure8", one, work, tmp_path / "out")


def _not_json(name):
    raise AssertionError(f"{name} is no JSON")


def test_every_table_is_written_with_what_must_not_be_concluded(variants, work, made, tmp_path, monkeypatch):
    drawn = []
    makers = {name: lambda _, own=own: own for name, own in made.items()}
    monkeypatch.setattr(run_module, "MAKERS", makers)
    monkeypatch.setattr(asked, "write_figure", lambda figure, folder, stem: drawn.append((stem, figure)) or ())
    command = "cxrscreen reproduce comit-net all --recipe recipe.yaml --data DATA"
    files = reproduce_comit_net("all", variants, work, tmp_path / "out", command=command)
    for name in NAMES:
        page = files[f"comit-net-{name}.md"].read_text(encoding="utf-8")
        assert RESEARCH_USE in page
        assert "What must not be concluded" in page
        assert f"reproduce comit-net {name} " in page
        content = json.loads(files[f"comit-net-{name}.json"].read_text(encoding="utf-8"), parse_constant=_not_json)
        assert content["rows"]
        assert (f"(comit-net-{name}.png)" in page) == name.startswith("figure")
    assert [stem for stem, _ in drawn] == [f"comit-net-figure{number}" for number in (8, 9, 11, 12)]
    for _, figure in drawn:
        assert RESEARCH_USE in figure.get_supxlabel()


def test_a_figure_is_written_beside_its_page(variants, work, tmp_path):
    files = reproduce_comit_net("figure8", variants, work, tmp_path / "out")
    assert files["comit-net-figure8.png"].read_bytes().startswith(b"\x89PNG")
    assert set(files) == {f"comit-net-figure8.{suffix}" for suffix in ("md", "json", "png", "svg")}


def test_an_unknown_table_is_a_sentence(variants, work, tmp_path):
    with pytest.raises(CxrscreenError, match="no table 'table6' of COMiT-Net: use one of table4"):
        reproduce_comit_net("table6", variants, work, tmp_path)
