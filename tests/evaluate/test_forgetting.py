"""Before and after, on constructed outputs whose figures are known."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.forgetting import before_and_after, choose_points
from cxrscreen.evaluate.forgetting_report import Adaptation, card_results, verdict, write_report
from cxrscreen.systems.bundle import OperatingPoint, StageCard


def point(threshold, temperature=1.0):
    points = {"youden": OperatingPoint(threshold=threshold, rule="youden", site="here")}
    return StageCard(operating_points=points, default="youden", temperature=temperature)


POINTS = {"pneumonia": point(0.5), "covid19": point(0.5)}


def outputs_of(seed=0, lost=0.0, other_at_new=True):
    """Old images of two sources and a new site; after the adaptation ``lost`` is taken from the old pneumonias."""
    rng = np.random.default_rng(seed)
    rows = []
    for part in ("validation", "test"):
        for source, label, count, new in (
            ("a", "normal", 40, False),
            ("a", "bacterial", 40, False),
            ("b", "normal", 20, False),
            ("b", "viral", 20, False),
            ("there", "covid19", 12, True),
            *((("there", "viral", 12, True),) if other_at_new else ()),
        ):
            for i in range(count):
                ill, covid = label != "normal", label == "covid19"
                before = rng.normal(2.0 if ill else -2.0)
                after = before - lost * (ill and not new) + rng.normal(0, 0.05)
                stage3 = rng.normal(1.5 if covid else -1.5) if ill else np.nan
                key = f"{part}-{source}-{label}-{i}"
                group = f"{part}-{source}-{label}-{i // 2}"
                rows.append((key, source, group, label, part, new, before, after, stage3 / 4, stage3))
    columns = ["image_id", "source", "group", "label", "part", "new"]
    columns += ["pneumonia_before", "pneumonia_after", "covid19_before", "covid19_after"]
    return pd.DataFrame(rows, columns=columns)


def answers_of(outputs, **settings):
    found = before_and_after(outputs, POINTS, POINTS, replicates=200, **settings)
    return {answer.question.name: answer for answer in found}


def test_figures_agree_with_scikit_learn_on_test_images_alone():
    outputs = outputs_of(lost=1.5)
    old = answers_of(outputs)["old"]
    rows = outputs[(outputs["part"] == "test") & ~outputs["new"]]
    truth = rows["label"] != "normal"
    before, after = (roc_auc_score(truth, rows[f"pneumonia_{when}"]) for when in ("before", "after"))
    assert old.estimates["auc_before"].value == pytest.approx(before, abs=1e-12)
    assert old.estimates["auc_change"].value == pytest.approx(after - before, abs=1e-12)
    within = np.mean(
        [roc_auc_score(truth[rows["source"] == s], rows.loc[rows["source"] == s, "pneumonia_after"]) for s in "ab"]
    )
    assert old.estimates["within_auc_after"].value == pytest.approx(within, abs=1e-12)
    assert old.sources == ("a", "b")
    assert (old.positives, old.negatives) == (60, 60)
    assert old.estimates["auc_change"].groups == 60
    called = expit(rows.loc[truth, "pneumonia_after"]) >= 0.5
    assert old.estimates["sensitivity_after"].value == pytest.approx(called.mean())


def test_the_change_is_paired_so_its_interval_is_narrower_than_the_figures():
    old = answers_of(outputs_of())["old"].estimates
    width = {name: old[name].ci_high - old[name].ci_low for name in ("auc_before", "auc_change")}
    assert width["auc_change"] < width["auc_before"] / 2
    assert old["auc_change"].ci_low <= old["auc_change"].value <= old["auc_change"].ci_high


def test_the_old_point_and_the_new_point_are_both_shown():
    outputs = outputs_of(lost=2.0)
    after = {"pneumonia": point(0.2, temperature=2.0), "covid19": point(0.5)}
    found = before_and_after(outputs, POINTS, after, replicates=100)[0].estimates
    rows = outputs[(outputs["part"] == "test") & ~outputs["new"] & (outputs["label"] != "normal")]
    assert found["sensitivity_after_old_point"].value == pytest.approx((rows["pneumonia_after"] >= 0).mean())
    expected = (expit(rows["pneumonia_after"] / 2) >= 0.2).mean()
    assert found["sensitivity_after"].value == pytest.approx(expected)
    assert found["sensitivity_after"].value > found["sensitivity_after_old_point"].value


def test_questions_hold_the_images_they_name():
    answers = answers_of(outputs_of())
    assert set(answers) == {"old", "old-disease", "new", "new-disease", "found-as-pneumonia", "told-apart"}
    sizes = {name: (answer.positives, answer.negatives) for name, answer in answers.items()}
    assert sizes["new-disease"] == (12, 12)
    assert sizes["found-as-pneumonia"] == (12, 60)
    assert sizes["told-apart"] == (12, 72)
    # No COVID-19 among the old images: no AUC, but how many are called positive.
    assert sizes["old-disease"] == (0, 60)
    assert set(answers["old-disease"].estimates) == {f"specificity_{w}" for w in ("before", "after_old_point", "after")}
    assert "auc_before" not in answers["new"].estimates


def test_points_are_chosen_on_validation_images_and_temperature_first():
    outputs = outputs_of()
    changed = outputs.assign(pneumonia_after=outputs["pneumonia_after"].where(outputs["part"] == "validation", 99.0))
    chosen = choose_points(outputs, "pneumonia")
    assert chosen == choose_points(changed, "pneumonia")
    doubled = choose_points(outputs.assign(pneumonia_after=outputs["pneumonia_after"] * 2), "pneumonia")
    assert doubled.temperature == pytest.approx(2 * chosen.temperature, abs=1e-5)
    assert doubled.point().threshold == pytest.approx(chosen.point().threshold, abs=1e-4)
    assert chosen.default == "youden"
    assert "there (new) 24" in chosen.point().site
    with pytest.raises(ManifestError, match="one class only"):
        choose_points(outputs[outputs["label"] == "normal"], "pneumonia")


@pytest.mark.parametrize(
    ("lost", "said"), [(0.0, "It has not forgotten"), (3.0, "It has forgotten"), (0.45, "do not exclude a larger one")]
)
def test_the_verdict(lost, said):
    outputs = outputs_of(lost=lost)
    assert said in verdict(list(answers_of(outputs).values()))


def test_without_old_images_forgetting_was_not_measured():
    outputs = outputs_of()
    answers = before_and_after(outputs[outputs["new"]], POINTS, POINTS, replicates=100)
    assert "not measured" in verdict(answers)


@pytest.mark.parametrize("other_at_new", [True, False])
def test_the_report(tmp_path, other_at_new):
    answers = before_and_after(outputs_of(other_at_new=other_at_new), POINTS, POINTS, replicates=100)
    images = {origin: {"train": {"normal": 3}, "validation": {}, "test": {"covid19": 2}} for origin in ("old", "new")}
    about = Adaptation("cascade@1", "", "cxrscreen adapt BUNDLE", {"lambda": 1.0}, 9, images, POINTS, POINTS, answers)
    for folder in (tmp_path / "one", tmp_path / "two"):
        files = write_report(about.named("cascade@2"), folder)
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    page = files["adaptation.md"].read_text()
    assert "Research use only" in page
    assert "# cascade@2, adapted from cascade@1" in page
    assert ("nothing here shows that the disease was learned" in page.replace("\n", " ")) != other_at_new
    tables = [line for line in page.splitlines() if line.startswith("| Old images: pneumonia")]
    assert len(tables) == 4
    content = json.loads(files["adaptation.json"].read_text())
    assert content["answers"][0]["estimates"]["auc_change"]["method"] == "bootstrap by patient group"
    short = card_results(about)
    assert short["old"]["auc_change"]["value"] == pytest.approx(answers[0].estimates["auc_change"].value, abs=1e-4)
