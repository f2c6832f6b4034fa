"""Tables of finished trainings, with figures that follow from the answers by hand."""

import json

import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.evaluate.reproduce.covid_cxnet.measure import at_mix, called_alike, figures_of
from cxrscreen.evaluate.reproduce.covid_cxnet.models import interval_of_mean, measured, seed_accuracies
from cxrscreen.evaluate.reproduce.covid_cxnet.paper import MATRICES, PRINTED, TABLE5, of_matrix
from cxrscreen.evaluate.reproduce.covid_cxnet.run import reproduce_covid_cxnet
from cxrscreen.evaluate.reproduce.covid_cxnet.runs import CxNetRuns
from cxrscreen.systems.covid_cxnet.classes import CLASSES

from .conftest import answers, write


def made(runs, name, tmp_path):
    """Page and content; every page says what it must."""
    files = reproduce_covid_cxnet(name, runs.recipe, runs.work, tmp_path / "out", command=f"cxrscreen x {name} y")
    stem = f"covid-cxnet-{name}"
    page, content = files[f"{stem}.md"].read_text("utf-8"), json.loads(files[f"{stem}.json"].read_text("utf-8"))
    for words in (RESEARCH_USE, "What must not be concluded", "What differs from the paper", f"cxrscreen x {name} y"):
        assert words in page
    assert "nan" not in page.lower()
    assert content["rows"]
    assert (f"{stem}.png" in files) == (name in {"learning-curve", "leave-one-out"})
    return page, content


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "imagenet", "learning-curve"])
def test_tables_show_print_matrix_and_ours(finished, tmp_path, name):
    page, _ = made(finished, name, tmp_path)
    own = {
        "table1": "| Accuracy | - | 80.0 [68.2, 88.2] | 64.3 [",
        "table2": "| Accuracy | 98.68 | 98.7 [97.5, 99.3] | 96.4 [",
        "table3": "| Accuracy | 98.62 | - | 92.9 [",
        "table4": "| Accuracy | 94.20 | 85.6 [84.0, 87.1] | 88.5 [",
        "imagenet": "| ImageNet, features frozen | Accuracy | 71.4 [",
        "learning-curve": "| 10% | 78.6 [",
    }
    assert own[name] in page
    if name == "table3":
        assert "(at least 0.986 in the paper: missed" in page
        # Whole radiographs are printed with more.
        assert "(at least 0.9904 in the paper: missed" in page
        # 30 of 56 images are of COVID-19; of them 1, and 1 of 26 normal ones, is called wrongly.
        assert "| COVID-CXNet v1, whole radiographs | pooled | Accuracy | 96.4 [" in page
        assert "| 53.6 | 96.2 [" in page
        assert "With as much COVID-19 as in the paper (11 %): Accuracy 96.2 [" in page


def test_another_mix_of_classes_weighs_the_rates_anew():
    rows = answers("binary", 2)
    rows = rows[rows["part"] == "test"]
    # 24 of 26 normal, 28 of 30 COVID-19 images are called rightly.
    found = at_mix(rows, ("normal", "covid19"), {"normal": 0.9, "covid19": 0.1}, replicates=100)
    assert found["accuracy"].value == pytest.approx(0.9 * 24 / 26 + 0.1 * 28 / 30)
    right, wrong = 0.1 * 28 / 30, 0.9 * 2 / 26
    assert found["f1 covid19"].value == pytest.approx(2 * right / (0.1 + right + wrong))
    own = at_mix(rows, ("normal", "covid19"), {"normal": 26 / 56, "covid19": 30 / 56}, replicates=100)
    measured_ = figures_of(rows, ("normal", "covid19"), replicates=100)
    for figure, each in own.items():
        assert each.value == pytest.approx(measured_[figure].value)
    assert called_alike(rows) == pytest.approx({"accuracy": 30 / 56, "f1 covid19": 60 / 86})
    assert at_mix(rows[rows["truth"] == "covid19"], ("normal", "covid19"), {"normal": 0.5, "covid19": 0.5}) == {}
    three = answers("three", 3)
    three = three[three["part"] == "test"]
    mix = {"normal": 0.5, "other_pneumonia": 0.3, "covid19": 0.2}
    found = at_mix(three, CLASSES["three"], mix, replicates=100)
    # 17 of 20, 25 of 28 and 27 of 30; what is called wrongly is called the next class.
    assert found["accuracy"].value == pytest.approx(0.5 * 17 / 20 + 0.3 * 25 / 28 + 0.2 * 27 / 30)
    right = 0.2 * 27 / 30
    assert found["f1 covid19"].value == pytest.approx(2 * right / (0.2 + right + 0.3 * 3 / 28))


