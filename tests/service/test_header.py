import io
import struct
import zlib
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from cxrscreen.imaging.limits import ReadLimits
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.service.header import Header, clean, kind_of, read_header
from cxrscreen.service.problems import ServiceError, TooLargeError, UnreadableUploadError, UnsupportedContentError

LIMITS = ReadLimits(max_pixels=1_000_000, max_bytes=2**20)


def header(content):
    source = io.BytesIO(content)
    found = read_header(source, LIMITS)
    assert source.tell() == 0
    return found


def test_a_dicom_file_names_study_person_and_size(dicom):
    found = header(
        dicom(
            patient_id="P-77",
            changes={"PatientName": "Doe^Jane", "PatientBirthDate": "19500102", "PatientSex": "F"},
        )
    )
    assert (found.format, found.rows, found.columns, found.modality) == ("DICOM", 128, 128, "DX")
    assert found.person.reference == "P-77"
    assert (found.person.name, found.person.birth_date, found.person.sex) == ("Doe^Jane", date(1950, 1, 2), "F")
    assert found.study_instance_uid
    assert found.sop_instance_uid != found.series_instance_uid


@pytest.mark.parametrize(
    ("value", "kept"),
    [("1.2.03.004", True), ("7", True), ("1..2", False), ("1.2.a", False), ("1." + "2" * 63, False), ("../1", False)],
)
def test_identifiers_with_leading_zeros_are_kept_as_they_are(dicom, value, kept):
    with without_warnings():
        content = dicom(changes={"StudyInstanceUID": value})
    assert header(content).study_instance_uid == (value if kept else None)


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "DeflatedExplicitVRLittleEndian", "JPEGLSLossless"])
def test_every_transfer_syntax_has_the_same_header(dicom, syntax):
    plain, other = header(dicom()), header(dicom(transfer_syntax=syntax))
    assert (other.rows, other.person, other.study_instance_uid) == (plain.rows, plain.person, plain.study_instance_uid)


def test_attributes_without_number_are_not_parsed(dicom):
    content = dicom()
    at = content.index(b"\x10\x00\x10\x00")
    few, many = (b"".join(struct.pack("<HH2sH", 9, n, b"LO", 0) for n in range(count)) for count in (100, 30_000))
    assert header(content[:at] + few + content[at:]).rows == 128
    with pytest.raises(UnreadableUploadError, match="more than 20000 attributes"):
        header(content[:at] + many + content[at:])


@pytest.mark.parametrize("syntax", ["ExplicitVRLittleEndian", "DeflatedExplicitVRLittleEndian"])
def test_pixels_beyond_what_is_parsed_are_refused(dicom, monkeypatch, syntax):
    content = dicom(transfer_syntax=syntax)
    monkeypatch.setattr("cxrscreen.service.header._HEADER_BYTES", 4000)
    assert header(content).rows == 128
    monkeypatch.setattr("cxrscreen.service.header._HEADER_BYTES", 800)
    with pytest.raises(UnreadableUploadError, match="before its pixels"):
        header(content)


def test_a_picture_has_a_size_and_no_person(png):
    assert header(png(90, side=70)) == Header("PNG", 70, 70)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"plain text", UnsupportedContentError),
        (b"%PDF-1.7 ...", UnsupportedContentError),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), UnreadableUploadError),
        (bytes(128) + b"DICM" + bytes(60), UnreadableUploadError),
    ],
)
def test_what_is_no_image_is_refused(content, error):
    with pytest.raises(error):
        header(content)


def test_too_many_pixels_and_frames_are_refused_before_decoding(dicom, png):
    with pytest.raises(TooLargeError, match="megapixels"):
        header(dicom(changes={"Rows": 60_000, "Columns": 60_000}))
    with pytest.raises(TooLargeError, match="several frames"):
        header(dicom(changes={"NumberOfFrames": 3}))
    with pytest.raises(UnreadableUploadError, match="too small"):
        header(png(1, side=20))
    animation = io.BytesIO()
    frames = [Picture.new("L", (80, 80), level) for level in (0, 200)]
    frames[0].save(animation, "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(TooLargeError, match="several frames"):
        header(animation.getvalue())


def test_a_deflated_bomb_is_refused(dicom):
    content = dicom(transfer_syntax="DeflatedExplicitVRLittleEndian")
    start = 144 + int.from_bytes(content[140:144], "little")
    deflate = zlib.compressobj(wbits=-15)
    bomb = content[:start] + deflate.compress(bytes(3 * 2**20)) + deflate.flush()
    with pytest.raises(TooLargeError, match="inflated"):
        header(bomb)


def test_malformed_values_are_as_good_as_none(dicom):
    content = dicom(patient_id="P-AB-1", changes={"AccessionNumber": "ABCDEF"})
    for whole, broken in ((b"P-AB-1", b"P\x07\x1b 1 "), (b"20200102", b"20261399"), (b"ABCDEF", b"A\x1b[2J ")):
        assert whole in content
        content = content.replace(whole, broken)
    found = header(content)
    assert found.person.reference == "P 1"
    assert found.taken_on is None
    assert found.accession_number == "A[2J"


@given(st.text(), st.integers(1, 40))
def test_cleaned_text_is_printable_and_short(text, length):
    found = clean(text, length)
    assert found is None or (found.isprintable() and 0 < len(found) <= length and "\x00" not in found)


@settings(max_examples=100)
@given(data=st.data())
def test_no_mutation_raises_anything_but_a_problem(data, dicom, png):
    whole = data.draw(st.sampled_from([dicom(), dicom(transfer_syntax="ImplicitVRLittleEndian"), png(80)]))
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 8)) if content else 0):
        content[data.draw(st.integers(0, min(len(content), 1500) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_header(io.BytesIO(bytes(content)), LIMITS)
    except ServiceError:
        return
    else:
        assert kind_of(io.BytesIO(bytes(content))) in ("dicom", "picture")
        assert 64 <= found.rows * found.columns <= LIMITS.max_pixels
