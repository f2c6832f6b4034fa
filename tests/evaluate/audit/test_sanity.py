"""Randomised copies of a bundle, the comparison of maps, and the verdict on maps that do and do not depend on it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity as reference_similarity

from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import BundleError
from cxrscreen.evaluate.audit import sanity
from cxrscreen.evaluate.audit.part import AuditData
from cxrscreen.evaluate.audit.randomised import layers_in_order, randomised_copy
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.runtime.engine import load_engine
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.contract import SaliencyMap, Screening, Stage


@pytest.fixture(scope="module")
def bundle():
    return open_bundle("cascade")


def test_the_layers_run_from_the_stem_to_the_classifier(bundle):
    for stage, graphs in (("pneumonia", ["pneumonia"]), ("covid19", ["covid19", "covid19-guided"])):
        for graph in graphs:
            layers = layers_in_order(bundle.file(f"{stage}.safetensors"), bundle.file(f"{graph}.onnx"))
            assert layers[0] == "conv_stem.weight"
            assert layers[-1] == "classifier.weight"
            blocks = [int(name.split(".")[1]) for name in layers if name.startswith("blocks.")]
            assert blocks == sorted(blocks)
            assert set(blocks) == set(range(16))


def test_a_copy_differs_in_the_layers_asked_for_alone_and_runs(bundle, tmp_path):
    copy = randomised_copy(bundle, tmp_path / "last", 0.0, seed=0)
    assert open_bundle(copy.folder).card.files != bundle.card.files
    for stage in bundle.card.stages:
        before, after = (load_file(b.file(f"{stage}.safetensors")) for b in (bundle, copy))
        changed = [name for name in before if not np.array_equal(before[name], after[name])]
        assert changed == ["classifier.weight"]
        assert np.array_equal(np.sort(before[changed[0]].ravel()), np.sort(after[changed[0]].ravel()))
    assert copy.file("lungs.safetensors").read_bytes() == bundle.file("lungs.safetensors").read_bytes()
    image = np.random.default_rng(0).random((1, 1, 160, 160)).astype(np.float32)
    own, other = (load_engine(b.file("pneumonia.onnx"))(image) for b in (bundle, copy))
    assert np.array_equal(own["features"], other["features"])
    assert not np.allclose(own["logits"], other["logits"])


def test_randomising_cascades(bundle, tmp_path):
    half, whole = (randomised_copy(bundle, tmp_path / str(share), share, seed=3) for share in (0.5, 1.0))
    own, some, every = (load_file(b.file("pneumonia.safetensors")) for b in (bundle, half, whole))
    kernels = [name for name in own if own[name].ndim > 1]
    changed = [name for name in kernels if not np.array_equal(own[name], some[name])]
    assert len(changed) == round(len(kernels) / 2)
    assert all(np.array_equal(some[name], every[name]) for name in changed)
    assert not any(np.array_equal(own[name], every[name]) for name in kernels)
    assert all(np.array_equal(own[name], every[name]) for name in own if name not in kernels)


def test_a_bundle_whose_weights_no_graph_names_is_refused(bundle, tmp_path):
    card = bundle.card.model_copy(update={"stages": {"severity": next(iter(bundle.card.stages.values()))}})
    with pytest.raises(BundleError, match="has no severity.safetensors"):
        randomised_copy(replace(bundle, card=card), tmp_path / "a", 1.0, seed=0)
    files = {name: digest for name, digest in bundle.card.files.items() if not name.startswith("pneumonia.onnx")}
    card = bundle.card.model_copy(update={"files": files})
    with pytest.raises(BundleError, match=r"No graph of .* names pneumonia\.safetensors"):
        randomised_copy(replace(bundle, card=card), tmp_path / "b", 1.0, seed=0)


def test_similarity_is_that_of_scikit_image_and_correlation_that_of_scipy():
    rng = np.random.default_rng(0)
    a = rng.random((40, 50)).astype(np.float32)
    b = np.clip(a + 0.3 * rng.normal(size=a.shape), 0, 1).astype(np.float32)
    inside = np.zeros(a.shape, bool)
    inside[8:30, 8:40] = True
    _, full = reference_similarity(
        a.astype(float), b.astype(float), data_range=1, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    assert sanity.structural_similarity(a, b, inside) == pytest.approx(full[inside].mean(), abs=1e-9)
    assert sanity.rank_correlation(a, b, inside) == pytest.approx(spearmanr(a[inside], b[inside]).statistic)
    assert sanity.rank_correlation(a, a**3, inside) == pytest.approx(1.0)
    assert np.isnan(sanity.rank_correlation(a, np.zeros_like(a), inside))
    assert np.isnan(sanity.structural_similarity(a, b, np.zeros_like(inside)))


@given(st.integers(4, 60), st.integers(4, 60))
def test_a_map_moved_and_moved_back_is_itself(rows, columns):
    values = np.random.default_rng(rows).random((rows, columns)).astype(np.float32) + 0.1
    assert np.array_equal(sanity.mirrored(sanity.mirrored(values)), values)
    moved = sanity.shifted_back(sanity.shifted(values))
    seen = moved > 0
    assert seen.mean() >= 0.9 - 1 / columns
    assert np.array_equal(moved[seen], values[seen])


class Mapped:
    """Gives two maps: what is bright in the image, and always the same ring, whatever the image."""

    bundle_id = "mapped@1"

    def __init__(self, *, learnt, bright=1.0):
        self.learnt, self.bright = learnt, np.float32(bright)

    def screen(self, radiograph, *, force=False, explain=True):
        pixels = radiograph.pixels
        bright = pixels if self.learnt else np.random.default_rng(1).random(pixels.shape).astype(np.float32)
        y, x = np.mgrid[-1 : 1 : pixels.shape[0] * 1j, -1 : 1 : pixels.shape[1] * 1j]
        ring = np.exp(-((x - 0.3) ** 2 + (y - 0.2) ** 2)).astype(np.float32)
        maps = (SaliencyMap("bright", "Bright", bright * self.bright, 1.0), SaliencyMap("ring", "Ring", ring, 1.0))
        mask = np.ones(pixels.shape, np.uint8)
        stage = Stage("pneumonia", "Pneumonia", 0.7, 0.5, "youden")
        return Screening((stage,), "normal", 0.7, mask, 1.0, maps, "good", (), self.bundle_id)


def test_a_map_that_ignores_the_network_is_found_out(bundle, monkeypatch):
    monkeypatch.setattr(sanity, "randomised_copy", lambda bundle, folder, share, seed: SimpleNamespace(folder=folder))
    monkeypatch.setattr(sanity, "load_system", lambda folder: Mapped(learnt=False))
    monkeypatch.setattr(sanity, "SHARES", (0.0, 1.0))
    monkeypatch.setattr(sanity, "IMAGES", 6)
    part = sanity.audit_sanity(audit_data(Mapped(learnt=True), bundle))
    assert part.passed is False
    assert "bright passes" in part.finding
    assert "ring fails" in part.finding
    rows = {(row[0], row[1]): row for row in part.tables[0].rows}
    assert rows["ring", "all layers randomised"][3].value == pytest.approx(1.0)
    assert rows["bright", "all layers randomised"][3].value == pytest.approx(0.0, abs=0.1)
    assert rows["bright", "mirrored"][3].value > 0.99
    assert rows["bright", "shifted"][3].value > 0.9
    assert rows["bright", "mirrored"][2] == sanity.IMAGES
    assert len(part.figures) == 1


def test_a_map_that_is_empty_once_all_is_randomised_is_judged_by_the_level_before(bundle, monkeypatch):
    def randomised(folder):
        return Mapped(learnt=False, bright=0.0 if levels.pop() == 1.0 else 1.0)

    levels = [1.0, 0.0]
    monkeypatch.setattr(sanity, "randomised_copy", lambda bundle, folder, share, seed: SimpleNamespace(folder=folder))
    monkeypatch.setattr(sanity, "load_system", randomised)
    monkeypatch.setattr(sanity, "SHARES", (0.0, 1.0))
    monkeypatch.setattr(sanity, "IMAGES", 6)
    part = sanity.audit_sanity(audit_data(Mapped(learnt=True), bundle))
    assert "bright passes (rank correlation: last layer randomised" in part.finding
    assert ("bright", "all layers randomised") not in {(row[0], row[1]) for row in part.tables[0].rows}


def test_without_a_positive_image_nothing_is_said(bundle):
    part = sanity.audit_sanity(audit_data(Mapped(learnt=True), bundle, positives=0))
    assert part.passed is None
    assert part.tables == ()
    assert "No positive" in part.finding


def audit_data(system, bundle, positives=30):
    ids = [f"x{i:02d}" for i in range(40)]
    table = pd.DataFrame({"image_id": ids, "path": ids, "source": "s", "label": "normal"})
    truth = {image_id: int(i < positives) for i, image_id in enumerate(ids)}
    split = SimpleNamespace(truth=truth)
    manifest = check_manifest(table, Path("pack"))
    return AuditData(
        system, bundle, manifest, {"stage2": split}, {("stage2", "test"): tuple(ids)}, noise, 0, 200, print
    )


def noise(path):
    rng = np.random.default_rng(list(path.name.encode()))
    coarse = np.kron(rng.random((16, 16)), np.ones((16, 16)))
    return Radiograph(coarse.astype(np.float32), Provenance(path, "PNG"))
