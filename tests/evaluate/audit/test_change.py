"""The change of the scores, worked out by hand, and its rule."""

import pandas as pd
import pytest

from cxrscreen.evaluate.audit.change import change_verdict, changes_of
from cxrscreen.evaluate.audit.untouched import UNTOUCHED


def rows(flipped, n=100):
    """Scores of which the first ``flipped`` cross the threshold of 0.5 upwards, and one moves down without crossing."""
    before = [0.4] * n
    after = [0.6] * flipped + [0.1] + [0.4] * (n - flipped - 1)
    return pd.DataFrame({"group": [f"g{i}" for i in range(n)], UNTOUCHED: before, "edit": after})


def measured(flipped, n=100):
    return changes_of(rows(flipped, n), ("edit",), 0.5, replicates=100, seed=0)


def test_a_change_is_worked_out_by_hand():
    change = measured(4)["edit"]
    assert change.mean.value == pytest.approx((4 * 0.2 - 0.3) / 100)
    assert change.mean_absolute.value == pytest.approx((4 * 0.2 + 0.3) / 100)
    assert change.largest == pytest.approx(0.3)
    assert change.flipped.value == pytest.approx(0.04)
    assert changes_of(rows(4).iloc[:0], ("edit",), 0.5, replicates=100, seed=0) == {}


@pytest.mark.parametrize(
    ("flipped", "n", "verdict"), [(2, 100, True), (4, 100, None), (12, 100, False), (12, 40, None), (0, 40, None)]
)
def test_the_rule_of_flipped_decisions(flipped, n, verdict):
    passed, said = change_verdict({"pneumonia": measured(flipped, n)}, ("edit",), "an edit")
    assert passed is verdict
    assert f"{flipped / n:.3f}" in said
    assert change_verdict({}, ("edit",), "an edit")[0] is None
