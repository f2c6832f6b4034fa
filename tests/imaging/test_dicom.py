import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence

from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.limits import ReadLimits
from cxrscreen.imaging.read import INVERTED_WARNING, read

DicomWriter = Callable[..., Path]
# A lateral view is not judged by the drawn frontal chest, so plain ramps keep their polarity.
LATERAL = {"ViewPosition": "LL"}


def ramp(dtype: Any = np.uint16, bits: int = 12, side: int = 96) -> np.ndarray:
    values = np.arange(side * side).reshape(side, side) * 7 % 2**bits
    return (values - (2 ** (bits - 1) if np.dtype(dtype).kind == "i" else 0)).astype(dtype)


def spread(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


def recode(path: Path, transfer_syntax: int) -> Path:
    """Compress a file with GDCM, the only encoder of lossless JPEG here."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(transfer_syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
    ],
)
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16), (np.int16, 12)])
def test_uncompressed(dicom_file: DicomWriter, syntax: uid.UID, dtype: Any, bits: int) -> None:
    pixels = ramp(dtype, bits)
    order = pixels if syntax.is_little_endian else pixels.astype(pixels.dtype.newbyteorder(">"))
    radiograph = read(dicom_file(order, syntax, BitsStored=bits, **LATERAL))
    assert np.allclose(radiograph.pixels, spread(pixels), atol=1e-6)
    assert radiograph.provenance.transfer_syntax == syntax.name
    assert radiograph.provenance.bits == bits


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16), (np.int16, 12)])
def test_lossless_compression_is_exact(
    dataset_of: Callable[..., Dataset], tmp_path: Path, syntax: uid.UID, dtype: Any, bits: int
) -> None:
    pixels = ramp(dtype, bits)
    dataset = dataset_of(pixels, BitsStored=bits, **LATERAL)
    dataset.compress(syntax)
    dataset.save_as(tmp_path / "x", enforce_file_format=True)
    radiograph = read(tmp_path / "x")
    assert np.array_equal(radiograph.pixels, spread(pixels).astype(np.float32))
    assert radiograph.provenance.transfer_syntax == syntax.name


@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1"])
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16)])
def test_lossless_jpeg_is_exact(dicom_file: DicomWriter, syntax: str, dtype: Any, bits: int) -> None:
    pixels = ramp(dtype, bits)
    path = recode(dicom_file(pixels, BitsStored=bits, **LATERAL), getattr(gdcm.TransferSyntax, syntax))
    radiograph = read(path)
    assert np.array_equal(radiograph.pixels, spread(pixels).astype(np.float32))
    assert "JPEG Lossless" in str(radiograph.provenance.transfer_syntax)


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_lossy_jpeg(dicom_file: DicomWriter, chest: np.ndarray, syntax: uid.UID) -> None:
    pixels = np.round(chest * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=95)
    radiograph = read(dicom_file(pixels, syntax, PixelData=encapsulate([stream.getvalue()])))
    assert np.abs(radiograph.pixels - spread(pixels)).mean() < 0.01


@pytest.mark.parametrize("syntax", [uid.JPEGLSNearLossless, uid.JPEG2000])
def test_near_lossless(dataset_of: Callable[..., Dataset], tmp_path: Path, chest: np.ndarray, syntax: uid.UID) -> None:
    pixels = np.round(chest * 4095).astype(np.uint16)
    dataset = dataset_of(pixels, BitsStored=12)
    dataset.compress(syntax, **({"jls_error": 3} if syntax == uid.JPEGLSNearLossless else {"j2k_cr": [5]}))
    dataset.save_as(tmp_path / "x", enforce_file_format=True)
    assert np.abs(read(tmp_path / "x").pixels - spread(pixels)).mean() < 0.01


def test_monochrome1_is_inverted_monochrome2(dicom_file: DicomWriter) -> None:
    pixels = ramp()
    window = {"WindowCenter": 2048, "WindowWidth": 3000}
    second = read(dicom_file(pixels, BitsStored=12, **LATERAL, **window))
    first = read(dicom_file(pixels, BitsStored=12, PhotometricInterpretation="MONOCHROME1", **LATERAL, **window))
    assert np.allclose(first.pixels, 1 - second.pixels, atol=1e-6)
    assert first.provenance.photometric == "MONOCHROME1"
    assert not first.provenance.polarity_corrected


def test_an_inverted_chest_is_put_right_and_padding_stays_air(dicom_file: DicomWriter, chest: np.ndarray) -> None:
    stored = np.round((1 - chest) * 4000).astype(np.uint16)
    stored[:, :20] = 5000
    radiograph = read(dicom_file(stored, PixelPaddingValue=5000))
    assert radiograph.provenance.polarity_corrected
    assert INVERTED_WARNING in radiograph.warnings
    assert np.allclose(radiograph.pixels[:, 20:], chest[:, 20:] / chest.max(), atol=0.01)
    assert not radiograph.pixels[:, :20].any()


def test_overlay_bits_above_the_stored_ones_are_ignored(dicom_file: DicomWriter) -> None:
    pixels = ramp()
    marked = pixels | (np.arange(96) % 2 * 0x8000).astype(np.uint16)
    assert np.allclose(read(dicom_file(marked, BitsStored=12, **LATERAL)).pixels, spread(pixels), atol=1e-6)


def test_values_aligned_at_the_highest_bit(dicom_file: DicomWriter) -> None:
    pixels = ramp()
    radiograph = read(dicom_file(pixels << 4, BitsStored=12, HighBit=15, **LATERAL))
    assert np.allclose(radiograph.pixels, spread(pixels), atol=1e-6)


def test_colour_becomes_luminance(dicom_file: DicomWriter) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[..., 0] = 200
    radiograph = read(dicom_file(pixels, Modality="OT", **LATERAL))
    assert np.allclose(radiograph.pixels, 0.299 * 200 / 255, atol=1e-6)
    assert any("coloured" in sentence for sentence in radiograph.warnings)
    assert any("modality is OT" in sentence for sentence in radiograph.warnings)


def test_header_facts(dicom_file: DicomWriter) -> None:
    radiograph = read(
        dicom_file(ramp(), ImagerPixelSpacing=[0.2, 0.1], ViewPosition="PA", BodyPartExamined="HAND", Modality="CR")
    )
    assert radiograph.pixel_spacing_mm == (0.2, 0.1)
    assert radiograph.view_position == "PA"
    assert radiograph.provenance.modality == "CR"
    assert radiograph.provenance.sop_instance_uid == "1.2.3.4"
    assert radiograph.provenance.study_instance_uid == "1.2.3"
    assert radiograph.provenance.original_shape == (96, 96)
    assert any("another body part" in sentence for sentence in radiograph.warnings)


def test_calibrated_spacing_comes_first_and_nonsense_is_dropped(dicom_file: DicomWriter) -> None:
    both = {"PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.2, 0.2]}
    assert read(dicom_file(ramp(), **both)).pixel_spacing_mm == (0.15, 0.15)
    assert read(dicom_file(ramp(), PixelSpacing=[0, 0])).pixel_spacing_mm is None


@pytest.mark.parametrize(
    ("stored", "expected"),
    [("AP", "AP"), ("LL", "lateral"), ("RL", "lateral"), ("LLD", "unknown"), ("RAO", "unknown"), ("", "unknown")],
)
def test_view_positions(dicom_file: DicomWriter, stored: str, expected: str) -> None:
    assert read(dicom_file(ramp(), ViewPosition=stored)).view_position == expected


def test_the_view_code_serves_where_the_position_is_missing(dicom_file: DicomWriter) -> None:
    code = Dataset()
    code.CodeMeaning = "postero-anterior"
    assert read(dicom_file(ramp(), ViewCodeSequence=Sequence([code]))).view_position == "PA"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"NumberOfFrames": 5}, "holds 5 frames"),
        ({"Modality": "CT"}, "modality is CT"),
        ({"Modality": "MG"}, "modality is MG"),
        ({"PixelData": b""}, "holds empty pixel data"),
        ({"PixelData": bytes(96 * 96)}, "is truncated"),
        ({"Rows": 60000, "Columns": 60000}, "is far too large"),
        ({"Rows": 32}, "is too small"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 bits a sample"),
        ({"PhotometricInterpretation": "CMYK"}, "photometric interpretation"),
        ({"BitsStored": 16, "HighBit": 11}, "contradicts itself"),
    ],
)
def test_refusals_are_one_sentence_without_the_patient(
    dicom_file: DicomWriter, attributes: dict[str, Any], reason: str
) -> None:
    path = dicom_file(ramp(), **attributes)
    with pytest.raises(UnreadableImageError) as caught:
        read(path)
    message = str(caught.value)
    assert reason in message
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "; " in message
    assert "\n" not in message
    assert "Secret" not in message


def test_missing_pixel_data_and_missing_rows(dataset_of: Callable[..., Dataset], tmp_path: Path) -> None:
    for keyword, reason in (("PixelData", "holds no pixel data"), ("Rows", "lacks the attribute Rows")):
        dataset = dataset_of(ramp())
        delattr(dataset, keyword)
        dataset.save_as(tmp_path / keyword, enforce_file_format=True)
        with pytest.raises(UnreadableImageError, match=reason):
            read(tmp_path / keyword)


def test_a_syntax_nobody_decodes(dicom_file: DicomWriter) -> None:
    path = dicom_file(ramp(np.uint8, 8), uid.MPEG2MPML, PixelData=encapsulate([bytes(100)]))
    with pytest.raises(UnreadableImageError, match=r"no decoder is installed.*cxrscreen doctor"):
        read(path)


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_truncated_compressed_data(dataset_of: Callable[..., Dataset], tmp_path: Path, syntax: uid.UID) -> None:
    dataset = dataset_of(ramp())
    dataset.compress(syntax)
    frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    dataset.save_as(tmp_path / "x", enforce_file_format=True)
    with pytest.raises(UnreadableImageError):
        read(tmp_path / "x")


def test_a_codestream_larger_than_its_header_is_refused(dataset_of: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = dataset_of(ramp(side=128))
    dataset.compress(uid.JPEG2000Lossless)
    dataset.Rows = dataset.Columns = 96
    dataset.save_as(tmp_path / "x", enforce_file_format=True)
    with pytest.raises(UnreadableImageError, match="contradicts itself"):
        read(tmp_path / "x")


def test_a_deflated_bomb_is_refused(dicom_file: DicomWriter) -> None:
    path = dicom_file(np.zeros((1000, 1000), np.uint16), uid.DeflatedExplicitVRLittleEndian)
    assert path.stat().st_size < 10_000
    with pytest.raises(UnreadableImageError, match="inflates to more"):
        read(path, limits=ReadLimits(max_bytes=1_000_000))


@pytest.mark.parametrize("nested", [False, True])
def test_a_header_without_end_is_refused(
    dataset_of: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nested: bool
) -> None:
    dataset = dataset_of(ramp())
    empty = Dataset()
    for number in range(30_000):
        empty.add_new(0x00110000 + 0x10000 * 2 * (number // 0xF000) + 0x1000 + number % 0xF000, "UN", b"")
    if nested:
        monkeypatch.setattr("cxrscreen.imaging.dicom._HEADER_BYTES", 100_000)
        dataset.add_new(0x00111010, "SQ", [empty])
        dataset[0x00111010].is_undefined_length = True
    else:
        dataset.update(empty)
    dataset.save_as(tmp_path / "x", enforce_file_format=True)
    with pytest.raises(UnreadableImageError, match="header of many times"):
        read(tmp_path / "x")


@pytest.mark.parametrize("hidden", ["deflated", "named as pixels"])
def test_a_header_without_end_is_found_where_it_hides(
    dataset_of: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    monkeypatch.setattr("cxrscreen.imaging.dicom._HEADER_BYTES", 100_000)
    deflated = hidden == "deflated"
    syntax = uid.DeflatedExplicitVRLittleEndian if deflated else uid.ExplicitVRLittleEndian
    dataset, many = dataset_of(ramp(), syntax), Dataset()
    many.update({0x00111000 + n: DataElement(0x00111000 + n, "UN", b"") for n in range(12_000)})
    tag = 0x00091010 if deflated else 0x7FE00001
    dataset.add_new(tag, "SQ", [many, many])
    dataset[tag].is_undefined_length = True
    dataset.save_as(tmp_path / "x", enforce_file_format=True)
    with pytest.raises(UnreadableImageError, match="header of many times"):
        read(tmp_path / "x")


def test_what_stands_behind_the_pixels_is_not_parsed(dataset_of: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset_of(ramp()).save_as(tmp_path / "x", enforce_file_format=True)
    expected = read(tmp_path / "x").pixels
    with (tmp_path / "x").open("ab") as file:
        file.write(b"\xfc\xff\xfc\xffUN\x00\x00" + b"\xff" * 400)
    np.testing.assert_array_equal(read(tmp_path / "x").pixels, expected)


def test_a_data_set_without_the_dicom_mark(dataset_of: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = dataset_of(ramp(), uid.ImplicitVRLittleEndian, **LATERAL)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    content = stream.getvalue()
    meta = pydicom.filereader.dcmread(io.BytesIO(content)).file_meta
    (tmp_path / "x").write_bytes(content[132 + 12 + meta.FileMetaInformationGroupLength :])
    assert np.allclose(read(tmp_path / "x").pixels, spread(ramp()), atol=1e-6)


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless])
def test_a_codestream_deeper_than_the_header_says_is_not_folded(
    syntax: uid.UID, chest: np.ndarray, tmp_path: Path, dataset_of: Callable[..., Dataset]
) -> None:
    dataset = dataset_of((chest * 4095).astype(np.uint16), BitsStored=12)
    dataset.compress(syntax)
    dataset.BitsStored, dataset.HighBit = 10, 9
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    pixels = read(tmp_path / "a.dcm").pixels
    assert np.corrcoef(pixels.ravel(), chest.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1])
def test_zeros_behind_a_codestream_are_no_damage(syntax: uid.UID, dicom_file: DicomWriter) -> None:
    path = dicom_file(ramp(), BitsStored=12, **LATERAL)
    plain = read(path).pixels
    if syntax == uid.JPEGLosslessSV1:
        recode(path, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    dataset = pydicom.dcmread(path)
    if syntax != uid.JPEGLosslessSV1:
        dataset.compress(syntax)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame + bytes(200)])
    dataset.save_as(path, enforce_file_format=True)
    assert np.array_equal(read(path).pixels, plain)


def test_own_results_are_refused_wherever_they_lie(dicom_file: DicomWriter) -> None:
    from cxrscreen.imaging.dicom import OWN_EQUIPMENT
    from cxrscreen.report.dicom.identity import MANUFACTURER, MODEL

    # What the report stamps on its objects is what is known here.
    assert (MANUFACTURER, MODEL) == OWN_EQUIPMENT
    own = {"Manufacturer": MANUFACTURER, "ManufacturerModelName": MODEL, "Modality": "OT"}
    with pytest.raises(UnreadableImageError, match="is a result of cxrscreen, not a radiograph; name the radiographs"):
        read(dicom_file(ramp(), **own))
    # The Secondary Capture made of a picture is that radiograph itself.
    assert read(dicom_file(ramp(), **LATERAL, Manufacturer=MANUFACTURER)).shape == (96, 96)
