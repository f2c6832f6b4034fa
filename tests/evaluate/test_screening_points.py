import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.evaluate.metrics import auc, equal_error_rate, sensitivity_at_specificity
from cxrscreen.evaluate.screening_points import POINTS, carried_over, compare_points, screening_points


def drawn(apart: float, seed: int = 0, count: int = 60) -> pd.DataFrame:
    """Two sources, the second without negatives; a third of the images is positive."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 3 == 0
    sources = np.where(truth & (np.arange(count) % 2 == 0), "b", "a")
    ids = [f"i{number:03d}" for number in range(count)]
    score = 1 / (1 + np.exp(-(rng.normal(size=count) + apart * truth)))
    return pd.DataFrame({"image_id": ids, "source": sources, "group": ids, "truth": truth.astype(int), "score": score})


def test_figures_are_the_plain_ones_averaged_over_trainings():
    tables = [drawn(1.5, seed) for seed in (1, 2)]
    found = screening_points(tables, replicates=50)
    for name, figure in {
        "sensitivity_0.99": lambda t: sensitivity_at_specificity(t["truth"], t["score"], 0.99),
        "sensitivity_0.90": lambda t: sensitivity_at_specificity(t["truth"], t["score"], 0.90),
        "equal_error_rate": lambda t: equal_error_rate(t["truth"], t["score"]),
        "auc": lambda t: auc(t["truth"], t["score"]),
    }.items():
        each = [figure(table) for table in tables]
        assert found.by_training[name] == pytest.approx(each)
        assert found.pooled[name].value == pytest.approx(np.mean(each))
        assert found.pooled[name].ci_low <= found.pooled[name].value <= found.pooled[name].ci_high
    assert set(found.pooled) == set(POINTS)
    assert (found.positives, found.negatives) == (20, 40)


def test_within_counts_sources_with_both_classes_alone():
    table = drawn(1.5)
    found = screening_points([table], replicates=50)
    own = table[table["source"] == "a"]
    assert found.sources == ("a",)
    assert found.within["auc"].value == pytest.approx(auc(own["truth"], own["score"]))
    assert screening_points([table[table["source"] == "b"]], replicates=50).pooled == {}


def test_rows_may_come_in_any_order_but_must_be_the_same_images():
    table = drawn(1.0)
    shuffled = table.sample(frac=1, random_state=1)
    assert screening_points([table, shuffled], replicates=20) == screening_points([table, table], replicates=20)
    with pytest.raises(ValueError, match="same images"):
        screening_points([table, table.iloc[1:]])
    with pytest.raises(ValueError, match="same images"):
        compare_points([table], [table.iloc[1:]])


def test_a_better_variant_shows_in_the_paired_difference():
    worse, better = [drawn(0.5, seed) for seed in (1, 2)], [drawn(3.0, seed) for seed in (1, 2)]
    found = compare_points(worse, better, replicates=200)
    assert found["auc"].ci_low > 0
    assert found["equal_error_rate"].ci_high < 0
    assert found["within auc"].value > 0
    none = compare_points(worse, worse, replicates=20)
    assert all((each.value, each.ci_low, each.ci_high) == (0, 0, 0) for each in none.values())
    assert compare_points([worse[0][worse[0]["truth"] == 1]], [better[0][better[0]["truth"] == 1]]) == {}


def test_a_threshold_is_carried_over_from_other_images():
    # At 90 % specificity one negative may be called: the threshold lies at 0.41, else at 0.475.
    scores = [*np.arange(10) / 20, 0.42, *np.arange(11, 20) / 20]
    ids = [f"v{number}" for number in range(20)]
    chosen_on = pd.DataFrame({"image_id": ids, "truth": [0] * 10 + [1] * 10, "score": scores})
    measured = pd.DataFrame(
        {
            "image_id": list("abcd"),
            "source": "s",
            "group": list("abcd"),
            "truth": [1, 1, 1, 0],
            "score": [0.9, 0.43, 0.2, 0.6],
        }
    )
    strict, loose = carried_over([chosen_on], [measured])
    assert (strict.specificity, loose.specificity) == ("0.99", "0.90")
    assert strict.sensitivity.value == pytest.approx(1 / 3)
    assert loose.sensitivity.value == pytest.approx(2 / 3)
    assert loose.reached.value == 0
    positives = carried_over([chosen_on], [measured.iloc[:3]])[0]
    assert positives.reached.value is None


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=4, max_size=30))
def test_more_specificity_never_finds_more(rows):
    truth = [int(positive) for positive, _ in rows]
    if len(set(truth)) < 2:
        return
    ids = [f"{number:02d}" for number in range(len(rows))]
    table = pd.DataFrame(
        {"image_id": ids, "source": "s", "group": ids, "truth": truth, "score": [score for _, score in rows]}
    )
    found = screening_points([table], replicates=5).pooled
    assert found["sensitivity_0.99"].value <= found["sensitivity_0.90"].value
    assert 0 <= found["equal_error_rate"].value <= 1
