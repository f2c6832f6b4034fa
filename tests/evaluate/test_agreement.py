from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cxrscreen.errors import ManifestError, UnreadableImageError
from cxrscreen.evaluate.agreement import Agreement, ask_in_each, choose_precision, measure_agreement
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.run import Question
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.systems.contract import Screening, Stage


def table(scores: np.ndarray) -> pd.DataFrame:
    count = len(scores)
    return pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(count)],
            "source": "hospital",
            "group": [f"g{n}" for n in range(count)],
            "label": "normal",
            "truth": [n % 2 for n in range(count)],
            "score": scores,
        }
    )


def test_flips_differences_and_the_change_of_the_area_are_those_of_a_hand_count() -> None:
    exact = np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.45, 0.55])
    other = exact.copy()
    # One decision flips, and one of the 16 pairs of a positive and a negative changes its order.
    other[6] = 0.56
    found = measure_agreement(table(exact), table(other), 0.5, replicates=50)
    assert (found.images, found.groups) == (8, 8)
    assert found.largest_difference == pytest.approx(0.11)
    assert found.flips.value == pytest.approx(1 / 8)
    assert found.auc_change.value == pytest.approx(-1 / 16)
    assert not found.holds


def test_the_same_scores_agree() -> None:
    scores = np.random.default_rng(0).random(40)
    found = measure_agreement(table(scores), table(scores), 0.5, replicates=50)
    assert found.largest_difference == 0
    assert found.holds
    # No flip among 40 is no proof that none is possible.
    assert found.flips.ci_high is not None
    assert found.flips.ci_high > 0.05


def test_tables_of_other_images_are_not_compared() -> None:
    scores = np.random.default_rng(0).random(10)
    with pytest.raises(ManifestError, match="asked about different images"):
        measure_agreement(table(scores), table(scores).iloc[::-1], 0.5)


def agreement(flips: float, change: float) -> Agreement:
    def estimate(value: float) -> Estimate:
        return Estimate(value, None, None, 500, 500, "made up")

    return Agreement(500, 500, 0.1, estimate(flips), estimate(change))


GOOD, FLIPS, MOVES = agreement(0.005, -0.002), agreement(0.006, 0.0), agreement(0.0, -0.0021)


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        ({"int8": {"pneumonia": GOOD, "covid19": GOOD}, "bf16": {"pneumonia": GOOD}}, "int8"),
        ({"int8": {"pneumonia": GOOD, "covid19": FLIPS}, "bf16": {"pneumonia": GOOD}}, "bf16"),
        ({"int8": {"pneumonia": MOVES}, "bf16": {"pneumonia": FLIPS}}, "f32"),
        ({"int8": {}}, "f32"),
        ({}, "f32"),
    ],
)
def test_the_fastest_that_agrees_in_every_decision_is_chosen(
    measured: Mapping[str, Mapping[str, Agreement]], chosen: str
) -> None:
    assert choose_precision(measured) == chosen  # type: ignore[arg-type]


class Shifted:
    """Gives what a file's name says, and its lungs, shifted."""

    bundle_id = "cascade@test"

    def __init__(self, by: int) -> None:
        self.by = by

    def screen(self, radiograph: Radiograph, *, force: bool, explain: bool) -> Screening:
        assert force
        assert not explain
        mask = np.zeros(radiograph.shape, np.uint8)
        mask[4 + self.by : 8 + self.by] = 1
        score = float(radiograph.provenance.path.stem) / 10 + self.by / 100
        return Screening(
            (Stage("pneumonia", "P", score, 0.5, "youden"),), "normal", score, mask, 0.3, (), "good", (), "b"
        )


def test_each_image_is_asked_once_in_each_precision_and_what_cannot_be_read_in_none() -> None:
    ids = ("1", "2", "3")
    facts = pd.DataFrame({"source": "s", "group": list("abc"), "label": "x"}, index=list(ids))
    manifest = SimpleNamespace(table=facts, image_file=lambda image_id: Path(f"{image_id}.png"))
    question = Question(SimpleNamespace(name="stage2", truth={"1": 0, "2": 1, "3": 0}), ids, "pneumonia")  # type: ignore[arg-type]
    steps: list[None] = []

    def read(path: Path) -> Radiograph:
        if path.stem == "3":
            raise UnreadableImageError("3.png is damaged.")
        return Radiograph(np.zeros((16, 16), np.float32), Provenance(path, "PNG"))

    tables, overlap = ask_in_each(
        {"f32": Shifted(0), "int8": Shifted(1)},  # type: ignore[dict-item]
        read,
        manifest,  # type: ignore[arg-type]
        [question],
        advance=lambda: steps.append(None),
    )
    assert list(tables["f32"]["stage2"]["score"]) == [0.1, 0.2]
    assert list(tables["int8"]["stage2"]["score"]) == pytest.approx([0.11, 0.21])
    assert list(tables["int8"]["stage2"]["truth"]) == [0, 1]
    assert list(overlap["f32"]) == [1.0, 1.0]
    assert list(overlap["int8"]) == pytest.approx([0.75, 0.75])
    assert len(steps) == 3
