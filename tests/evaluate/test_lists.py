"""Lists measured and written: the same bytes each time, thresholds from other images, and the sentences on the page."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.list_tables import list_page
from cxrscreen.evaluate.lists import Threshold, choose_threshold, list_content, measure_list, write_list
from cxrscreen.evaluate.metrics import confusion_counts
from cxrscreen.evaluate.scores import read_scores


def write_scores(file, n=90, seed=0, **columns):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    table = pd.DataFrame({"truth": truth, "score": expit(1.2 * (2 * truth - 1) + rng.normal(size=n)).round(6)})
    given = {"image_id": [f"i{i}" for i in range(n)], "group": [f"g{i // 2}" for i in range(n)]}
    table = table.assign(**(given | {"source": np.where(np.arange(n) % 2, "east", "west")} | columns))
    table.drop(columns=[name for name, value in columns.items() if value is None]).to_csv(file, index=False)
    return file


def measure(file, other=None):
    threshold = Threshold(0.5, "the default")
    result = measure_list(read_scores(file), threshold, other and read_scores(other), replicates=100)
    return result, list_content(result, file, other, 100, 0)


def measured(file, out):
    result, content = measure(file)
    files = write_list(out, result, content)
    return files, json.loads(files["metrics.json"].read_text()), files["metrics.md"].read_text()


def test_a_decision_with_all_its_files(tmp_path):
    file = write_scores(tmp_path / "a.csv")
    files, metrics, page = measured(file, tmp_path / "out")
    figures = {f"{name}.{kind}" for name in ("roc", "reliability", "decision_curve") for kind in ("png", "svg")}
    assert set(files) == {"metrics.json", "metrics.md"} | figures
    assert all(path.stat().st_size > 500 for path in files.values())
    assert "Research use only" in files["reliability.svg"].read_text()
    assert "Research use only" in files["decision_curve.svg"].read_text()
    rows = pd.read_csv(file)
    assert metrics["results"]["pooled"]["estimates"]["auc"]["value"] == pytest.approx(
        roc_auc_score(rows["truth"], rows["score"]), abs=1e-9
    )
    assert [row["prevalence"] for row in metrics["use"]["prevalence"]] == [0.01, 0.02, 0.05, 0.1, 0.2]
    assert len(metrics["use"]["decision_curve"]["net_benefit"]) == 99
    assert sum(item["positive_rate"]["n"] for item in metrics["use"]["reliability"]) == 90
    assert metrics["images"] == {
        "n": 90,
        "groups": 45,
        "sources": 2,
        "given": ["group", "image_id", "source"],
        "copies": 0,
    }
    counts = confusion_counts(rows["truth"], rows["score"], 0.5)
    row = f"| *all sources pooled* | {counts.true_positive} | {counts.false_negative} | {counts.false_positive} |"
    assert row in page
    for heading in ("Research use only", "Per 1000 persons", "Net benefit", "Reliability", "must not be concluded"):
        assert heading in page
    assert str(tmp_path) not in files["metrics.json"].read_text() + page


def test_the_same_list_gives_the_same_bytes(tmp_path):
    file = write_scores(tmp_path / "a.csv")
    first, second = (measured(file, tmp_path / name)[0] for name in ("one", "two"))
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes(), name


def test_what_the_list_does_not_say_is_said(tmp_path):
    bare = write_scores(tmp_path / "a.csv", image_id=None, group=None, source=None)
    page = list_page(measure(bare)[1])
    assert "without a source column" in page
    assert "without a group column every row counts as a patient of its own" in page
    full = list_page(measure(write_scores(tmp_path / "b.csv"))[1])
    assert "without a source column" not in full
    assert "without a group column" not in full


def test_copies_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("truth,score\n1,0.9\n1,0.9\n0,0.2\n0,0.1\n")
    assert "- 1 rows repeat an earlier one" in list_page(measure(tmp_path / "a.csv")[1])


def test_a_comparison_stands_in_the_page_and_the_file(tmp_path):
    first, second = write_scores(tmp_path / "a.csv"), write_scores(tmp_path / "b.csv")
    rows = pd.read_csv(second)
    rows["score"] = 1 - rows["score"]
    rows.to_csv(second, index=False)
    _, metrics = measure(first, second)
    page = list_page(metrics)
    assert "## b.csv less a.csv, on the same 90 images" in page
    assert metrics["comparison"]["differences"]["auc"]["value"] < -0.5
    assert metrics["comparison"]["delong_p"] < 1e-6
    assert [item["name"] for item in metrics["lists"]] == ["a.csv", "b.csv"]
    assert "their difference may be 0" in page


def test_only_named_images_are_compared(tmp_path):
    first, second = write_scores(tmp_path / "a.csv"), write_scores(tmp_path / "b.csv", image_id=None)
    with pytest.raises(ManifestError, match="add the image_id to both"):
        measure(first, second)


def test_several_classes(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.dirichlet([1, 1, 1], 60)
    table = pd.DataFrame(values.round(4), columns=["p_normal", "p_covid19", "p_other"])
    table["truth"] = rng.choice(["normal", "covid19", "other"], 60)
    table.to_csv(tmp_path / "c.csv", index=False)
    files, metrics, page = measured(tmp_path / "c.csv", tmp_path / "out")
    assert set(files) == {
        "metrics.json",
        "metrics.md",
        *(f"{name}.{kind}" for name in ("roc", "confusion") for kind in ("png", "svg")),
    }
    assert np.sum(metrics["results"]["confusion"]) == 60
    assert "threshold" not in metrics
    assert "*average weighted by images*" in page
    assert "| Truth | called normal | called covid19 | called other |" in page
    with pytest.raises(ManifestError, match="several classes are not compared"):
        measure(tmp_path / "c.csv", tmp_path / "c.csv")
    with pytest.raises(ManifestError, match="a threshold needs"):
        choose_threshold("youden", tmp_path / "c.csv")


def test_a_threshold_is_chosen_on_other_images_with_sources_weighing_the_same(tmp_path):
    file = write_scores(tmp_path / "v.csv", n=120, seed=3, source=None)
    chosen = choose_threshold("sensitivity>=0.95", file)
    rows = pd.read_csv(file)
    assert confusion_counts(rows["truth"], rows["score"], chosen.value).sensitivity >= 0.95
    assert "sensitivity>=0.95, chosen on 120 other images (v.csv)" in chosen.origin
    # A large source whose negatives score high and a small one whose negatives score low.
    table = pd.DataFrame(
        {"source": ["big"] * 100 + ["small"] * 20, "truth": ([0] * 90 + [1] * 10) + [0] * 10 + [1] * 10}
    )
    table["score"] = [0.6] * 90 + [0.9] * 10 + [0.1] * 10 + [0.5] * 10
    table.to_csv(tmp_path / "w.csv", index=False)
    table.drop(columns="source").to_csv(tmp_path / "u.csv", index=False)
    rule = "specificity>=0.50"
    assert choose_threshold(rule, tmp_path / "w.csv").value == pytest.approx(0.3)
    assert choose_threshold(rule, tmp_path / "u.csv").value == pytest.approx(0.75)


def test_a_target_that_cannot_be_kept_is_said_to_be_the_nearest(tmp_path):
    (tmp_path / "v.csv").write_text("truth,score\n0,1\n0,0.1\n1,1\n1,0.4\n")
    chosen = choose_threshold("specificity>=0.9", tmp_path / "v.csv")
    assert "which no threshold keeps there" in chosen.origin
