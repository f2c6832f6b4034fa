"""What is peculiar to each source."""

import numpy as np
import pytest
from PIL import Image

from cxrscreen.data.disease_masks import load_boxes
from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.masks import read_lung_mask
from cxrscreen.data.public_sources import SourceError, build_manifest
from cxrscreen.data.public_sources.jsrt import read_raw
from cxrscreen.data.public_sources.lung_halves import at_size, joined, read_binary, split
from cxrscreen.imaging.read import read


def test_cohen_leaves_ct_out_keeps_laterals_and_tells_copies_of_hannover(built):
    outcome, rows, out = built("cohen")
    assert outcome.left_out["no radiograph (CT or other modality)"] == 1
    assert dict(rows["label"]) == {
        "cohen/a-1": "covid19",
        "cohen/a-2": "covid19",
        "cohen/b": "bacterial",
        "cohen/c": "normal",
        "cohen/d": "unknown",
        "cohen/0a7faa2a": "covid19",
    }
    assert dict(rows["view"])["cohen/a-2"] == "L"
    assert list(rows.loc[["cohen/b", "cohen/c"], "view"]) == ["AP Supine", "AP"]
    assert rows.at["cohen/b", "pediatric"] == "true"
    assert rows.at["cohen/0a7faa2a", "copy_of"] == "hannover/0a7faa2a"
    assert (rows["copy_of"] != "").sum() == 1
    first = rows.loc["cohen/a-1"]
    assert tuple(first[["severity_geographic", "severity_opacity", "offset_days"]]) == ("2.3", "1.3", "3")
    assert (first["license"], rows.at["cohen/a-2", "license"]) == ("CC BY", "not stated")
    assert (out.parent / first["lung_mask"]).is_file()


def test_hannover_turns_offsets_over(built):
    outcome, rows, _ = built("hannover")
    assert list(rows["offset_days"]) == ["0", "2", "-4"]
    assert set(rows["offset_reference"]) == {"admission"}
    assert outcome.labels == {"covid19": 3}
    assert list(rows["sex"]) == ["M", "M", "F"]


def test_figure1_joins_the_images_of_a_patient_and_guesses_no_age(built):
    outcome, rows, _ = built("figure1")
    assert outcome.patients == 4
    assert rows.at["figure1/COVID-00040a", "patient_id"] == rows.at["figure1/COVID-00040b", "patient_id"]
    assert tuple(rows.loc["figure1/COVID-00002", ["age", "pediatric", "label"]]) == ("", "false", "unknown")
    assert rows.at["figure1/COVID-00002", "path"].endswith(".png")
    assert rows.at["figure1/COVID-00040b", "label"] == "unknown"


def test_actualmed_says_that_a_reader_and_no_test_made_the_label(built):
    outcome, rows, _ = built("actualmed")
    assert outcome.labels == {"normal": 1, "covid19": 1, "unknown": 1}
    assert rows["notes"].str.contains("without a test").all()
    assert outcome.patients == 2
    assert not rows["notes"].str.contains("2020").any()


def test_bimcv_is_labelled_by_the_nearest_test(built):
    outcome, rows, _ = built("bimcv-positive")
    labels = {image_id.split("_")[1]: label for image_id, label in rows["label"].items()}
    # Two days after a positive test; four days after a negative one, against the report; no test that said anything,
    # in a set where everybody was positive once; no date and a report that is cut.
    assert labels == {"ses-E01": "covid19", "ses-E02": "unknown", "ses-E03": "unknown", "ses-E04": "unknown"}
    assert outcome.left_out == {"no radiograph (CT)": 1, "another part of the body than the chest": 1}
    said = " ".join(outcome.remarks)
    assert "1 rows of sil_reg_covid_posi.tsv" in said
    assert "1 sessions have no date" in said
    assert "labels of 1 reports are cut" in said
    assert list(rows["view"]) == ["AP", "PA", "L", "PA"]
    assert set(rows["age"]) == {"65"}
    assert "less than 14 days" in rows["notes"].iloc[0]
    assert rows["notes"].iloc[3] == "no test could be set to it; label by the report"


