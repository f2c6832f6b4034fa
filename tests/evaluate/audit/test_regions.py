"""A system that reads the lungs passes, one that reads a corner fails; the rule at its edges."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxrscreen.evaluate.audit.regions import (
    POOLED,
    WITHIN,
    Aucs,
    audit_black_lungs,
    audit_borders,
    audit_lungs_only,
    edited_aucs,
    little_lost,
    near_chance,
)
from cxrscreen.evaluate.audit.untouched import UNTOUCHED
from cxrscreen.evaluate.bootstrap import Estimate


def test_a_system_that_reads_the_lungs_falls_to_chance_without_them(honest):
    part = audit_black_lungs(honest)
    assert part.passed is True
    rows = {row[1]: row for row in part.tables[0].rows}
    assert set(rows) == {POOLED, WITHIN, "a", "b"}
    assert rows[POOLED][2:4] == (40, 40)
    assert rows[POOLED][4].value > 0.9
    assert rows[POOLED][5].value == 0.5
    assert rows[POOLED][6].value == pytest.approx(rows[POOLED][4].value - 0.5)
    assert part.figures[0].figure.axes


def test_a_system_that_reads_a_corner_is_found_three_times(cheating):
    black, borders, alone = audit_black_lungs(cheating), audit_borders(cheating), audit_lungs_only(cheating)
    assert (black.passed, borders.passed, alone.passed) == (False, False, False)
    row = black.tables[0].rows[0]
    assert row[4] == row[5]
    assert row[6].value == row[6].ci_low == row[6].ci_high == 0


def test_a_system_that_reads_the_lungs_keeps_its_auc_with_them_alone(honest):
    assert audit_lungs_only(honest).passed is True
    assert audit_borders(honest).passed is True


def scores(n=200, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    return pd.DataFrame(
        {
            "source": np.where(np.arange(n) < n // 2, "a", "b"),
            "group": [f"g{i // 2}" for i in range(n)],
            "truth": truth,
            UNTOUCHED: truth + rng.normal(size=n),
            "edit": 0.3 * truth + rng.normal(size=n),
        }
    )


def test_aucs_agree_with_scikit_learn_pooled_and_within():
    rows = scores()
    found = edited_aucs(rows, ("edit",), replicates=100, seed=0)
    assert found[POOLED].auc["edit"].value == pytest.approx(roc_auc_score(rows["truth"], rows["edit"]), abs=1e-12)
    each = [roc_auc_score(part["truth"], part[UNTOUCHED]) for _, part in rows.groupby("source")]
    assert found[WITHIN].auc[UNTOUCHED].value == pytest.approx(np.mean(each), abs=1e-12)
    assert found["b"].auc[UNTOUCHED].value == pytest.approx(each[1], abs=1e-12)
    lost = found[POOLED].lost["edit"]
    assert lost.value == pytest.approx(found[POOLED].auc[UNTOUCHED].value - found[POOLED].auc["edit"].value)
    assert lost.ci_low < lost.value < lost.ci_high
    assert lost.groups == 100


def test_a_source_with_few_of_a_class_is_in_no_mean():
    rows = scores()
    rows.loc[rows["source"] == "b", "truth"] = 0
    found = edited_aucs(rows, ("edit",), replicates=100, seed=0)
    assert set(found) == {POOLED, WITHIN, "a"}
    assert edited_aucs(rows[rows["truth"] == 0], ("edit",), replicates=100, seed=0) == {}


@pytest.mark.parametrize(
    ("before", "after", "n", "verdict"),
    [
        ((0.95, 0.90, 0.99), (0.52, 0.40, 0.64), 50, True),
        ((0.95, 0.90, 0.99), (0.48, 0.30, 0.66), 50, True),
        ((0.95, 0.90, 0.99), (0.90, 0.80, 0.97), 50, False),
        ((0.95, 0.90, 0.99), (0.10, 0.02, 0.20), 50, False),  # Below one half is knowledge as well.
        ((0.75, 0.60, 0.90), (0.64, 0.55, 0.73), 50, False),  # Its interval reaches that of the untouched.
        ((0.95, 0.90, 0.99), (0.52, 0.40, 0.64), 9, None),
        ((0.83, 0.66, 0.96), (0.58, 0.44, 0.74), 50, None),  # Chance, or as good as before: both are held.
        ((0.95, 0.70, 0.99), (0.70, 0.40, 0.95), 50, None),  # Too wide to tell.
        ((0.60, 0.50, 0.70), (0.52, 0.45, 0.60), 50, None),  # Nothing there to lose.
        ((0.60, 0.50, 0.70), (0.80, 0.70, 0.90), 50, False),
    ],
)
def test_the_rule_of_chance(before, after, n, verdict):
    def estimate(values):
        return Estimate(*values, n=2 * n, groups=n, method="given")

    aucs = Aucs(n, n, {UNTOUCHED: estimate(before), "edit": estimate(after)}, {})
    assert near_chance(aucs, "edit") is verdict


@pytest.mark.parametrize(
    ("lost", "n", "verdict"),
    [
        ((0.02, -0.03, 0.20), 50, True),
        ((0.27, 0.10, 0.45), 50, False),
        ((0.13, -0.03, 0.33), 50, None),
        ((0.27, 0.10, 0.45), 9, None),
    ],
)
def test_the_rule_of_a_small_loss(lost, n, verdict):
    aucs = Aucs(n, n, {}, {"edit": Estimate(*lost, n=2 * n, groups=n, method="given")})
    assert little_lost(aucs, "edit") is verdict
