import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from cxrscreen.evaluate.reproduce.change import change
from cxrscreen.evaluate.reproduce.measure import measure


def everything(rows):
    return rows["source"].notna()


def outputs(rows, **more):
    table = pd.DataFrame(rows, columns=["source", "label", "part", "probability"])
    table["image_id"] = table["group"] = [f"i{i}" for i in range(len(table))]
    return table.assign(pneumonia=logit(table["probability"]), covid19=np.nan, **more)


# Validation: any threshold from 0.3 to 0.6 parts the classes, half-way is 0.45. Test: 3 of 4 pairs are in order.
VALIDATION = [("a", "normal", "validation", 0.3), ("a", "viral", "validation", 0.6)]
TEST = [
    ("a", "normal", "test", 0.2),
    ("a", "normal", "test", 0.5),
    ("a", "viral", "test", 0.4),
    ("a", "covid19", "test", 0.9),
]


def test_hand_computed_figures_at_the_threshold_of_the_validation_images():
    found = measure([outputs(VALIDATION + TEST)], "2", "test", everything, everything, replicates=20)
    assert (found.positives, found.negatives) == (2, 2)
    assert found.pooled["auc"].value == pytest.approx(0.75)
    assert found.pooled["sensitivity"].value == pytest.approx(0.5)
    assert found.pooled["specificity"].value == pytest.approx(0.5)
    # Too few images in the source for a figure within it.
    assert found.within == {}
    assert found.sources == ()


def test_trainings_are_averaged():
    other = [(*row[:3], 1 - row[3]) for row in TEST]
    found = measure(
        [outputs(VALIDATION + TEST), outputs(VALIDATION + other)], "2", "test", everything, everything, replicates=20
    )
    assert found.auc_by_training == (pytest.approx(0.75), pytest.approx(0.25))
    assert found.pooled["auc"].value == pytest.approx(0.5)
    shuffled = outputs(VALIDATION + TEST[::-1]).assign(image_id=lambda t: t["image_id"].to_numpy()[::-1])
    with pytest.raises(ValueError, match="same images"):
        measure([outputs(VALIDATION + TEST), shuffled], "2", "test", everything, everything, replicates=20)


def confounded(part):
    """All positives of source b, nothing to tell them apart within source a."""
    rows = [("a", "normal", part, 0.2)] * 10 + [("a", "viral", part, 0.2)] * 6
    return rows + [("b", "covid19", part, 0.8)] * 20


def test_a_hospital_is_recognised_pooled_but_not_within_sources():
    found = measure(
        [outputs(confounded("validation") + confounded("test"))], "2", "test", everything, everything, replicates=50
    )
    assert found.pooled["auc"].value == pytest.approx((20 + 6 * 0.5) / 26)
    assert found.within["auc"].value == pytest.approx(0.5)
    assert found.sources == ("a",)
    # The name alone does as well: a positive of b beats all normals of a, one of a ties.
    assert found.source_alone == pytest.approx((20 + 6 * 0.5) / 26)
    assert found.within["sensitivity"].value in (0.0, 1.0)


def test_stage_3_asks_pneumonias_alone():
    table = outputs(VALIDATION + TEST)
    table["covid19"] = [np.nan, 0.0, np.nan, np.nan, 0.0, 3.0]
    found = measure([table], "3", "test", everything, everything, replicates=20)
    assert (found.positives, found.negatives) == (1, 1)
    assert found.pooled["auc"].value == 1.0
    # One validation image of one class gives no threshold, so no rates.
    assert "sensitivity" not in found.pooled


def test_one_class_has_no_auc():
    found = measure([outputs(VALIDATION + TEST[:2])], "2", "test", everything, everything, replicates=20)
    assert "auc" not in found.pooled
    assert found.auc_by_training == ()
    assert found.pooled["specificity"].value == pytest.approx(0.5)


def test_change_before_and_after_by_hand():
    table = outputs(VALIDATION + TEST)
    after = np.array([0.3, 0.6, 0.2, 0.3, 0.4, 0.9])
    table = table.rename(columns={"pneumonia": "pneumonia_before", "covid19": "covid19_before"})
    table["pneumonia_after"] = logit(after)
    found = change([table, table.assign(pneumonia_after=table["pneumonia_before"])], "2", everything, replicates=20)
    assert found.pooled["before"].value == pytest.approx(0.75)
    assert found.pooled["after"].value == pytest.approx((1.0 + 0.75) / 2)
    assert found.pooled["change"].value == pytest.approx(0.125)
    assert found.by_tuning == (pytest.approx(0.25), pytest.approx(0.0))
    assert found.worst == pytest.approx(0.0)
    assert change([table], "2", lambda rows: rows["label"] == "normal", replicates=20) is None
