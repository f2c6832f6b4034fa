"""A system whose features give the source away is found out, one whose features do not is not."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cxrscreen.data.manifest import check_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import UnreadableImageError
from cxrscreen.evaluate.audit.part import AuditData
from cxrscreen.evaluate.audit.sources import (
    MOST,
    audit_sources,
    predict_sources,
    sample_by_source,
    trivial_features,
)
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.imaging.radiograph import Provenance, Radiograph

COUNTS = (("a", "normal", 120), ("b", "normal", 100), ("c", "normal", 900), ("d", "normal", 20), ("a", "covid19", 60))
GREY = {"a": 0.2, "b": 0.5, "c": 0.8, "d": 0.1}


class Features:
    bundle_id = "fake@1"

    def __init__(self, leaks):
        self.leaks = leaks

    def features(self, radiograph):
        rng = np.random.default_rng(list(str(radiograph.provenance.path).encode()))
        noise = rng.normal(size=20).astype(np.float32)
        return {"pneumonia": noise + 10 * self.leaks * radiograph.pixels.mean(), "covid19": noise}


def audit_data(leaks, read=None, counts=COUNTS):
    rows = [
        (f"{source}/{label}{i}", f"{source}/{label}{i}.png", source, f"{label}{i // 2}", label)
        for source, label, count in counts
        for i in range(count)
    ]
    table = pd.DataFrame(rows, columns=["image_id", "path", "source", "patient_id", "label"])
    manifest = check_manifest(table, Path("pack"))
    bundle = SimpleNamespace(card=SimpleNamespace(system="cascade"))
    splits = {name: make_split(name, manifest) for name in ("stage2", "stage3")}
    chosen = {(name, part): split.part(part) for name, split in splits.items() for part in ("validation", "test")}
    return AuditData(Features(leaks), bundle, manifest, splits, chosen, read or grey, 0, 200, lambda text: None)


def grey(path):
    return Radiograph(np.full((24, 24), GREY[path.parent.name], np.float32), Provenance(path, "PNG"))


def test_features_that_tell_the_source_fail_and_stages_without_two_sources_are_named():
    part = audit_sources(audit_data(leaks=1))
    assert part.passed is False
    total, by_source = part.tables
    own, trivial, control = (row[1] for row in total.rows)
    assert own.value > 0.95
    assert trivial.value == pytest.approx(1.0)
    assert control.ci_low < 1 / 3 < control.ci_high
    assert [row[0] for row in by_source.rows] == ["a", "b", "c"]
    assert by_source.rows[2][1] == MOST
    assert "covid19: fewer than two sources" in part.finding
    assert f"{own.value:.2f} [" in part.finding
    assert len(part.figures) == 1


def test_features_without_the_source_pass_though_the_raw_image_tells_it():
    part = audit_sources(audit_data(leaks=0))
    assert part.passed is True
    own, trivial, _ = (row[1] for row in part.tables[0].rows)
    assert own.ci_low < 1 / 3
    assert trivial.value == pytest.approx(1.0)


def test_without_two_large_sources_nothing_is_said():
    part = audit_sources(audit_data(leaks=1, counts=(("a", "normal", 200), ("d", "normal", 20), ("a", "covid19", 60))))
    assert part.passed is None
    assert part.tables == ()


def test_images_that_cannot_be_read_are_left_out():
    def sometimes(path):
        if path.stem.endswith("7"):
            raise UnreadableImageError("damaged")
        return grey(path)

    data = audit_data(leaks=1, read=sometimes)
    part = audit_sources(data)
    readable = [i for i in sample_by_source(data, "stage2") if not i.endswith("7")]
    assert sum(row[1] for row in part.tables[1].rows) == len(readable) < len(sample_by_source(data, "stage2"))


def test_the_sample_trained_nothing_and_is_of_one_label():
    data = audit_data(leaks=1)
    sample = sample_by_source(data, "stage2")
    assert set(sample) <= {*data.images("stage2", "validation"), *data.images("stage2", "test")}
    assert not [i for i in sample if "covid19" in i]
    assert sample == sample_by_source(data, "stage2")


def test_balanced_accuracy_is_the_mean_recall_of_the_confusion_matrix():
    rng = np.random.default_rng(0)
    sources = np.repeat(["x", "y"], [60, 40])
    features = rng.normal(size=(100, 3)) + (sources == "x")[:, None]
    groups = np.array([str(i // 2) for i in range(100)])
    reading = predict_sources(features, sources, groups, seed=0, replicates=200)
    recalls = np.diag(reading.confusion) / reading.confusion.sum(axis=1)
    assert reading.accuracy.value == pytest.approx(recalls.mean(), abs=1e-12)
    assert [r.value for r in reading.recalls] == pytest.approx(recalls.tolist(), abs=1e-12)
    assert isinstance(reading.accuracy, Estimate)
    assert reading.accuracy.groups == 50
    assert reading.accuracy.ci_low < reading.accuracy.value < reading.accuracy.ci_high


def test_no_patient_is_on_both_sides_of_a_fold():
    # Each patient's two images carry a mark of his own and sources are random: only a leak of patients could tell them.
    rng = np.random.default_rng(1)
    groups = np.repeat([str(i) for i in range(60)], 2)
    sources = np.repeat(rng.choice(["x", "y"], 60), 2)
    reading = predict_sources(np.eye(60).repeat(2, axis=0), sources, groups, seed=0, replicates=200)
    assert reading.accuracy.value < 0.65


def test_trivial_features_are_the_grey_values_and_the_histogram():
    values = trivial_features(np.full((40, 60), 0.5, np.float32))
    assert values.shape == (16 * 16 + 32,)
    assert values[:256] == pytest.approx(0.5)
    assert values[256:].sum() == pytest.approx(1.0)
    assert values[256 + 16] == pytest.approx(1.0)
