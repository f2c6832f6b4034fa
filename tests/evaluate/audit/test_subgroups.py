"""Subgroups on scores whose figures are known."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxrscreen.data.manifest import check_manifest
from cxrscreen.evaluate.audit import subgroups
from cxrscreen.evaluate.audit.part import AuditData
from cxrscreen.evaluate.audit.subgroups import FEWEST, audit_subgroups, measure, subgroup_columns, without_children
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.systems.contract import Screening, Stage


class Scored:
    """Reads the score from the picture."""

    bundle_id = "scored@1"

    def screen(self, radiograph, *, force=False, explain=True):
        score = float(radiograph.pixels[0, 0])
        stage = Stage("pneumonia", "Pneumonia", score, 0.5, "youden")
        return Screening((stage,), "normal", score, np.ones((4, 4), np.uint8), 1.0, (), "good", (), self.bundle_id)


def audit_data(*, women_worse=False, children_easy=False, n=400):
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2
    sex = np.where(rng.random(n) < 0.5, "F", "M")
    child = rng.random(n) < 0.5
    quality = np.where((sex == "F") & women_worse, 0.0, 1.2)
    if children_easy:
        quality = np.where(child, 3.0, 0.2)
    score = 1 / (1 + np.exp(-(quality * (truth - 0.5) * 2 + rng.normal(size=n))))
    ids = [f"x{i:03d}" for i in range(n)]
    table = pd.DataFrame(
        {
            "image_id": ids,
            "path": [f"{value:.6f}" for value in score],
            "source": np.where(np.arange(n) % 4 < 2, "a", "b"),
            "label": np.where(truth == 1, "pneumonia", "normal"),
            "sex": np.where(rng.random(n) < 0.05, "", sex),
            "pediatric": np.where(child, "true", "false"),
            "view": np.where(np.arange(n) < 8, "AP Supine", "PA"),
        }
    )
    split = SimpleNamespace(truth=dict(zip(ids, truth.tolist(), strict=True)))
    manifest = check_manifest(table, Path())
    bundle, chosen = SimpleNamespace(card=SimpleNamespace(system="cascade")), {("stage2", "test"): tuple(ids)}
    return AuditData(Scored(), bundle, manifest, {"stage2": split}, chosen, read, 0, 300, lambda text: None)


def read(path):
    return Radiograph(np.full((4, 4), float(path.name), np.float32), Provenance(path, "PNG"))


def test_a_system_that_serves_all_alike_passes_and_small_subgroups_are_not_assessable():
    part = audit_subgroups(audit_data())
    assert part.passed is True
    rows = {(row[0], row[1]): row for row in part.tables[0].rows}
    assert rows["view", "AP supine (portable)"][4:] == ("not assessable",) * 3
    assert rows["all", "all images"][2:4] == (200, 200)
    women = rows["sex", "F"]
    assert women[4].n == women[2] + women[3]
    assert women[4].ci_low < women[4].value < women[4].ci_high
    assert ("age", "unknown") not in rows  # Nobody's age is known: there is no subgroup.
    assert "none clearly lower" in part.finding
    assert {row[0] for row in part.tables[1].rows} == {"a", "b"}
    assert len(part.figures) == 1


def test_a_system_that_fails_women_is_found_out():
    part = audit_subgroups(audit_data(women_worse=True))
    assert part.passed is False
    assert "clearly lower in sex F" in part.finding


def test_a_result_that_children_carry_is_found_out():
    part = audit_subgroups(audit_data(children_easy=True))
    assert part.passed is False
    children = part.tables[-1]
    count, everyone, adults, change = children.rows[0]
    assert count > 100
    assert change.value == pytest.approx(adults.value - everyone.value)
    assert change.value < -subgroups.CHANGE
    assert change.ci_high < 0


def test_figures_agree_with_scikit_learn_and_counting():
    data = audit_data()
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1], [40, 30])
    score = np.clip(0.3 * truth + rng.random(70) * 0.7, 0, 1)
    rows = pd.DataFrame({"truth": truth, "score": score, "group": [str(i // 2) for i in range(70)]})
    group = measure(rows, 0.5, "axis", "value", data)
    assert group.auc.value == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert group.sensitivity.value == pytest.approx((score[truth == 1] >= 0.5).mean(), abs=1e-12)
    assert group.specificity.value == pytest.approx((score[truth == 0] < 0.5).mean(), abs=1e-12)
    few = measure(rows.iloc[: 40 + FEWEST - 1], 0.5, "axis", "value", data)
    assert few.auc is None
    assert few.sensitivity is None
    assert few.specificity.n == 40


def test_without_children_needs_enough_adults():
    rows = pd.DataFrame(
        {
            "truth": [0, 1] * 20,
            "score": 0.5,
            "group": [str(i) for i in range(40)],
            "children": ["child"] * 30 + ["adult"] * 10,
        }
    )
    found = without_children(rows, audit_data())
    assert found.children == 30
    assert found.change is None


def test_columns_come_from_the_manifest_in_known_bands():
    table = pd.DataFrame(
        {
            "image_id": list("abcd"),
            "path": list("abcd"),
            "source": "s",
            "label": "covid19",
            "sex": ["F", "M", "", "F"],
            "age": ["17", "18", "", "75"],
            "pediatric": ["unknown", "unknown", "true", "false"],
            "view": ["PA", "AP Supine", "unknown", "AP"],
            "severity_geographic": ["0", "2.1", "", "8"],
            "severity_opacity": ["2", "4.5", "", "6"],
        }
    )
    columns = subgroup_columns(check_manifest(table, Path()).table)
    assert columns["sex"].tolist() == ["F", "M", "unknown", "F"]
    assert columns["age"].tolist() == ["0-17", "18-39", "unknown", "75 and over"]
    assert columns["view"].tolist() == ["PA", "AP supine (portable)", "unknown", "AP"]
    assert columns["children"].tolist() == ["child", "adult", "child", "adult"]
    assert columns["extent"].tolist() == ["0 to 2", "over 2 to 5", "unknown", "over 5 to 8"]
    assert columns["opacity"].tolist() == ["0 to 2", "over 4 to 6", "unknown", "over 4 to 6"]
