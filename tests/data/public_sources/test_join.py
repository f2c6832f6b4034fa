"""Several manifests become one."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cxrscreen.data.disease_masks import load_boxes
from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.public_sources import COPY_OF, SourceError, build_manifest, join_manifests
from cxrscreen.data.public_sources.join import UNPREFIXED, _link
from cxrscreen.errors import ManifestError


@pytest.fixture
def manifest_of(lay, tmp_path):
    def make(name, folder="parts"):
        out = tmp_path / folder / name / f"{name}.csv"
        build_manifest(name, lay(name), out)
        return out

    return make


def written(folder, name, *rows):
    """A manifest of rows of image_id, source, copy_of and duplicate_of."""
    table = pd.DataFrame(rows, columns=["image_id", "source", "copy_of", "duplicate_of"])
    table.assign(path="x.png", label="normal").to_csv(folder / f"{name}.csv", index=False)
    return folder / f"{name}.csv"


def links_of(manifest):
    return {i: of for i, of in load_manifest(manifest).table["duplicate_of"].items() if of}


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
    assert set(rows["image_id"].str.split(":").str[0]) == {"kermany", "other"}
    # The same images are linked, and what the second manifest calls one image is one in the first too.
    assert joined.copies == 6
    assert (rows["duplicate_of"] == "").sum() == 5
    assert rows["group"].nunique() <= 5
    third = tmp_path / "again.csv"
    join_manifests([one, tmp_path / "m.csv"], third)
    assert (load_manifest(third).table["duplicate_of"] == "").sum() == 5


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


def test_a_copy_with_a_duplicate_of_its_own_joins_both_to_the_original(tmp_path):
    a = written(tmp_path, "a", ("cohen/x", "cohen", "", ""))
    b = written(tmp_path, "b", ("covidx/1", "covidx", "", ""), ("covidx/2", "covidx", "cohen/x", "covidx/1"))
    assert join_manifests([a, b], tmp_path / "m.csv").copies == 1
    assert links_of(tmp_path / "m.csv") == {"covidx/1": "cohen/x", "covidx/2": "covidx/1"}


def test_two_duplicates_that_copy_one_image_leave_one_of_them(tmp_path):
    a = written(tmp_path, "a", ("covidx/1", "covidx", "cohen/k", "covidx/2"), ("covidx/2", "covidx", "cohen/k", ""))
    b = written(tmp_path, "b", ("own/1", "own", "", ""))
    join_manifests([a, b], tmp_path / "m.csv")
    assert links_of(tmp_path / "m.csv") == {"covidx/1": "covidx/2"}


def test_what_links_two_earlier_manifests_leaves_the_image_of_the_first(tmp_path):
    a = written(tmp_path, "a", ("a/1", "a", "", ""))
    b = written(tmp_path, "b", ("b/1", "b", "", ""))
    c = written(tmp_path, "c", ("c/1", "c", "a/1", ""), ("c/2", "c", "b/1", "c/1"))
    join_manifests([a, b, c], tmp_path / "m.csv")
    assert links_of(tmp_path / "m.csv") == {"c/1": "a/1", "c/2": "c/1", "b/1": "a/1"}


def test_one_id_is_one_image_within_a_source_and_tells_nothing_between_two(tmp_path):
    a = written(tmp_path, "a", ("1", "here", "", ""), ("2", "here", "", ""))
    b = written(tmp_path, "b", ("1", "there", "", ""), ("2", "here", "", ""))
    c = written(tmp_path, "c", ("3", "copies", "1", ""), ("4", "copies", "1", ""))
    assert join_manifests([a, b, c], tmp_path / "m.csv", prefix=True).copies == 2
    # Of which image 1 the copies are is not known, but that they are of one is.
    assert links_of(tmp_path / "m.csv") == {"b:2": "a:2", "c:4": "c:3"}


def test_a_later_join_knows_copies_of_prefixed_images(tmp_path):
    parts = [written(tmp_path, name, (f"cohen/{name}", "cohen", "", "")) for name in ("a", "b")]
    join_manifests(parts, tmp_path / "both.csv", prefix=True)
    covidx = written(tmp_path, "covidx", ("covidx/b", "covidx", "cohen/b", ""))
    join_manifests([tmp_path / "both.csv", covidx], tmp_path / "m.csv")
    assert links_of(tmp_path / "m.csv") == {"covidx/b": "b:cohen/b"}
    plain = join_manifests([parts[0], covidx], tmp_path / "plain.csv")
    assert plain.copies == 0
    assert "unprefixed_id" not in load_manifest(tmp_path / "plain.csv").table.columns


NAMES = ("s/0", "s/1", "t/0", "t/1", "gone/0")
ROWS = st.dictionaries(
    st.sampled_from(NAMES[:4]), st.tuples(st.sampled_from(("", *NAMES)), st.sampled_from(("", *NAMES[:4]))), min_size=1
)


@given(st.lists(ROWS, min_size=2, max_size=3))
def test_of_any_linked_images_exactly_one_stays(manifests):
    rows = [
        (number, name, name[0], copied, twin if twin in content else "")
        for number, content in enumerate(manifests)
        for name, (copied, twin) in content.items()
    ]
    ids = [f"m{number}:{name}" for number, name, *_ in rows]
    table = pd.DataFrame([row[1:] for row in rows], columns=[UNPREFIXED, "source", COPY_OF, "duplicate_of"])
    table["image_id"] = ids
    table["duplicate_of"] = [f"m{number}:{twin}" if twin else "" for number, *_, twin in rows]
    _link(table)
    links = {i: of for i, of in zip(ids, table["duplicate_of"], strict=True) if of}
    pairs = [
        (i, j)
        for (i, one), (j, other) in combinations(enumerate(rows), 2)
        if {one[1], one[3]} & {other[1], other[3]} - {""}
        or (one[0] == other[0] and (one[4] == other[1] or other[4] == one[1]))
    ]
    linked = coo_array((np.ones(len(pairs)), np.array(pairs, int).reshape(-1, 2).T), (len(ids), len(ids)))
    count, part = connected_components(linked, directed=False)
    ends = set()
    for place, image_id in enumerate(ids):
        end = image_id
        for _ in ids:
            end = links.get(end, end)
        assert end not in links, "a circle"
        assert part[ids.index(end)] == part[place]
        ends.add(end)
    assert len(ends) == count
