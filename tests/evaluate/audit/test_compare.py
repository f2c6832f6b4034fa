"""Two audits whose figures are known by hand, from their files to the page."""

import json

import numpy as np
import pandas as pd
import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import CxrscreenError
from cxrscreen.evaluate.audit.compare import AUC, BLACK, POINTING, SHARE, compare_audits
from cxrscreen.evaluate.audit.compare_page import write_comparison
from cxrscreen.evaluate.audit.part import plain
from cxrscreen.evaluate.audit.regions import POOLED, WITHIN
from cxrscreen.evaluate.audit.saliency import OWN_LUNGS
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.goal import Goal

LABELS = {"nih": ("normal", "pneumonia"), "cohen": ("viral", "covid19"), "armiro": ("covid19",)}


def estimate(value, half=0.05):
    return plain(Estimate(value, value - half, value + half, 30, 20, "given"))


def an_audit(folder, bundle, apart, *, share=0.85, edited=True, digest="abc", seed=0):
    """Files of an audit whose scores stand ``apart`` for the truth; with black lungs they are drawn blindly."""
    rng = np.random.default_rng(seed)
    rows = []
    for source, labels in LABELS.items():
        for label in labels:
            for i in range(40):
                rows.append((f"{source}-{label}-{i}", source, f"{source}-{label}-{i // 2}", label))
    table = pd.DataFrame(rows, columns=["image_id", "source", "group", "label"])

    def drawn(apart):
        ill, new = table["label"] != "normal", table["label"] == "covid19"
        return {
            "pneumonia": 1 / (1 + np.exp(-rng.normal(size=len(table)) - apart * ill)),
            "covid19": 1 / (1 + np.exp(-rng.normal(size=len(table)) - apart * new)),
        }

    folder.mkdir()
    table.assign(**drawn(apart)).to_csv(folder / "scores.csv", index=False)
    black = pd.DataFrame({"image_id": table["image_id"], "edit": "black lungs", **drawn(0.0)})
    if edited:
        black.to_csv(folder / "scores-black-lungs.csv", index=False)
    columns = ["Decision", "Images", "AUC black lungs"]
    stated = [["COVID-19 / other pneumonia", POOLED, estimate(0.7)], ["COVID-19 / other pneumonia", "cohen", None]]
    lungs = [[OWN_LUNGS, "h2", 30, estimate(share, 0.001)], ["human lung masks", "h2", 9, estimate(0.8)]]
    boxes = [["all images with boxes", "h2", 37, estimate(0.2), estimate(0.1)]]
    audits = [
        {"name": "black-lungs", "tables": [{"columns": columns, "rows": stated}]},
        {
            "name": "saliency",
            "tables": [
                {"columns": ["Lungs", "Map", "Images", "Share inside"], "rows": lungs},
                {"columns": ["Images", "Map", "n", "Pointing game", "IoU (Otsu)"], "rows": boxes},
            ],
        },
    ]
    content = {"bundle": bundle, "protocols": {"stage2": digest, "stage3": digest}, "audits": audits}
    (folder / "audit.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("audits")
    return an_audit(root / "one", "cascade@1", 1.0), an_audit(root / "two", "cascade@2", 3.0, share=0.93, seed=1)


@pytest.fixture(scope="module")
def compared(folders):
    return compare_audits(*folders, replicates=60)


def line_of(comparison, figure, about, images):
    found = [
        line for line in comparison.lines if (line.figure, line.images) == (figure, images) and about in line.about
    ]
    assert len(found) == 1
    return found[0]


def test_areas_agree_with_scikit_learn_and_changes_are_paired(compared, folders):
    from sklearn.metrics import roc_auc_score

    tables = [pd.read_csv(folder / "scores.csv") for folder in folders]
    asked = [table[table["label"] != "normal"] for table in tables]
    before, after = (roc_auc_score(table["label"] == "covid19", table["covid19"]) for table in asked)
    line = line_of(compared, AUC, "COVID-19 /", POOLED)
    assert line.before.value == pytest.approx(before, abs=1e-9)
    assert line.change.value == pytest.approx(after - before, abs=1e-9)
    assert line.change.ci_low < line.change.value < line.change.ci_high
    # Patients are drawn, two images each.
    assert (line.after.n, line.after.groups) == (160, 80)
    own = line_of(compared, AUC, "pneumonia / normal", "nih")
    rows = tables[1][tables[1]["source"] == "nih"]
    assert own.after.value == pytest.approx(roc_auc_score(rows["label"] != "normal", rows["pneumonia"]), abs=1e-9)
    # One source holds both classes: its figure is the mean already.
    assert not [each for each in compared.lines if each.images == WITHIN]


def test_the_same_bundle_twice_changes_nothing(folders):
    comparison = compare_audits(folders[0], folders[0], replicates=30)
    moved = [line.change for line in comparison.lines if line.change is not None]
    assert moved
    assert all(change.value == 0 for change in moved)
    assert all(change.ci_high in (0, None) for change in moved)


def test_goals_and_their_verdicts(compared):
    goals = {(line.figure, line.about, line.images): line for line in compared.lines if line.goal is not None}
    assert {(figure, images) for figure, _, images in goals} == {
        (AUC, "nih"),
        (AUC, "cohen"),
        (AUC, POOLED),
        (BLACK, POOLED),
        (SHARE, OWN_LUNGS),
    }
    share = goals[SHARE, "h2", OWN_LUNGS]
    assert (share.goal.verdict(share.before), share.goal.verdict(share.after)) == ("missed", "held")
    assert share.change.value == pytest.approx(0.08)
    assert share.change.ci_low is None
    assert line_of(compared, POINTING, "h2", "all images with boxes").goal is None


def test_verdicts_by_hand():
    sure, wide = Estimate(0.8, 0.78, 0.82, 9, 9, ""), Estimate(0.76, 0.6, 0.9, 9, 9, "")
    assert Goal(0.74).verdict(sure) == "held"
    assert Goal(0.74).verdict(wide) == "held (the interval allows the contrary)"
    assert Goal(0.65, at_least=False).verdict(sure) == "missed"
    assert Goal(0.74).verdict(Estimate(0.7, None, None, 9, 9, "")) == "missed (no interval)"
    assert Goal(0.74).verdict(None) == "not measured"


def test_black_lungs_without_kept_scores_are_taken_from_the_audits(folders, tmp_path):
    old = an_audit(tmp_path / "old", "cascade@0", 1.0, edited=False)
    line = line_of(compare_audits(old, folders[1], replicates=30), BLACK, "COVID-19 /", POOLED)
    assert line.before.value == pytest.approx(0.7)
    assert line.change.ci_low is None
    kept = line_of(compare_audits(*folders, replicates=30), BLACK, "COVID-19 /", POOLED)
    assert kept.before.value == pytest.approx(0.5, abs=0.12)
    assert kept.change.ci_low is not None


def test_the_page_says_goals_first_and_names_no_image(compared, tmp_path):
    files = write_comparison(compared, tmp_path / "out", command="cxrscreen compare-audits BEFORE AFTER")
    page, content = (files[f"audit-comparison.{kind}"].read_text(encoding="utf-8") for kind in ("md", "json"))
    assert RESEARCH_USE in page
    assert "nih-normal" not in page + content
    assert str(tmp_path) not in page + content
    row = next(line for line in page.splitlines() if line.startswith(f"| {SHARE}, h2"))
    figures = "0.850 [0.849, 0.851] | 0.930 [0.929, 0.931]"
    assert row == f"| {SHARE}, h2 | {OWN_LUNGS} | at least 0.9 | {figures} | held |"
    assert page.index("## Goals") < page.index("## AUC on") < page.index("## What must not be concluded")
    stored = json.loads(content)
    assert {line["verdict"] for line in stored["lines"]} >= {"held", ""}


def test_what_cannot_be_compared_is_one_sentence(folders, tmp_path):
    other = an_audit(tmp_path / "other", "cascade@2", 1.0, digest="def")
    with pytest.raises(CxrscreenError, match="measured other splits"):
        compare_audits(folders[0], other)
    with pytest.raises(CxrscreenError, match=r"nothing holds no readable audit\.json"):
        compare_audits(folders[0], tmp_path / "nothing")
    bare = an_audit(tmp_path / "bare", "cascade@2", 1.0)
    (bare / "scores.csv").unlink()
    with pytest.raises(CxrscreenError, match=r"bare holds no readable scores\.csv"):
        compare_audits(folders[0], bare)
    (bare / "scores.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CxrscreenError, match="lacks the column image_id"):
        compare_audits(folders[0], bare)