def test_bimcv_without_tests_is_labelled_by_reports(built):
    outcome, rows, _ = built("bimcv-negative")
    labels = {image_id.split("_")[1]: label for image_id, label in rows["label"].items()}
    # A report that says COVID-19 where the patients tested negative is a contradiction.
    assert labels == {"ses-E01": "normal", "ses-E02": "unknown", "ses-E03": "pneumonia", "ses-E04": "unknown"}
    assert not any("sil_reg_covid_posi" in remark for remark in outcome.remarks)


def test_bimcv_positive_without_its_tests_calls_no_case_a_control(lay, tmp_path):
    folder = lay("bimcv-positive")
    (folder / "derivatives" / "EHR" / "sil_reg_covid_posi.tsv").unlink()
    outcome = build_manifest("bimcv-positive", folder, tmp_path / "m.csv")
    assert outcome.labels == {"covid19": 1, "unknown": 3}
    assert any("There is no derivatives/EHR" in remark for remark in outcome.remarks)


def test_covidx_keeps_negative_unknown_and_tells_where_images_come_from(built):
    outcome, rows, _ = built("covidx")
    assert rows.at["covidx/MIDRC-RICORD-1C-419639-003251-46647-0", "label"] == "unknown"
    assert rows.at["covidx/COVID (7)", "label"] == "covid19"
    assert rows.at["covidx/a-1", "copy_of"] == "cohen/a-1"
    assert rows.at["covidx/47c78742-4998-4878-aec4-37b11b1354ac", "copy_of"].startswith("rsna/47c78742")
    assert rows.at["covidx/pneumonia", "notes"] == "test list; from a source not named"
    assert outcome.left_out["its line in the list cannot be read"] == 1


def test_covidx_reads_the_lists_of_one_version(lay, tmp_path):
    folder = lay("covidx")
    (folder / "train_COVIDx7A.txt").write_text("")
    with pytest.raises(SourceError, match="keep the lists of one version"):
        build_manifest("covidx", folder, tmp_path / "m.csv")


def test_covidx_reads_the_validation_list_of_newer_versions(lay, tmp_path):
    folder = lay("covidx")
    assert not any("val" in remark for remark in build_manifest("covidx", folder, tmp_path / "m.csv").remarks)
    (folder / "val").mkdir()
    for name in ("v.png", "pneumonia.png"):
        (folder / "val" / name).write_bytes((folder / "test" / "pneumonia.png").read_bytes())
    (folder / "val.txt").write_text("5 v.png positive stonybrook\n6 pneumonia.png negative bimcv\n")
    build_manifest("covidx", folder, tmp_path / "m.csv")
    rows = load_manifest(tmp_path / "m.csv").table
    assert tuple(rows.loc["covidx/v", ["label", "notes", "copy_of"]]) == ("covid19", "val list; from stonybrook", "")
    # Two images of one name: the one that is read later has its folder in front.
    assert rows.at["covidx/pneumonia", "notes"].startswith("val list")
    assert rows.at["covidx/test/pneumonia", "notes"].startswith("test list")


def test_radiography_knows_no_patients_and_where_children_are(built):
    outcome, rows, _ = built("radiography")
    assert outcome.without_patient == outcome.images == 5
    children = rows["pediatric"]
    assert (children["radiography/Normal-8851"], children["radiography/Normal-8852"]) == ("unknown", "true")
    assert children["radiography/Viral Pneumonia-1"] == "true"
    assert set(rows["lung_mask_origin"]) == {"automatic"}


def test_coronahack_points_at_the_sources_it_took_from(built):
    _, rows, _ = built("coronahack")
    assert list(rows["label"]) == ["normal", "viral", "bacterial", "covid19", "other"]
    assert list(rows["copy_of"].str.split("/").str[0]) == ["kermany", "kermany", "kermany", "cohen", "cohen"]
    assert list(rows["pediatric"])[2:4] == ["true", "unknown"]


