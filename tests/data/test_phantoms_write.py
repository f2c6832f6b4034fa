"""Phantoms as files: what is read back is what was drawn."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import typer
from PIL import Image
from pydicom.pixels import pixel_array
from typer.testing import CliRunner

from cxrscreen.cli.phantoms import phantoms
from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import (
    Phantom,
    PhantomError,
    make_phantom,
    write_dicom,
    write_examples,
    write_mask,
    write_png,
    write_set,
)
from cxrscreen.data.phantoms.collection import COLUMNS

LOSSLESS = (
    "ExplicitVRLittleEndian",
    "ImplicitVRLittleEndian",
    "DeflatedExplicitVRLittleEndian",
    "RLELossless",
    "JPEGLSLossless",
    "JPEG2000Lossless",
)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(5, "bacterial", shape=(129, 151))


@pytest.mark.parametrize("bits", [8, 16])
def test_png_keeps_the_pixels(phantom: Phantom, tmp_path: Path, bits: int) -> None:
    write_png(phantom, tmp_path / "a.png", bits=bits)
    stored = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == (np.uint8 if bits == 8 else np.uint16)
    np.testing.assert_allclose(stored / (2**bits - 1), phantom.pixels, atol=0.51 / (2**bits - 1))


def test_mask_indices(phantom: Phantom, tmp_path: Path) -> None:
    write_mask(phantom, tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        index = np.asarray(image)
    assert np.array_equal(index == 1, phantom.lungs == 1)
    assert np.array_equal(index == 2, phantom.lungs == 2)
    assert np.array_equal(index == 3, phantom.heart)


@pytest.mark.parametrize("transfer_syntax", LOSSLESS)
@pytest.mark.parametrize(("photometric", "bits"), [("MONOCHROME2", 12), ("MONOCHROME1", 8), ("MONOCHROME1", 16)])
def test_dicom_keeps_the_pixels(
    phantom: Phantom, tmp_path: Path, transfer_syntax: str, photometric: str, bits: int
) -> None:
    path = tmp_path / "a.dcm"
    write_dicom(phantom, path, transfer_syntax=transfer_syntax, photometric=photometric, bits=bits)
    dataset = pydicom.dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID.keyword == transfer_syntax
    assert dataset.BitsStored == bits
    stored = pixel_array(dataset) / (2**bits - 1)
    if photometric == "MONOCHROME1":
        stored = 1 - stored
    np.testing.assert_allclose(stored, phantom.pixels, atol=0.51 / (2**bits - 1))


def test_jpeg_baseline_is_declared_lossy(phantom: Phantom, tmp_path: Path) -> None:
    write_dicom(phantom, tmp_path / "a.dcm", transfer_syntax="JPEGBaseline8Bit", bits=8)
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert dataset.LossyImageCompression == "01"
    assert np.abs(pixel_array(dataset) / 255 - phantom.pixels).mean() < 0.01


def test_monochrome1_is_the_inverse(phantom: Phantom, tmp_path: Path) -> None:
    for name in ("MONOCHROME1", "MONOCHROME2"):
        write_dicom(phantom, tmp_path / name, photometric=name)
    one, two = (pydicom.dcmread(tmp_path / name) for name in ("MONOCHROME1", "MONOCHROME2"))
    assert (one.pixel_array.astype(int) + two.pixel_array == 4095).all()
    assert (one.PresentationLUTShape, two.PresentationLUTShape) == ("INVERSE", "IDENTITY")
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.StudyInstanceUID == two.StudyInstanceUID


def test_dicom_is_a_dx_image_of_nobody(phantom: Phantom, tmp_path: Path) -> None:
    write_dicom(phantom, tmp_path / "a.dcm")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert dataset.SOPClassUID.name == "Digital X-Ray Image Storage - For Presentation"
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert str(dataset.PatientName) == "PHANTOM^SYNTHETIC"
    assert dataset.PatientID == "PHANTOM-5"
    assert dataset.ViewPosition == "PA"
    assert dataset.BurnedInAnnotation == "YES"
    assert float(dataset.PixelSpacing[0]) == pytest.approx(phantom.pixel_spacing_mm[0], abs=1e-6)
    for keyword in (
        "PatientBirthDate",
        "StudyDate",
        "AccessionNumber",
        "PresentationIntentType",
        "PatientOrientation",
        "ImageLaterality",
        "AnatomicRegionSequence",
        "ViewCodeSequence",
        "AcquisitionContextSequence",
        "PixelIntensityRelationship",
        "RescaleIntercept",
        "WindowCenter",
        "DetectorType",
    ):
        assert keyword in dataset, keyword


def test_dicom_is_reproducible(phantom: Phantom, tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm"):
        write_dicom(phantom, tmp_path / name, transfer_syntax="JPEGLSLossless")
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    other = make_phantom(6, "bacterial", shape=(129, 151))
    write_dicom(other, tmp_path / "c.dcm")
    assert pydicom.dcmread(tmp_path / "c.dcm").SOPInstanceUID != pydicom.dcmread(tmp_path / "a.dcm").SOPInstanceUID


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"transfer_syntax": "MPEG"}, "Unknown transfer syntax"),
        ({"photometric": "RGB"}, "Unknown photometric"),
        ({"bits": 17}, "8 to 16 bits"),
        ({"transfer_syntax": "JPEGBaseline8Bit"}, "holds 8 bits"),
    ],
)
def test_impossible_dicom_is_refused(phantom: Phantom, tmp_path: Path, arguments: dict, words: str) -> None:
    with pytest.raises(PhantomError, match=words):
        write_dicom(phantom, tmp_path / "a.dcm", **arguments)
    assert not (tmp_path / "a.dcm").exists()


def test_missing_folder_is_one_sentence(phantom: Phantom, tmp_path: Path) -> None:
    for write in (write_png, write_mask, write_dicom):
        with pytest.raises(PhantomError, match="could not be written"):
            write(phantom, tmp_path / "missing" / "a")


def test_set_is_a_valid_manifest(tmp_path: Path) -> None:
    path = write_set(tmp_path / "set", 9, seed=3, size=152, dicom_every=3)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 9
    manifest = load_manifest(path)
    assert set(manifest.table["label"]) == {"normal", "covid19", "bacterial", "tuberculosis"}
    assert 9 > manifest.table["group"].nunique() >= 5
    assert sum(row["path"].endswith(".dcm") for row in rows) == 3
    for row in rows:
        with Image.open(path.parent / row["lung_mask"]) as mask:
            assert mask.size == (int(row["width"]), int(row["height"]))
            assert {1, 2, 3} <= set(np.unique(np.asarray(mask)))
        file = path.parent / row["path"]
        shape = pydicom.dcmread(file).pixel_array.shape if file.suffix == ".dcm" else cv2.imread(str(file), -1).shape
        assert shape == (int(row["height"]), int(row["width"]))


def test_set_refuses_a_folder_with_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("mine")
    with pytest.raises(PhantomError, match="already holds"):
        write_set(tmp_path, 1)
    assert (tmp_path / "manifest.csv").read_text() == "mine"


def test_examples(tmp_path: Path) -> None:
    files = write_examples(tmp_path / "examples", size=160)
    assert len(files) == len(set(files)) == 6
    assert {file.suffix for file in files} == {".png", ".dcm"}
    photometric = {pydicom.dcmread(file).PhotometricInterpretation for file in files if file.suffix == ".dcm"}
    assert photometric == {"MONOCHROME1", "MONOCHROME2"}


def _command(*arguments: str) -> tuple[int, BaseException | None]:
    app = typer.Typer()
    app.command()(phantoms)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.exception


def test_command_writes_a_set(tmp_path: Path) -> None:
    code, _ = _command(str(tmp_path / "out"), "--count", "2", "--size", "160", "--seed", "4")
    assert code == 0
    assert len(load_manifest(tmp_path / "out").table) == 2


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--count", "-3", "must be 1 or more"),
        ("--count", "0", "must be 1 or more"),
        ("--seed", "-1", "0 or more"),
        ("--size", "64", "at least"),
        ("--dicom-every", "-1", "0 (none) or more"),
    ],
)
def test_command_refuses_with_one_sentence(tmp_path: Path, option: str, value: str, words: str) -> None:
    code, error = _command(str(tmp_path / "out"), option, value)
    assert code != 0
    assert isinstance(error, PhantomError)
    assert words in str(error)
    assert not (tmp_path / "out").exists()