def test_the_papers_matrices_give_what_it_prints_but_for_three_classes():
    for name in ("base-v2", "whole"):
        found = of_matrix(name, replicates=100)
        assert 100 * found["accuracy"].value == pytest.approx(PRINTED[name]["accuracy"], abs=0.006)
        assert found["f1 covid19"].value == pytest.approx(PRINTED[name]["f1 covid19"] / 100, abs=0.006)
    first = of_matrix("base-v1", replicates=100)
    assert first["accuracy"].value == pytest.approx(48 / 60)
    assert first["f1 covid19"].value == pytest.approx(TABLE5["base-v1"][2] / 100, abs=0.005)
    three = of_matrix("three", replicates=100)
    assert three["accuracy"].value == pytest.approx(1736 / 2028)
    # Not what is printed, nor within its range.
    assert 100 * three["accuracy"].ci_high < TABLE5["three"][1][0]
    assert three["f1 other_pneumonia"].value == pytest.approx(0.83, abs=0.005)
    assert of_matrix("own") == {}
    assert sum(map(sum, MATRICES["three"])) == 2028


def test_a_row_is_pooled_within_sources_and_of_the_source_left_out(finished):
    found = measured(finished, "whole")
    # One of 26 normal and one of 30 COVID-19 test images is called wrongly.
    assert found.confusion == ((25, 1), (1, 29))
    assert found.pooled["accuracy"].value == pytest.approx(54 / 56)
    assert found.pooled["sensitivity covid19"].value == pytest.approx(29 / 30)
    assert found.pooled["f1 covid19"].value == pytest.approx(58 / 60)
    assert set(found.within) == {"cohen"}
    assert found.within["cohen"]["accuracy"].value == pytest.approx(24 / 26)
    assert found.within_of == "test images"
    # Both its parts are asked of the training that left it out; 8 of 52 wrongly, 4 a part and class.
    assert found.left_out["accuracy"].n == 52
    assert found.left_out["accuracy"].value == pytest.approx(36 / 52)


def test_sources_with_few_images_are_read_with_the_validation_part(finished):
    few = answers("binary", 1)
    few = few[~((few["source"] == "cohen") & (few["truth"] == "normal") & (few["image_id"].str[-1] > "2"))]
    write(finished, "whole", few)
    found = measured(finished, "whole")
    assert found.within_of == "validation and test images"
    assert found.within["cohen"]["accuracy"].n == 46


def test_three_classes_have_figures_of_each_disease_where_a_source_holds_it(finished):
    found = measured(finished, "three")
    assert {"f1 covid19", "f1 other_pneumonia"} <= set(found.pooled)
    assert set(found.within) == {"cohen", "nih"}
    assert "f1 covid19" not in found.within["nih"]
    assert "f1 other_pneumonia" in found.within["nih"]


def test_a_model_of_table_5_has_the_papers_range_and_ours(finished, tmp_path):
    accuracies = seed_accuracies(finished)
    assert accuracies == pytest.approx([(56 - 2 * (1 + seed % 3)) / 56 for seed in range(10)])
    page, content = made(finished, "table5", tmp_path)
    assert "94.20 (93.25 to 94.86)" in page
    assert "85.6 [84.0, 87.1]" in page
    last = content["rows"][-1]
    assert last["seeds"] == list(range(10))
    assert last["mean_interval"][0] < sum(accuracies) / 10 < last["mean_interval"][1]