def test_kermany_counts_a_persons_number_over_all_folders(built):
    outcome, rows, _ = built("kermany")
    one = rows[rows["patient_id"] == "kermany:person1"]
    assert set(one["label"]) == {"bacterial", "viral"}
    assert len(one) == 3
    assert "kermany/test/PNEUMONIA/person1_bacteria_1" in rows.index
    assert (rows["pediatric"] == "true").all()
    assert outcome.left_out == {"its name and its folder say different things": 1}
    assert rows.at["kermany/NORMAL2-IM-0383-0001-0001", "patient_id"] == "kermany:NORMAL2-IM-0383"


def test_nih_reads_the_cut_header_boxes_and_no_impossible_age(built):
    outcome, rows, out = built("nih")
    assert list(rows["label"]) == ["other", "pneumonia", "normal", "nodule"]
    assert list(rows["age"]) == ["57", "58", "", "9"]
    assert list(rows["pediatric"]) == ["false", "false", "unknown", "true"]
    assert rows.at["nih/00000001_001", "finding"] == "Nodule|Pneumonia"
    assert tuple(rows.loc["nih/00000001_000", ["original_width", "original_height"]]) == ("2682", "2749")
    assert outcome.patients == 3
    box = load_boxes(out.parent / "boxes.csv").iloc[0]
    assert tuple(box) == ("nih/00000001_001", "Pneumonia", 10.5, 20, 30, 40.25)


def test_a_missing_patient_of_nih_is_nobody_and_a_cut_table_a_sentence(lay, tmp_path):
    folder = lay("nih")
    table = folder / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace(",0,13,", ",0,,").replace(",0,17,", ",0,,"))
    assert build_manifest("nih", folder, tmp_path / "m.csv").without_patient == 2
    rows = load_manifest(tmp_path / "m.csv").table
    assert rows["group"].nunique() == 3


@pytest.mark.parametrize("box", [",,,", "1,2,0,4", "1,2,-3,4", "-1,2,3,4", "1,2,nan,4", "x,2,3,4"])
def test_boxes_that_are_none_are_left_out_and_counted(lay, tmp_path, box):
    for name, table, row in (
        ("nih", "BBox_List_2017.csv", f"00000001_001.png,Pneumonia,{box},,,"),
        ("rsna", "stage_2_train_labels.csv", f"bbbb,{box},1"),
    ):
        folder = lay(name)
        with (folder / table).open("a") as file:
            file.write(f"{row}\n")
        outcome = build_manifest(name, folder, tmp_path / name / "m.csv")
        assert outcome.boxes == {"nih": 1, "rsna": 2}[name]
        assert any(remark.startswith("1 boxes were left out") for remark in outcome.remarks)
        load_boxes(tmp_path / name / "boxes.csv")


def test_rsna_tells_patients_by_the_map_to_nih_images(built):
    outcome, rows, out = built("rsna")
    assert list(rows["label"]) == ["pneumonia", "other", "normal", "normal"]
    assert rows.at["rsna/aaaa", "patient_id"] == rows.at["rsna/bbbb", "patient_id"] == "rsna:nih-00000001"
    assert rows.at["rsna/aaaa", "copy_of"] == "nih/00000001_000"
    assert outcome.boxes == 2
    assert outcome.left_out == {"stage 2 test image, without a label": 1}
    assert set(rows["view"]) == {"PA"}
    assert rows["age"].str.isdigit().all()
    assert set(load_boxes(out.parent / "boxes.csv")["x"]) == {10, 60}


def test_rsna_without_the_map_warns_of_patients(lay, tmp_path):
    folder = lay("rsna")
    (folder / "pneumonia-challenge-dataset-mappings_2018.json").unlink()
    outcome = build_manifest("rsna", folder, tmp_path / "m.csv")
    assert (outcome.patients, outcome.without_patient) == (0, 4)
    assert "nobody's patient is known" in outcome.remarks[0]


