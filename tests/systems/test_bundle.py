from pathlib import Path

import pytest
import yaml

from cxrscreen.errors import BundleError, RecipeError
from cxrscreen.systems.bundle import begin_bundle, open_bundle, sha256_of
from cxrscreen.systems.registry import load_system

CARD = {
    "format": 1,
    "name": "cascade",
    "version": "1.2.3",
    "system": "cascade",
    "created": "2026-01-01",
    "summary": "s",
    "intended_use": "i",
    "not_for": [],
    "limits": [],
    "licence": "l",
    "preprocessing": {"working_side": 224},
    "stages": {
        "pneumonia": {
            "operating_points": {"youden": {"threshold": 0.4, "rule": "youden", "site": "validation"}},
            "default": "youden",
        }
    },
    "data": {"images_sha256": "0", "splits": {}, "seed": 0, "images": {}, "licences": []},
    "recipe": {},
    "results": {},
    "files": {},
}


def bundle(folder, **changes):
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(b"weights")
    content = CARD | {"files": {"weights.bin": sha256_of(folder / "weights.bin")}} | changes
    (folder / "card.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_a_bundle_is_opened_with_its_operating_points(tmp_path):
    opened = open_bundle(bundle(tmp_path / "b"))
    assert opened.card.bundle_id == "cascade@1.2.3"
    assert opened.card.stages["pneumonia"].point().threshold == 0.4
    assert opened.file("weights.bin").read_bytes() == b"weights"


def test_an_altered_file_is_noticed(tmp_path):
    folder = bundle(tmp_path / "b")
    (folder / "weights.bin").write_bytes(b"other")
    with pytest.raises(BundleError, match="weights.bin of the bundle b was altered"):
        open_bundle(folder)


def test_a_missing_file_is_named(tmp_path):
    folder = bundle(tmp_path / "b")
    (folder / "weights.bin").unlink()
    with pytest.raises(BundleError, match="lacks weights.bin"):
        open_bundle(folder)


def test_a_wrong_card_says_where(tmp_path):
    stages = {"pneumonia": {"operating_points": {"y": {"threshold": 3, "rule": "r", "site": "s"}}, "default": "y"}}
    with pytest.raises(BundleError, match="wrong at stages.pneumonia.operating_points.y.threshold"):
        open_bundle(bundle(tmp_path / "b", stages=stages))


@pytest.mark.parametrize("content", [b": :", b"\xff\xfe", b"[1, 2]", b"", b"created: 2026-13-45"])
def test_a_card_that_is_no_card_is_refused(tmp_path, content):
    folder = bundle(tmp_path / "b")
    (folder / "card.yaml").write_bytes(content)
    with pytest.raises(BundleError):
        open_bundle(folder)


def test_an_unknown_bundle_and_system_are_named(tmp_path):
    with pytest.raises(BundleError, match="no bundle 'nothing-here'"):
        open_bundle("nothing-here")
    with pytest.raises(BundleError, match="system 'oracle'"):
        load_system(bundle(tmp_path / "b", system="oracle"))
    with pytest.raises(BundleError, match="has no card.yaml"):
        open_bundle(tmp_path)


def test_a_default_that_is_no_operating_point_is_refused(tmp_path):
    stages = {"pneumonia": CARD["stages"]["pneumonia"] | {"default": "best"}}
    with pytest.raises(BundleError, match="'best' is no operating point"):
        open_bundle(bundle(tmp_path / "b", stages=stages))


def test_a_preprocessing_of_another_version_is_refused(tmp_path):
    with pytest.raises(BundleError, match="preprocessing that this version does not know"):
        load_system(bundle(tmp_path / "b"))


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_bundle(tmp_path, monkeypatch):
    (tmp_path / "cascade").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_bundle("cascade").card.name == "cascade"


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_a_folder_that_cannot_be_replaced_is_refused(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="cannot take the place of"):
        begin_bundle(Path(out))
    assert not list(tmp_path.iterdir())