def test_the_interval_of_a_mean_is_students():
    # Mean 2, standard deviation 1, t of 2 degrees of freedom 4.3027.
    assert interval_of_mean([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert interval_of_mean([0.5, 0.5]) == (0.5, 0.5)


def test_children_alone_teach_another_normal(finished, tmp_path):
    page, content = made(finished, "paediatric-bias", tmp_path)
    difference = {(row["model"], row["figure"]): row["difference"] for row in content["rows"] if "figure" in row}
    # 10, 4 and 1 of 26 normal adults are called COVID-19.
    assert difference["base-v1-adults", "specificity"]["value"] == pytest.approx(6 / 26)
    assert difference["base-v2", "specificity"]["value"] == pytest.approx(9 / 26)
    assert difference["base-v1-adults", "specificity"]["ci_low"] > 0
    assert "a difference of +23.1" in page
    # Neither difference is said to be one of age.
    assert "in age, and with it in hospital and number" in page
    assert "in channels (one and three) and in balance" in page
    assert "That the difference is one of age" in page
    assert "70.0 [52.1, 83.3]" in page


def test_the_region_of_interest_is_weighed_against_an_even_map(finished, tmp_path):
    page, content = made(finished, "roi", tmp_path)
    own = next(row for row in content["rows"] if row["region"] == "own")
    change = own["lung_share_less_whole"]["covid19"]
    assert change["share"]["value"] == pytest.approx(0.4)
    # 0.2 of the 0.4 is the smaller region's.
    assert change["above even"]["value"] == pytest.approx(0.2)
    assert own["less_whole"]["accuracy"]["value"] == pytest.approx(-2 / 56)
    assert own["lung_share"]["covid19"]["above even"]["value"] == pytest.approx(0.3, abs=0.02)
    assert "changes by +40.0" in page
    masked = next(row for row in content["rows"] if row["region"] == "own less box")
    # The lungs alone err on one image of a class more than the box.
    assert masked["less_box"]["accuracy"]["value"] == pytest.approx(-2 / 56)
    assert masked["lung_share_less_box"]["share"]["value"] == pytest.approx(0.2)
    assert "blackening what is not lung adds +20.0" in page
    inside = own["lung_share"]["covid19"]["share"]["value"]
    assert f"| {inside / 0.5:.2f} | {inside / (1 - inside):.2f} |" in page
    assert "begin from the same weights, which learned from whole radiographs" in page


def test_burned_in_text_moves_the_answer_by_what_it_moved(finished, tmp_path):
    page, content = made(finished, "burned-in-text", tmp_path)
    rows = {(row["region"], row["edit"], row["images"]): row for row in content["rows"]}
    assert rows["own", "burned", "all test images"]["answer"]["mean"]["value"] == pytest.approx(0)
    whole = rows["whole", "burned", "all test images"]
    assert whole["answer"]["n"] == 56
    assert 0.1 < whole["answer"]["mean"]["value"] <= 0.2
    assert whole["lung_share"]["value"] == pytest.approx(-0.2)
    assert rows["whole", "concealed", "those it shows in"]["answer"]["n"] == 14
    assert "Where something like a mark was found" in page


def test_sources_left_out_are_measured_by_decision(finished, tmp_path):
    page, content = made(finished, "leave-one-out", tmp_path)
    seen = {(row["model"], row["decision"], row["source"]) for row in content["rows"]}
    assert ("own", "covid19_against_normal", "cohen") in seen
    assert {("three", "pneumonia", "nih"), ("three", "covid19", "cohen")} <= seen
    cohen = next(row for row in content["rows"] if row["model"] == "own" and row["source"] == "cohen")
    assert (cohen["positives"], cohen["negatives"]) == (40, 12)
    assert {"auc", "auc_known", "gap", "sensitivity", "specificity"} <= set(cohen["figures"])
    armiro = next(row for row in content["rows"] if row["source"] == "armiro")
    assert "auc" not in armiro["figures"]
    assert "sensitivity" in armiro["figures"]
    assert "COVID-19, against normal, cohen: AUC" in page


def test_what_is_not_there_is_one_sentence(finished, recipe, tmp_path):
    with pytest.raises(CxrscreenError, match="There is no table 'table6' of COVID-CXNet"):
        reproduce_covid_cxnet("table6", recipe, tmp_path, tmp_path)
    with pytest.raises(CxrscreenError, match="holds no finished training"):
        reproduce_covid_cxnet("table1", recipe, tmp_path / "empty", tmp_path)
    (finished.work / "trainings" / "three" / "outputs.csv").unlink()
    with pytest.raises(CxrscreenError, match=r"no finished trainings/three/outputs\.csv"):
        reproduce_covid_cxnet("table4", recipe, finished.work, tmp_path)
    other = recipe.model_copy(update={"within": "nih"})
    with pytest.raises(RecipeError, match="of another recipe"):
        reproduce_covid_cxnet("table4", other, finished.work, tmp_path)
    with pytest.raises(RecipeError, match="no training 'larger'"):
        CxNetRuns(finished.work, recipe).recipe.variant("larger")