def test_a_broken_map_is_one_sentence(lay, tmp_path):
    folder = lay("rsna")
    (folder / "pneumonia-challenge-dataset-mappings_2018.json").write_text('{"a": 1')
    with pytest.raises(SourceError, match="fetch it again"):
        build_manifest("rsna", folder, tmp_path / "m.csv")


def test_chexpert_leaves_uncertain_pneumonia_unknown(built):
    _, rows, _ = built("chexpert")
    assert list(rows["label"]) == ["normal", "pneumonia", "unknown", "other"]
    assert list(rows["view"]) == ["AP", "L", "PA", "AP"]
    assert rows["finding"].iloc[2] == "Edema|Pneumonia (uncertain)"
    assert list(rows["age"]) == ["68", "68", "", "73"]
    assert rows["patient_id"].iloc[0] == rows["patient_id"].iloc[1] == "chexpert:patient00001"
    assert rows["notes"].iloc[3] == "read by radiologists"


def test_chexperts_row_without_an_image_is_left_out(lay, tmp_path):
    folder = lay("chexpert")
    with (folder / "train.csv").open("a") as file:
        file.write(",Male,50,Frontal,PA" + "," * 14 + "\n")
    assert build_manifest("chexpert", folder, tmp_path / "m.csv").left_out == {"its row in the table names no image": 1}


def test_padchests_table_that_was_cut_is_one_sentence(lay, tmp_path):
    folder = lay("padchest")
    (table,) = folder.glob("*.csv.gz")
    whole = table.read_bytes()
    for content in (whole[:-12], whole[:40] + b"x" * 40 + whole[80:], b"no gzip", b""):
        table.write_bytes(content)
        with pytest.raises(SourceError, match="csv.gz is not a readable CSV table: fetch the publisher's own"):
            build_manifest("padchest", folder, tmp_path / "m.csv")


def test_padchest_excludes_and_knows_what_says_nothing(built):
    outcome, rows, _ = built("padchest")
    assert dict(rows["label"]) == {
        "padchest/a": "normal",
        "padchest/b": "pneumonia",
        "padchest/c": "unknown",
        "padchest/d": "other",
        "padchest/h": "unknown",
    }
    assert sum(outcome.left_out.values()) == 3
    assert tuple(rows.loc["padchest/c", ["view", "pediatric"]]) == ("AP Supine", "true")
    assert rows.at["padchest/a", "age"] == "64"
    assert "by a program" in rows.at["padchest/b", "notes"]


def test_jsrt_is_turned_over_with_its_masks_and_nodules(built, phantom):
    outcome, rows, out = built("jsrt")
    image = read(out.parent / rows.at["jsrt/JPCLN001", "path"])
    assert image.pixels.shape == (2048, 2048)
    assert image.provenance.bits == 16
    small = image.pixels[8::16, 8::16]
    assert np.corrcoef(small.ravel(), phantom.pixels.ravel())[0, 1] > 0.98
    mask = read_lung_mask(out.parent / rows.at["jsrt/JPCLN001", "lung_mask"])[8::16, 8::16]
    assert (mask == phantom.lungs)[phantom.lungs > 0].mean() > 0.95
    assert (mask == 3)[phantom.heart].mean() > 0.9
    assert rows.at["jsrt/JPCLN001", "heart_mask"] == rows.at["jsrt/JPCLN001", "lung_mask"]
    assert dict(rows["label"]) == {"jsrt/JPCLN001": "nodule", "jsrt/JPCNN001": "normal"}
    assert tuple(rows.loc["jsrt/JPCLN001", ["sex", "age"]]) == ("M", "53")
    assert tuple(rows.loc["jsrt/JPCNN001", ["sex", "age"]]) == ("F", "")
    assert rows.at["jsrt/JPCLN001", "finding"] == "nodule: malignant l.upper lobe lung cancer"
    box = load_boxes(out.parent / "boxes.csv").iloc[0]
    assert box["width"] == pytest.approx(15 / 0.175, abs=0.01)
    assert box["x"] + box["width"] / 2 == pytest.approx(1634, abs=0.1)
    assert outcome.left_out == {
        "its .IMG file is not 2048 x 2048 pixels of 12 bits": 1,
        "named in the publisher's table, but the file is not there": 1,
    }


