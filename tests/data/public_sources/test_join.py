"""Several manifests become one."""

import pandas as pd
import pytest

from cxrscreen.data.disease_masks import load_boxes
from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.public_sources import SourceError, build_manifest, join_manifests
from cxrscreen.errors import ManifestError


@pytest.fixture
def manifest_of(lay, tmp_path):
    def make(name, folder="parts"):
        out = tmp_path / folder / name / f"{name}.csv"
        build_manifest(name, lay(name), out)
        return out

    return make


def test_paths_and_boxes_are_rebased_and_copies_linked_to_the_manifest_named_first(manifest_of, tmp_path):
    rsna, nih, covidx = (manifest_of(name) for name in ("rsna", "nih", "covidx"))
    out = tmp_path / "all" / "manifest.csv"
    joined = join_manifests([rsna, nih, covidx], out)
    manifest = load_manifest(out)
    assert joined.images == (4, 4, 5)
    assert len(manifest.table) == 13
    assert all(manifest.image_file(image_id).is_file() for image_id in manifest.table.index)
    links = {i: of for i, of in manifest.table["duplicate_of"].items() if of}
    assert links == {
        "nih/00000001_000": "rsna/aaaa",
        "nih/00000001_001": "rsna/bbbb",
        "nih/00000013_000": "rsna/cccc",
        "nih/00000017_000": "rsna/47c78742-4998-4878-aec4-37b11b1354ac",
        "covidx/47c78742-4998-4878-aec4-37b11b1354ac": "rsna/47c78742-4998-4878-aec4-37b11b1354ac",
    }
    assert joined.copies == 5
    groups = manifest.table["group"]
    assert groups["nih/00000001_000"] == groups["rsna/bbbb"] == groups["rsna/aaaa"]
    assert len(load_boxes(out.parent / "boxes.csv")) == joined.boxes == 3
    other_way = join_manifests([nih, rsna], tmp_path / "other" / "manifest.csv")
    assert other_way.copies == 4
    assert load_manifest(tmp_path / "other").table.at["rsna/aaaa", "duplicate_of"] == "nih/00000001_000"


def test_copies_of_an_image_that_is_in_neither_manifest_are_linked_too(manifest_of, tmp_path):
    join_manifests([manifest_of("covidx"), manifest_of("coronahack")], tmp_path / "m.csv")
    assert load_manifest(tmp_path / "m.csv").table.at["coronahack/a-1", "duplicate_of"] == "covidx/a-1"


def test_boxes_of_manifests_that_are_not_joined_stay(lay, tmp_path):
    for name in ("nih", "rsna", "hannover"):
        build_manifest(name, lay(name), tmp_path / "out" / f"{name}.csv")
    names = ("rsna.csv", "hannover.csv")
    joined = join_manifests([tmp_path / "out" / name for name in names], tmp_path / "out" / "all.csv")
    assert joined.boxes == 2
    boxes = load_boxes(tmp_path / "out" / "boxes.csv")
    assert sorted(boxes["image_id"].str.split("/").str[0]) == ["nih", "rsna", "rsna"]


def test_a_circle_of_copies_ends(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        text = f"image_id,path,source,label,copy_of\n{name}1,{name}.png,{name},normal,{other}1\n"
        (tmp_path / f"{name}.csv").write_text(text)
    joined = join_manifests([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "m.csv")
    assert len(load_manifest(tmp_path / "m.csv").table) == 2
    assert joined.copies <= 1


def test_masks_are_rebased(manifest_of, tmp_path):
    out = tmp_path / "elsewhere" / "deep" / "m.csv"
    join_manifests([manifest_of("radiography"), manifest_of("hannover")], out)
    assert load_manifest(out).mask_file("radiography/COVID-1").is_file()


def test_the_same_image_id_is_refused_or_prefixed(manifest_of, tmp_path):
    one = manifest_of("kermany")
    table = pd.read_csv(one, dtype=str, keep_default_na=False)
    table.loc[1, "duplicate_of"] = table.loc[0, "image_id"]
    other = one.with_name("other.csv")
    table.to_csv(other, index=False)
    with pytest.raises(SourceError, match=r"kermany/\S+ is in two of the manifests \(6 ids are\): give --prefix"):
        join_manifests([one, other], tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()
    joined = join_manifests([one, other], tmp_path / "m.csv", prefix=True)
    rows = load_manifest(tmp_path / "m.csv").table
    assert joined.copies == 0
    assert set(rows["image_id"].str.split(":").str[0]) == {"kermany", "other"}
    assert rows["duplicate_of"].str.startswith("other:").sum() == 1


def test_manifests_without_the_extra_columns_join(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"image_id,path,source,label\n{name}1,{name}.png,{name},normal\n")
    joined = join_manifests([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "out" / "m.csv")
    assert joined.images == (1, 1)
    assert list(load_manifest(tmp_path / "out" / "m.csv").table["path"]) == ["../a.png", "../b.png"]


def test_mistakes_are_one_sentence(manifest_of, tmp_path):
    one, other = manifest_of("hannover"), manifest_of("figure1")
    for files, out, sentence in (
        ([one], tmp_path / "m.csv", "at least two"),
        ([one, other], one, "is one of the manifests to join"),
    ):
        with pytest.raises(SourceError, match=sentence):
            join_manifests(files, out)
    with pytest.raises(ManifestError, match="No manifest at"):
        join_manifests([one, tmp_path / "gone.csv"], tmp_path / "m.csv")
    twin = tmp_path / "twin" / one.name
    twin.parent.mkdir()
    twin.write_text(one.read_text())
    with pytest.raises(SourceError, match="same file name"):
        join_manifests([one, twin], tmp_path / "m.csv", prefix=True)
