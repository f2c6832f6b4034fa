import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.data.disease_masks import MASK_COLUMN
from cxrscreen.data.manifest import COLUMNS, PATH_COLUMNS, check_manifest, load_manifest
from cxrscreen.errors import ManifestError


def table(**changes):
    content = {
        "image_id": ["a", "b", "c", "d"],
        "path": ["a.png", "b.png", "c.png", "d.png"],
        "source": ["s", "s", "t", "t"],
        "label": ["normal", "covid19", "bacterial", "normal"],
        "patient_id": ["p1", "p2", "p3", ""],
        "duplicate_of": ["", "", "a", ""],
    }
    return pd.DataFrame(content | changes)


def test_patients_and_duplicates_are_linked(tmp_path):
    manifest = check_manifest(table(patient_id=["p1", "p1", "p1", ""]), tmp_path)
    groups = manifest.table["group"]
    assert groups["a"] == groups["b"] == groups["c"]
    assert groups["d"] != groups["a"]


def test_patients_of_two_sources_are_two_people(tmp_path):
    groups = check_manifest(table(patient_id=["1", "1", "1", "1"], duplicate_of=""), tmp_path).table["group"]
    assert groups["a"] == groups["b"] != groups["c"] == groups["d"]


def test_paths_are_relative_to_the_manifest(tmp_path):
    table().to_csv(tmp_path / "manifest.csv", index=False)
    manifest = load_manifest(tmp_path)
    assert manifest.image_file("b") == tmp_path / "b.png"
    assert manifest.mask_file("b") is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"label": ["normal", "covid", "bacterial", "normal"]}, "label 'covid' for b"),
        ({"image_id": ["a", "a", "c", "d"]}, "image_id a more than once"),
        ({"image_id": ["a", "", "c", "d"]}, "empty image_id in data row 2"),
        ({"duplicate_of": ["", "", "z", ""]}, "names z in duplicate_of"),
        ({"view": ["PA", "front", "PA", "PA"]}, "view 'front' for b"),
    ],
)
def test_a_wrong_table_gets_one_sentence(tmp_path, changed, words):
    with pytest.raises(ManifestError, match=words) as caught:
        check_manifest(table(**changed), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(ManifestError, match="lacks the column\\(s\\) source, label"):
        check_manifest(table().drop(columns=["source", "label"]), tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ManifestError, match="No manifest at"):
        load_manifest(tmp_path / "nothing")


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_one_sentence(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("manifest") / "manifest.csv"
    file.write_bytes(content)
    with pytest.raises(ManifestError):
        load_manifest(file)


def test_the_columns_that_name_files_are_the_manifests_and_the_disease_masks():
    assert set(PATH_COLUMNS) <= {*COLUMNS, MASK_COLUMN}
    assert MASK_COLUMN in PATH_COLUMNS