def test_jsrt_names_a_heart_mask_only_where_it_holds_a_heart(lay, tmp_path):
    folder = lay("jsrt")
    (folder / "scratch/fold1/masks/heart/JPCNN001.gif").write_text("cut")
    (folder / "All247images" / "JPCLN001.IMG").unlink()
    build_manifest("jsrt", folder, tmp_path / "m.csv")
    (row,) = load_manifest(tmp_path / "m.csv").table.to_dict("records")
    assert (row["heart_mask"], row["lung_mask"]) == ("", "masks/jsrt/JPCNN001.png")


def test_a_raw_file_of_another_length_or_depth_is_refused():
    with pytest.raises(SourceError, match="bytes"):
        read_raw(b"\0\0")
    with pytest.raises(SourceError, match="12 bits"):
        read_raw(np.full((2048, 2048), 4096, ">u2").tobytes())


def test_montgomery_masks_are_joined_by_position_whatever_they_are_called(built, phantom):
    outcome, rows, out = built("montgomery")
    mask = read_lung_mask(out.parent / rows.at["montgomery/MCUCXR_0001_0", "lung_mask"])
    assert np.array_equal(mask, phantom.lungs)
    assert tuple(rows.loc["montgomery/MCUCXR_0104_1", ["sex", "age", "pediatric", "finding", "label"]]) == (
        "M",
        "15",
        "true",
        "Cavity, right apex.",
        "tuberculosis",
    )
    assert rows.at["montgomery/MCUCXR_0104_1", "lung_mask"] == ""
    assert sum(outcome.left_out.values()) == 1
    assert "1 images have no lung mask." in outcome.remarks


def test_shenzhen_reads_odd_readings_and_says_where_lungs_are_not_parted(built, phantom):
    _, rows, out = built("shenzhen")
    assert list(rows["sex"]) == ["M", "F", "F"]
    assert list(rows["age"]) == ["45", "1.33", "28"]
    assert list(rows["pediatric"]) == ["false", "true", "false"]
    assert list(rows["finding"]) == ["normal", "bilateral PTB", "PTB in the right upper field"]
    assert list(rows["view"]) == ["PA", "unknown", "PA"]
    assert list(rows["lung_mask_sides"]) == ["true", "false", ""]
    assert np.array_equal(read_lung_mask(out.parent / rows["lung_mask"].iloc[0]), phantom.lungs)


def test_crumbs_go_with_the_lung_on_their_side():
    lungs = np.zeros((20, 40), bool)
    lungs[2:18, 2:16] = lungs[2:18, 24:38] = lungs[19, 1] = lungs[19, 38] = True
    mask, parted = split(lungs)
    assert parted
    assert (mask[19, 1], mask[19, 38], mask[5, 5], mask[5, 30], mask[0, 0]) == (1, 2, 1, 2, 0)
    assert np.array_equal(mask > 0, lungs)
    assert not split(lungs & (np.arange(40) < 20))[1]


def test_masks_are_joined_brought_to_size_and_read(tmp_path):
    left = np.zeros((4, 8), bool)
    left[:, :2] = True
    right = left[:, ::-1]
    assert np.array_equal(joined(right, left), joined(left, right))
    assert joined(right, left)[0].tolist() == [1, 1, 0, 0, 0, 0, 2, 2]
    assert np.array_equal(at_size(left, (8, 16)), np.kron(left, np.ones((2, 2), bool)))
    Image.fromarray(left.astype(np.uint8) * 255).save(tmp_path / "m.gif")
    assert np.array_equal(read_binary(tmp_path / "m.gif"), left)
    (tmp_path / "m.gif").write_text("no")
    assert read_binary(tmp_path / "m.gif") is None
