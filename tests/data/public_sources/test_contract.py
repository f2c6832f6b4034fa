"""What holds for every public source."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrscreen.data.disease_masks import BOXES, disease_masks
from cxrscreen.data.manifest import LABELS, load_manifest
from cxrscreen.data.masks import read_lung_mask
from cxrscreen.data.public_sources import SOURCES, Gathering, SourceError, build_manifest, source_named
from cxrscreen.imaging.read import read

every_source = pytest.mark.parametrize("name", SOURCES)


@every_source
def test_from_its_publishers_files_to_a_manifest_that_the_project_reads(name, built):
    outcome, _, out = built(name)
    manifest = load_manifest(out)
    table = manifest.table
    assert len(table) == outcome.images >= 2
    assert set(table["source"]) == {name}
    assert set(table["label"]) <= set(LABELS)
    assert outcome.labels == table["label"].value_counts().to_dict()
    assert not (table == "nan").any(axis=None)
    assert table["image_id"].str.startswith(f"{name}/").all()
    assert (table["patient_id"].str.startswith(f"{name}:") | (table["patient_id"] == "")).all()
    for image_id, row in table.iterrows():
        pixels = read(manifest.image_file(image_id)).pixels
        assert (str(pixels.shape[1]), str(pixels.shape[0])) == (row["width"], row["height"])
        mask = manifest.mask_file(image_id)
        if mask is not None:
            assert read_lung_mask(mask).shape == pixels.shape
            assert row["lung_mask_origin"] in ("human", "automatic")
            assert row["lung_mask_sides"] in ("true", "false")
    assert disease_masks(manifest).image_ids <= set(table.index)


@every_source
def test_a_split_can_keep_every_patient_on_one_side(name, built):
    table = load_manifest(built(name)[2]).table
    assert table["group"].nunique() >= 2
    known = table[table["patient_id"] != ""]
    assert (known.groupby("patient_id")["group"].nunique() == 1).all()


@every_source
def test_paths_are_relative_and_hold_when_both_folders_move_together(name, built):
    _, rows, out = built(name)
    assert not rows["path"].str.startswith("/").any()
    top = out.parent.parent
    moved = top.with_name(f"{top.name} moved")
    top.rename(moved)
    manifest = load_manifest(moved / "out")
    found = [manifest.image_file(image_id).is_file() for image_id in manifest.table.index]
    moved.rename(top)
    assert all(found)


@every_source
def test_an_empty_folder_is_one_sentence_that_names_what_was_expected(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"does not hold \S+") as error:
        build_manifest(name, tmp_path / "empty", tmp_path / "m.csv")
    assert str(error.value).count(". ") == 0
    assert not (tmp_path / "m.csv").exists()


@every_source
def test_a_folder_that_is_not_there_is_one_sentence(name, tmp_path):
    with pytest.raises(SourceError, match="There is no folder"):
        build_manifest(name, tmp_path / "nowhere", tmp_path / "m.csv")


@every_source
def test_it_tells_people_what_they_need(name):
    source = SOURCES[name]
    assert source.name == name
    assert source.home.startswith("http")
    for text in (source.title, source.terms, source.citation, source.size, source.checksums):
        assert text.strip() == text != ""
    for lines in (source.fetch, source.layout, source.labels, source.faults):
        assert lines
        assert all(isinstance(line, str) and len(line) > 3 for line in lines)


def test_files_that_are_not_there_are_counted_and_the_rest_goes_on(built):
    outcome, rows, _ = built("cohen")
    assert outcome.left_out["named in the publisher's table, but the file is not there"] == 1
    assert "cohen/gone" not in rows.index


def test_damaged_files_are_left_out_where_images_are_read(lay, tmp_path):
    folder = lay("hannover")
    (folder / "png" / "b343e657.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    kept = build_manifest("hannover", folder, tmp_path / "m.csv")
    read_too = build_manifest("hannover", folder, tmp_path / "m.csv", verify=True)
    assert (kept.images, read_too.images) == (3, 2)
    assert read_too.left_out["the file cannot be read as a radiograph"] == 1


def test_a_folder_in_which_no_image_is_left_says_why(lay, tmp_path):
    folder = lay("hannover")
    for file in (folder / "png").iterdir():
        file.unlink()
    with pytest.raises(SourceError, match=r"No image of COVID-19 Image Repository.*\(3 named in.*1 no radiograph"):
        build_manifest("hannover", folder, tmp_path / "m.csv")


def test_a_table_without_a_column_is_one_sentence(lay, tmp_path):
    folder = lay("hannover")
    (folder / "data.csv").write_text("patient_id,image_id\nx,y\n")
    with pytest.raises(SourceError, match=r"data.csv lacks the column\(s\) sex, age"):
        build_manifest("hannover", folder, tmp_path / "m.csv")


def test_rows_with_a_separator_too_many_are_read_by_their_header(lay, tmp_path):
    folder = lay("hannover")
    lines = (folder / "data.csv").read_text().splitlines()
    (folder / "data.csv").write_text("\n".join([lines[0], *(f"{line}," for line in lines[1:])]))
    assert build_manifest("hannover", folder, tmp_path / "m.csv").images == 3


def test_boxes_of_two_sources_stay_side_by_side_and_are_not_doubled(lay, tmp_path):
    nih, rsna = lay("nih"), lay("rsna")
    for _ in range(2):
        build_manifest("nih", nih, tmp_path / "out" / "nih.csv")
        build_manifest("rsna", rsna, tmp_path / "out" / "rsna.csv")
    lines = (tmp_path / "out" / BOXES).read_text().splitlines()
    assert len(lines) == 1 + 1 + 2


def test_a_file_that_the_table_names_twice_is_one_image(lay, tmp_path):
    folder = lay("hannover")
    rows = (folder / "data.csv").read_text()
    (folder / "data.csv").write_text(rows + rows.splitlines()[1] + "\n")
    outcome = build_manifest("hannover", folder, tmp_path / "m.csv")
    assert outcome.images == 3
    assert outcome.left_out["named twice in the publisher's table"] == 1


def test_files_of_one_name_are_images_and_masks_of_their_own(lay, tmp_path):
    into = Gathering("s", "terms", "home", tmp_path / "out")
    root = lay("radiography")
    into.root_of(root.parent, "COVID")
    image = (root / "COVID" / "images" / "COVID-1.png").read_bytes()
    ids = []
    for name in ("a/x/one.png", "b/x/one.png", "c/x/one.png", "c/x/one.jpg"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image)
        ids.append(into.add("one", file, "normal"))
        into.lung_mask(ids[-1], (np.full((2, 2), len(ids) % 3, np.uint8), True), "human")
    assert ids == ["s/one", "s/b/x/one", "s/c/x/one", "s/c/x/one.jpg"]
    masks = [read_lung_mask(tmp_path / "out" / row["lung_mask"])[0, 0] for row in into.rows]
    assert masks == [1, 2, 0, 1]
    assert not into.left_out


def test_masks_of_two_images_of_one_name_are_two(lay, tmp_path, phantom):
    folder = lay("cohen")
    with (folder / "metadata.csv").open("a") as file:
        file.write("9,,M,50,No Finding,,,,,,,,,,,,,,PA,X-ray,2020,,images,a-1.png,,u,,n,,\n")
    Image.new("L", (40, 30)).save(folder / "images" / "a-1.png")
    build_manifest("cohen", folder, tmp_path / "m.csv")
    manifest = load_manifest(tmp_path / "m.csv")
    assert read_lung_mask(manifest.mask_file("cohen/a-1")).shape == phantom.lungs.shape
    assert read_lung_mask(manifest.mask_file("cohen/images/a-1")).shape == (30, 40)


def test_the_page_tells_whose_checksums_are_published():
    page = (Path(__file__).parents[3] / "docs" / "public-sources.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    told = {row[0].strip("`"): not row[-1].startswith("no") for row in rows}
    assert told == {name: not source.checksums.startswith("none") for name, source in SOURCES.items()}


def test_masks_come_in_the_size_of_the_image_with_the_right_lung_at_the_viewers_left(built, phantom):
    _, rows, out = built("radiography")
    mask = read_lung_mask(out.parent / rows.at["radiography/COVID-1", "lung_mask"])
    overlap = (mask == phantom.lungs)[phantom.lungs > 0].mean()
    assert overlap > 0.95
    assert np.flatnonzero((mask == 1).any(axis=0)).mean() < np.flatnonzero((mask == 2).any(axis=0)).mean()


def test_an_unknown_source_names_those_that_there_are():
    with pytest.raises(SourceError, match=r"no source 'mimic': use one of cohen"):
        source_named("mimic")
    assert source_named("RSNA") is SOURCES["rsna"]
