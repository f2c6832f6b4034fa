"""Figures of three classes against scikit-learn and by hand, averages with a class that is never called, patients."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from cxrscreen.evaluate.several_classes import class_figures, confusion_matrix, evaluate_classes, left_out

CLASSES = ("normal", "covid19", "other")


def table(n=150, seed=0, per_group=1):
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n // per_group, p=[0.5, 0.3, 0.2]).repeat(per_group)
    logits = rng.normal(size=(n // per_group, 3)).repeat(per_group, axis=0) + 1.2 * np.eye(3)[truth]
    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = pd.DataFrame(values, columns=[f"p_{name}" for name in CLASSES])
    groups = [f"g{i // per_group}" for i in range(n)]
    return rows.assign(truth=np.array(CLASSES)[truth], group=groups, source=np.where(np.arange(n) % 2, "a", "b"))


def test_everything_equals_scikit_learn():
    rows = table()
    result = evaluate_classes(rows, CLASSES, replicates=100)
    values = rows[[f"p_{name}" for name in CLASSES]].to_numpy()
    called = np.array(CLASSES)[values.argmax(axis=1)]
    assert (
        np.array(result.confusion).tolist()
        == reference.confusion_matrix(rows["truth"], called, labels=CLASSES).tolist()
    )
    assert result.accuracy.value == pytest.approx(reference.accuracy_score(rows["truth"], called), abs=1e-9)
    for average, ours in (("macro", result.macro), ("weighted", result.weighted)):
        precision, recall, f1, _ = reference.precision_recall_fscore_support(rows["truth"], called, average=average)
        codes = pd.Categorical(rows["truth"], CLASSES).codes
        area = reference.roc_auc_score(codes, values, multi_class="ovr", average=average)
        assert ours["precision"].value == pytest.approx(precision, abs=1e-9)
        assert ours["sensitivity"].value == pytest.approx(recall, abs=1e-9)
        assert ours["f1"].value == pytest.approx(f1, abs=1e-9)
        assert ours["auc"].value == pytest.approx(area, abs=1e-9)
    balanced = reference.balanced_accuracy_score(rows["truth"], called)
    assert result.macro["sensitivity"].value == pytest.approx(balanced, abs=1e-9)
    for name in CLASSES:
        own = reference.precision_recall_fscore_support(rows["truth"] == name, called == name, average="binary")
        figures = result.by_class[name]
        got = [figures[key].value for key in ("precision", "sensitivity", "f1")]
        assert got == pytest.approx(own[:3], abs=1e-9)
        rest = reference.recall_score(rows["truth"] != name, called != name)
        assert figures["specificity"].value == pytest.approx(rest, abs=1e-9)
        area = reference.roc_auc_score(rows["truth"] == name, rows[f"p_{name}"])
        assert figures["auc"].value == pytest.approx(area, abs=1e-9)
        half = rows[rows["source"] == "a"]
        area = reference.roc_auc_score(half["truth"] == name, half[f"p_{name}"])
        assert result.within["a"][name].value == pytest.approx(area, abs=1e-9)
        assert figures["auc"].ci_low < figures["auc"].value < figures["auc"].ci_high


def test_a_hand_computed_example():
    rows = pd.DataFrame(
        {
            "p_a": [0.6, 0.5, 0.1, 0.2, 0.4],
            "p_b": [0.3, 0.4, 0.8, 0.3, 0.35],
            "p_c": [0.1, 0.1, 0.1, 0.5, 0.25],
            "truth": ["a", "b", "b", "c", "c"],
            "group": list("12345"),
            "source": "x",
        }
    )
    result = evaluate_classes(rows, ["a", "b", "c"], replicates=20)
    assert result.confusion == ((1, 0, 0), (1, 1, 0), (1, 0, 1))
    assert result.support == (1, 2, 2)
    assert result.by_class["a"]["precision"].value == pytest.approx(1 / 3)
    assert result.by_class["b"]["f1"].value == pytest.approx(2 / 3)
    # b against the rest: 0.4 beats 0.3, 0.3 and 0.35; 0.8 beats all three.
    assert result.by_class["b"]["auc"].value == pytest.approx(1.0)
    assert result.macro["sensitivity"].value == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert result.weighted["sensitivity"].value == pytest.approx(3 / 5)
    assert result.accuracy.value == pytest.approx(3 / 5)


def test_a_class_never_called_has_no_precision_and_a_class_without_images_no_auc():
    rows = table(40).assign(p_other=0.0)
    rows[["p_normal", "p_covid19"]] = [[0.7, 0.3], [0.2, 0.8]] * 20
    result = evaluate_classes(rows, CLASSES, replicates=50)
    assert result.by_class["other"]["precision"].value is None
    assert result.macro["precision"].value is None
    assert result.macro["f1"].value is not None
    assert left_out(result)[0].endswith("no mean of it over classes exist: other.")
    missing = evaluate_classes(rows[rows["truth"] != "other"], CLASSES, replicates=50)
    assert missing.by_class["other"]["auc"].value is None
    assert missing.macro["auc"].value is None
    assert missing.weighted["auc"].value is not None


def test_resamples_that_an_average_leaves_out_are_counted():
    # The one image called "other" is drawn in about 63 of 100 resamples; in the others the class has no precision.
    rows = table(60, 3).assign(p_other=0.0)
    rows.loc[0, "p_other"] = 9.0
    result = evaluate_classes(rows, CLASSES, replicates=400)
    count = result.macro["precision"].degenerate
    assert 100 < count < 200
    assert left_out(result)[0].endswith(f"{count} of 400 resamples in which a class has none (macro precision).")
    assert left_out(evaluate_classes(table(), CLASSES, replicates=50)) == ()


def test_intervals_are_by_patient():
    by_patient = evaluate_classes(table(160, 1, per_group=4), CLASSES, replicates=300)
    by_image = evaluate_classes(
        table(160, 1, per_group=4).assign(group=[str(i) for i in range(160)]), CLASSES, replicates=300
    )

    def width(estimate):
        return estimate.ci_high - estimate.ci_low

    assert width(by_patient.macro["auc"]) > 1.5 * width(by_image.macro["auc"])
    assert width(by_patient.accuracy) > 1.5 * width(by_image.accuracy)
    assert by_patient.macro["auc"].groups == 40


def test_weights_repeat_images():
    rows = table(30, 2)
    truth = pd.Categorical(rows["truth"], CLASSES).codes.astype(int)
    values = rows[[f"p_{name}" for name in CLASSES]].to_numpy()
    repeats = np.random.default_rng(0).integers(0, 4, 30)
    weighted = class_figures(truth, values, repeats[None].astype(float))
    plain = class_figures(truth.repeat(repeats), values.repeat(repeats, axis=0), np.ones((1, repeats.sum())))
    for name, figure in weighted.items():
        assert figure[0] == pytest.approx(plain[name][0], abs=1e-12, nan_ok=True)


def test_confusion_counts_rows_by_truth():
    assert confusion_matrix([0, 0, 1, 2], [0, 1, 1, 0], 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_what_is_no_class_is_refused():
    with pytest.raises(ValueError, match="one of the classes"):
        evaluate_classes(table(20).assign(truth="flu"), CLASSES, replicates=10)
