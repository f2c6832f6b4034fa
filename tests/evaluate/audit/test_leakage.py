"""A split with planted leaks: each is found and counted, and a clean one passes."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrscreen.data.manifest import check_manifest
from cxrscreen.evaluate.audit.leakage import across_parts, audit_leakage, contact_sheet, shared_patients
from cxrscreen.evaluate.audit.part import AuditData
from cxrscreen.imaging.radiograph import Provenance, Radiograph


def picture(seed):
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8))
    return coarse.resize((80, 80), Image.Resampling.BICUBIC)


def read(path):
    with Image.open(path) as image:
        return Radiograph(np.asarray(image, np.float32) / 255, Provenance(path, "PNG"))


@pytest.fixture
def planted(tmp_path):
    """Ten pictures: train 0-4, validation 5-6, test 7-9; test 9 is a resized copy of train 0, 8 the same file as 5."""
    for i in range(8):
        picture(i).save(tmp_path / f"{i}.png")
    (tmp_path / "8.png").write_bytes((tmp_path / "5.png").read_bytes())
    picture(0).resize((48, 48)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "9.png")
    return tmp_path


def audit_data(root, patients, images=10):
    ids = [f"i{i}" for i in range(images)]
    table = pd.DataFrame(
        {"image_id": ids, "path": [f"{i}.png" for i in range(images)], "source": "s", "label": "normal"}
    )
    manifest = check_manifest(table, root)
    manifest.table["patient_id"] = patients[:images]
    parts = {"train": tuple(ids[:5]), "validation": tuple(ids[5:7]), "test": tuple(ids[7:])}
    split = SimpleNamespace(part=parts.__getitem__)
    chosen = {("stage2", part): members for part, members in parts.items()}
    return AuditData(None, None, manifest, {"stage2": split}, chosen, read, 0, 100, lambda text: None)


def test_every_planted_leak_is_counted_between_its_parts(planted):
    part = audit_leakage(audit_data(planted, ["p", "", "", "", "", "q", "", "q", "r", "p"]))
    assert part.passed is False
    assert part.tables[0].rows == (
        ("stage2", "train / validation", 0, 0, 0),
        ("stage2", "train / test", 1, 0, 1),
        ("stage2", "validation / test", 1, 1, 0),
    )
    listed = {frozenset(row[:2]): row for row in part.tables[1].rows}
    assert listed[frozenset({"i0", "i9"})][2] == "train / test"
    assert listed[frozenset({"i0", "i9"})][5] is True
    assert listed[frozenset({"i5", "i8"})][3] == pytest.approx(1.0, abs=1e-3)
    assert "2 patients, 1 equal files and 1 near-copies" in part.finding
    assert "5 images have no patient number" in part.finding
    assert part.tables[-1].rows == (("s", "normal", 5, 2, 3, 10),)


def test_a_clean_split_passes(planted):
    part = audit_leakage(audit_data(planted, list("abcdefgh"), images=8))
    assert part.passed is True
    assert len(part.tables) == 2
    assert "sample" not in part.finding


def test_a_sample_is_said_to_be_one(planted):
    data = audit_data(planted, list("abcdefgh"), images=8)
    data.chosen["stage2", "train"] = ("i0", "i1")
    assert "Only a sample" in audit_leakage(data).finding


def test_pairs_within_a_part_are_no_leak():
    pairs = pd.DataFrame({"first": ["a", "a", "c"], "second": ["b", "c", "x"], "correlation": 1.0})
    across = across_parts(pairs, {"a": "test", "b": "test", "c": "train"})
    assert across[["first", "second", "parts"]].to_numpy().tolist() == [["a", "c", "train / test"]]
    assert len(across_parts(pairs.iloc[:0], {"a": "test"})) == 0


def test_a_patient_number_is_one_hospitals_own():
    table = pd.DataFrame({"source": ["s", "t", "s", "s"], "patient_id": ["1", "1", "", ""]}, index=["a", "b", "c", "d"])
    parts = {"a": "train", "b": "test", "c": "train", "d": "test"}
    assert shared_patients(table, parts, "train", "test") == set()
    table.loc["b", "source"] = "s"
    assert shared_patients(table, parts, "train", "test") == {("s", "1")}


def test_the_contact_sheet_is_made_only_when_asked_for(planted):
    data = audit_data(planted, [""] * 10)
    assert audit_leakage(data).figures == ()
    pairs = pd.DataFrame({"first": ["i0", "i5"], "second": ["i9", "i8"], "correlation": [0.9, 1.0]})
    sheet = contact_sheet(data, pairs)
    assert sum(bool(axes.get_images()) for axes in sheet.figure.axes) == 4
    assert sheet.alt.startswith("2 pairs")
    assert Path(planted / "0.png").exists()
