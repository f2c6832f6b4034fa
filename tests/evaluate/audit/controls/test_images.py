from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.protocols import PARTS, make_split
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.audit.controls import bench
from cxrscreen.evaluate.audit.controls.bench import Bench
from cxrscreen.evaluate.audit.controls.images import SIDE, reduced, small_images
from cxrscreen.evaluate.audit.run import AUDITS, named_audits
from cxrscreen.systems.decisions import decision_for


@pytest.fixture
def make_data(manifest_folder, grey_system, read_grey):
    def make(limit=40, cache=None, read=read_grey):
        manifest = load_manifest(manifest_folder)
        split = make_split("stage2", manifest, 0)
        rng = np.random.default_rng(0)
        chosen = {("stage2", part): tuple(sorted(rng.permutation(split.part(part))[:limit])) for part in PARTS}
        return SimpleNamespace(
            system=grey_system,
            bundle=SimpleNamespace(card=SimpleNamespace(files={"lungs.onnx": "0"})),
            manifest=manifest,
            splits={"stage2": split},
            images=lambda protocol, part="test": chosen[protocol, part],
            radiograph=lambda image_id: read(manifest.image_file(image_id)),
            seed=0,
            replicates=100,
            advance=lambda text: None,
            cache=cache,
            decision=partial(decision_for, "cascade"),
        )

    return make


def test_one_image_is_stretched_and_reduced():
    pixels = np.tile(np.linspace(0.2, 0.6, 300, dtype=np.float32), (200, 1))
    mask = np.zeros((50, 50), np.uint8)
    mask[:, 25:] = 2
    grey, lungs = reduced(pixels, mask)
    assert grey.shape == lungs.shape == (SIDE, SIDE)
    assert (grey.dtype, lungs.dtype) == (np.uint8, np.bool_)
    assert grey[0, 0] == 0
    assert grey[0, -1] == 255
    assert not lungs[:, : SIDE // 2].any()
    assert lungs[:, SIDE // 2 + 1 :].all()


def test_images_of_all_parts_are_read_once_and_then_come_from_the_cache(make_data, tmp_path, read_grey):
    read = []

    def counted(path):
        read.append(path)
        return read_grey(path)

    first = small_images(make_data(cache=tmp_path / "kept", read=counted))
    assert len(read) == len(set(read)) == len(first.image_ids) == 120
    again = small_images(make_data(cache=tmp_path / "kept", read=counted))
    assert len(read) == 120
    np.testing.assert_array_equal(again.pixels, first.pixels)
    np.testing.assert_array_equal(again.lungs, first.lungs)
    assert again.image_ids == first.image_ids
    small_images(make_data(limit=20, cache=tmp_path / "kept", read=counted))
    assert len(read) == 180


def test_masks_of_the_manifest_are_used_only_when_asked(make_data):
    data = make_data()
    own, given = small_images(data), small_images(data, manifest_masks=True)
    masked = np.array([data.manifest.mask_file(i) is not None for i in own.image_ids])
    assert 0 < masked.sum() < len(masked)
    differs = (own.lungs != given.lungs).any(axis=(1, 2))
    np.testing.assert_array_equal(differs, masked)


def test_images_that_cannot_be_read_are_left_out_and_none_is_an_error(make_data):
    data = make_data()
    lost = data.images("stage2")[0]
    whole = data.radiograph

    def radiograph(image_id):
        if image_id == lost:
            raise ManifestError("gone")
        return whole(image_id)

    data.radiograph = radiograph
    images = small_images(data)
    assert lost not in images.image_ids
    assert len(images.rows([lost, images.image_ids[3]])) == 1
    data.radiograph = lambda image_id: (_ for _ in ()).throw(ManifestError("gone"))
    with pytest.raises(ManifestError, match="None of 120"):
        small_images(data)


def test_the_bench_labels_what_was_read(make_data, make_bench):
    data = make_data()
    own = Bench(data, make_bench({"a": (10, 10)}).train).sets["stage2"]
    split = data.splits["stage2"]
    assert own.truth.tolist() == [split.truth[i] for i in own.table["image_id"]]
    for part in PARTS:
        assert set(own.table.loc[own.part(part), "image_id"]) == set(data.images("stage2", part))


def test_a_part_without_one_class_is_one_sentence(make_data, make_bench):
    data = make_data()
    normal = [i for i in data.images("stage2") if data.splits["stage2"].truth[i] == 0]
    all_parts = data.images
    data.images = lambda protocol, part="test": tuple(normal) if part == "test" else all_parts(protocol, part)
    with pytest.raises(ManifestError, match="test part of stage2 lacks a class"):
        _ = Bench(data, make_bench({"a": (10, 10)}).train).sets


def test_every_registered_control_gives_the_part_of_its_name(make_data, make_bench, monkeypatch):
    data = make_data(limit=120)
    small = Bench(data, coarse_trainer(make_bench({"a": (10, 10)}).train))
    monkeypatch.setattr(bench, "bench_of", lambda given: small if given is data else None)
    controls = [audit for audit in AUDITS if audit.trains]
    assert len(controls) == 7
    for control in controls:
        part = control.run(data)
        assert part.name == control.name
        assert part.content()["finding"].endswith(".")


def test_controls_run_only_when_asked():
    assert not any(audit.trains for audit in named_audits([]))
    assert sum(audit.trains for audit in named_audits([], controls=True)) == 7
    assert [audit.name for audit in named_audits(["trained-planted"])] == ["trained-planted"]


def coarse_trainer(train):
    """The linear trainer of 32-pixel pictures, for pictures of 96."""

    def small(images):
        return np.ascontiguousarray(images[:, 1::3, 1::3])

    def fit(images, classes, validation_images, validation_classes, *, seed):
        probe = train(small(images), classes, small(validation_images), validation_classes, seed=seed)
        return lambda pictures: probe(small(pictures))

    return fit
