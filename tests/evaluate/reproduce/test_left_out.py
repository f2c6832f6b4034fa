"""A source that was left out, and the verdict on forgetting, on outputs whose figures are known by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.reproduce.change import Change
from cxrscreen.evaluate.reproduce.incremental import ALONE, OLD, Way, sweep_answer
from cxrscreen.evaluate.reproduce.left_out import Arm, LeftOut, left_out_answer, measure_left_out


def outputs(rows):
    """Rows of (image, source, label, part, probability)."""
    table = pd.DataFrame(rows, columns=["image_id", "source", "label", "part", "probability"])
    return table.assign(group=table["image_id"], pneumonia=logit(table["probability"]), covid19=np.nan)


def images(source, part, high, count=6):
    """Normals at 0.2, pneumonias at 0.8 of which the last are at 0.1, below all normals."""
    normal = [(f"{source}-{part}-n{i}", source, "normal", part, 0.2) for i in range(count)]
    return normal + [(f"{source}-{part}-p{i}", source, "viral", part, 0.8 if i < high else 0.1) for i in range(count)]


@pytest.fixture(scope="module")
def found():
    validation = images("b", "validation", 6)
    # Learned from: all test images of either source are in order.
    known = outputs(validation + images("a", "test", 6) + images("b", "test", 6))
    # Left out: 3 of 6 test images and 6 of 6 of the others, which the training on all sources learned from.
    others = [(f"a-train-{name[-2:]}", *rest) for name, *rest in images("a", "test", 6)]
    without = outputs(validation + images("a", "test", 3) + others)
    # Without the measures a source that was left out is read the wrong way round; others as well as with them.
    backwards = without.assign(
        pneumonia=np.where(without["part"] == "test", -without["pneumonia"], without["pneumonia"])
    )
    plain = Arm([backwards.sample(frac=1, random_state=0)], [known])
    return measure_left_out("2", "a", Arm([without], [known]), plain, replicates=40)


def test_areas_loss_and_gap_by_hand(found):
    positives, negatives, figures = found
    assert (positives, negatives) == (12, 12)
    assert figures["auc"].value == pytest.approx(9 / 12)
    assert figures["auc_test"].value == pytest.approx(0.5)
    assert figures["auc_known"].value == pytest.approx(1.0)
    assert figures["loss"].value == pytest.approx(0.5)
    assert figures["pooled"].value == pytest.approx(1.0)
    assert figures["gap"].value == pytest.approx(0.25)
    assert figures["gap"].ci_low < 0.25 < figures["gap"].ci_high


def test_what_the_measures_against_shortcuts_change_by_hand(found):
    _, _, figures = found
    assert figures["auc_plain"].value == pytest.approx(3 / 12)
    assert figures["gain"].value == pytest.approx(0.5)
    assert figures["gap_plain"].value == pytest.approx(0.75)
    assert figures["gap_closed"].value == pytest.approx(0.5)
    said = left_out_answer([LeftOut("2", ("a",), "a", *found)])
    assert "The measures against shortcuts change the AUC by +50.0" in said[1]
    assert "by +50.0 points on average: it rises in 1 of 1 and falls in 0" in said[2]
    assert "shrinks in 1 of 1" in said[2]


def test_rates_at_the_threshold_of_the_other_sources(found):
    _, _, figures = found
    # Half-way between 0.2 and 0.8.
    assert figures["sensitivity"].value == pytest.approx(9 / 12)
    assert figures["sensitivity_test"].value == pytest.approx(0.5)
    assert figures["sensitivity_known"].value == pytest.approx(1.0)
    assert figures["specificity"].value == pytest.approx(1.0)


def test_the_goals_are_said_for_sources_with_both_classes_alone(found):
    rates = {"specificity": Estimate(0.9, 0.8, 1.0, 9, 9, "")}
    said = left_out_answer([LeftOut("2", ("a",), "a", *found), LeftOut("3", ("b",), "b", 0, 9, rates)])
    assert len(said) == 3
    assert said[1].startswith("Stage 2, a: AUC 75.0 [")
    assert "missed" in said[1]


def way(*by_seed):
    mean = float(np.mean(by_seed))
    pooled = {"change": Estimate(mean, mean - 0.01, mean + 0.01, 9, 9, "")}
    return Way({OLD: Change(9, 9, pooled, {}, (), by_seed)}, None, None)


@pytest.mark.parametrize(
    ("distilled", "alone", "held"),
    [
        ((-0.002, -0.009), (-0.05, -0.02), True),
        # One seed forgets more.
        ((-0.002, -0.011), (-0.05, -0.02), False),
        # The new images alone forget nothing either: nothing was shown.
        ((-0.002, -0.009), (-0.004, 0.0), False),
    ],
)
def test_the_line_on_forgetting(distilled, alone, held):
    said = sweep_answer({"lambda 0": way(-0.2, -0.2), "lambda 1": way(*distilled), ALONE: way(*alone)})
    assert said[0].endswith(" Held." if held else " Not held.")
    assert "lambda 0," not in said[1]


def test_forgetting_that_was_not_measured_is_said():
    nothing = Way({OLD: None}, None, None)
    assert sweep_answer({"lambda 1": nothing, ALONE: nothing}) == (
        "Forgetting was not measured: the old test images are of one class.",
    )
