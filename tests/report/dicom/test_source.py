"""The headers that hospitals have: their results come out as objects all the same."""

import shutil
import subprocess
from io import BytesIO

import numpy as np
import pydicom
import pytest
from PIL import Image

from cxrscreen.data.phantoms import write_dicom
from cxrscreen.imaging.read import read
from cxrscreen.report.dicom.objects import dicom_objects, encoded, write_objects
from cxrscreen.report.dicom.source import source_of

# pydicom says what is wrong in a header; that something is wrong is the point here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

# PS3.5, H.3.1 and I.2: as the standard prints them, byte by byte.
KANJI = (
    b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    "Yamada^Tarou=山田^太郎=やまだ^たろう",
)
HANGUL = (
    b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    "Hong^Gildong=洪^吉洞=홍^길동",
)
# PS3.5, K.2, with the third part left out.
HANZI = (b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东")
UMLAUTS = (b"M\xfcller^J\xfcrgen", "Müller^Jürgen")


@pytest.fixture
def image(phantom, tmp_path):
    """Write the phantom with some attributes changed; bytes stay as they are."""

    def make(**changed):
        path = tmp_path / "chest.dcm"
        write_dicom(phantom, path)
        dataset = pydicom.dcmread(path)
        for keyword, value in changed.items():
            setattr(dataset, keyword, value)
        name = changed.get("PatientName")
        if isinstance(name, bytes):
            element = dataset["PatientName"]
            dataset.PatientName = "NAME"
            dataset.save_as(path)
            marked = path.read_bytes()
            place = marked.index(element.tag.group.to_bytes(2, "little") + b"\x10\x00PN")
            padded = name + b" " * (len(name) % 2)
            path.write_bytes(
                marked[: place + 6] + len(padded).to_bytes(2, "little") + padded + marked[place + 8 + len("NAME") :]
            )
        else:
            dataset.save_as(path)
        return path

    return make


def results(screening, path, made):
    """Every object of an image, as a receiver reads it."""
    objects = dicom_objects(screening, read(path), made=made)
    found = [pydicom.dcmread(BytesIO(encoded(one))) for one in objects.named.values()]
    assert len(found) == 7
    return found


@pytest.mark.parametrize(
    ("given", "name", "written"),
    [
        (["", "ISO 2022 IR 87"], KANJI, ["ISO 2022 IR 6", "ISO 2022 IR 87"]),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], KANJI, ["ISO 2022 IR 6", "ISO 2022 IR 87"]),
        (["", "ISO 2022 IR 87", "ISO 2022 IR 159"], KANJI, ["ISO 2022 IR 6", "ISO 2022 IR 87", "ISO 2022 IR 159"]),
        ("ISO 2022 IR 87", KANJI, ["ISO 2022 IR 6", "ISO 2022 IR 87"]),
        (["ISO_IR 100", "ISO 2022 IR 87"], KANJI, ["ISO 2022 IR 100", "ISO 2022 IR 87"]),
        (["", "ISO 2022 IR 149"], HANGUL, "ISO_IR 192"),
        (["", "ISO 2022 IR 58"], HANZI, "ISO_IR 192"),
        (["ISO_IR 100", "ISO 2022 IR 58"], HANZI, "ISO_IR 192"),
        ("ISO 2022 IR 149", HANGUL, "ISO_IR 192"),
        ("ISO 2022 IR 100", UMLAUTS, "ISO_IR 100"),
        ("ISO IR 100", UMLAUTS, "ISO_IR 100"),
        ("ISO_IR 100", UMLAUTS, "ISO_IR 100"),
        ("ISO 2022 IR 6", (b"Doe^Jane", "Doe^Jane"), None),
        (["ISO_IR 192", "ISO 2022 IR 100"], ("Müller^Jürgen".encode(), "Müller^Jürgen"), "ISO_IR 192"),
        ("somewhere", (b"Doe^Jane", "Doe^Jane"), "ISO_IR 192"),
    ],
)
def test_a_name_comes_back_whatever_the_character_set(screening, image, made, given, name, written):
    stored, shown = name
    path = image(SpecificCharacterSet=given, PatientName=stored)
    assert stored in path.read_bytes()
    for result in results(screening, path, made):
        assert str(result.PatientName) == shown
        assert result.get("SpecificCharacterSet") == written


def test_text_inside_sequences_is_written_in_the_character_set_of_the_object(screening, image, made):
    other = pydicom.Dataset()
    other.PatientID, other.IssuerOfPatientID = "17", "서울병원"
    path = image(SpecificCharacterSet=["", "ISO 2022 IR 149"], OtherPatientIDsSequence=[other])
    issuers = [
        result.OtherPatientIDsSequence[0].IssuerOfPatientID
        for result in results(screening, path, made)
        if "OtherPatientIDsSequence" in result
    ]
    assert set(issuers) == {"서울병원"}


@pytest.mark.parametrize(
    ("keyword", "given", "written"),
    [
        ("PatientBirthDate", "19500000", ""),
        ("PatientBirthDate", "1950.02.03", "19500203"),
        ("PatientBirthDate", "1950", ""),
        ("StudyDate", "20200230", ""),
        ("StudyDate", "20200229", "20200229"),
        ("StudyTime", "10:20:30", "102030"),
        ("StudyTime", "10:20:30.5", "102030.5"),
        ("StudyTime", "1020", "1020"),
        ("StudyTime", "256199", ""),
    ],
)
def test_a_date_or_time_that_is_none_is_left_empty_and_an_old_form_becomes_todays(image, keyword, given, written):
    path = image(**{keyword: given})
    assert source_of(path, read(path)).header[keyword].value == written


@pytest.mark.parametrize(
    ("given", "written"),
    [("L", ""), (["L", "F", "H"], ""), (["LEFT", "FOOT"], ""), (["L", "F"], ["L", "F"]), ("", "")],
)
def test_an_orientation_that_is_no_pair_is_left_empty(image, given, written):
    path = image(PatientOrientation=given)
    assert source_of(path, read(path)).header.PatientOrientation == written


@pytest.mark.parametrize(("ending", "lossy"), [("jpg", "01"), ("png", None)])
def test_a_jpeg_file_is_said_to_have_lost_something_for_good(ending, lossy, screening, tmp_path):
    path = tmp_path / f"film.{ending}"
    height, width = screening.lung_mask.shape
    Image.fromarray((np.arange(height * width) % 251).reshape(height, width).astype(np.uint8)).save(path)
    assert source_of(path, read(path)).header.get("LossyImageCompression") == lossy


def test_what_is_wrong_in_a_header_costs_no_result(screening, image, made):
    path = image(PatientBirthDate="19500000", StudyDate="2020", StudyTime="10:20:30", PatientOrientation="L")
    for result in results(screening, path, made):
        assert (result.PatientBirthDate, result.StudyDate, result.StudyTime) == ("", "", "102030")
        assert not result.get("PatientOrientation")


@pytest.mark.parametrize(
    ("kind", "value"), [(b"US", b"\1\0\2"), (b"UL", b"\1\0"), (b"FD", b"\0" * 6), (b"ZZ", b"abcd")]
)
def test_an_attribute_that_cannot_be_read_costs_no_result(screening, image, made, kind, value):
    path = image()
    content = path.read_bytes()
    # Private, between two that are not: (0027,1010) before Samples per Pixel (0028,0002).
    place = content.index(b"\x28\x00\x02\x00US")
    block = b"\x27\x00\x10\x00LO\x06\x00VENDOR"
    malformed = block + b"\x27\x00\x10\x10" + kind + len(value).to_bytes(2, "little") + value
    path.write_bytes(content[:place] + malformed + content[place:])
    for result in results(screening, path, made):
        assert result.PatientName == "PHANTOM^SYNTHETIC"


@pytest.mark.parametrize(
    ("keyword", "stored", "kept"),
    [
        ("ReferringPhysicianName", b"Meyer^A\\Huber^B", "Meyer^A"),
        ("PatientName", b"Doe^Jane\\Roe^Jane", "Doe^Jane"),
        ("PixelSpacing", b"0.14", None),
        ("PixelSpacing", b"N/A\\N/A ", None),
        ("PixelSpacing", b"nan\\nan ", None),
        ("LossyImageCompressionRatio", b"ten ", None),
    ],
)
def test_a_value_of_the_wrong_form_costs_no_result(screening, image, made, keyword, stored, kept):
    path = image(**{keyword: "1" * len(stored) if keyword != "PixelSpacing" else ["1" * 3, "1" * (len(stored) - 4)]})
    written = path.read_bytes()
    tag = pydicom.tag.Tag(keyword)
    start = written.index(tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")) + 8
    size = int.from_bytes(written[start - 2 : start], "little")
    path.write_bytes(written[:start] + stored.ljust(size) + written[start + size :])
    assert source_of(path, read(path)).header.get(keyword) == kept
    results(screening, path, made)


@pytest.mark.services
@pytest.mark.parametrize(
    "changed",
    [
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": KANJI[0]},
        {"SpecificCharacterSet": ["", "ISO 2022 IR 149"], "PatientName": HANGUL[0]},
        {"SpecificCharacterSet": "ISO 2022 IR 100", "PatientName": UMLAUTS[0]},
        {"PatientBirthDate": "19500000", "StudyTime": "10:20:30"},
        {"PatientOrientation": "L"},
    ],
)
def test_dciodvfy_finds_no_error_in_results_of_such_headers(screening, image, made, tmp_path, changed):
    verify = shutil.which("dciodvfy") or pytest.skip("dciodvfy is not installed")
    radiograph = read(image(**changed))
    for path in write_objects(tmp_path / "results", dicom_objects(screening, radiograph, made=made)):
        said = subprocess.run([verify, path], capture_output=True, check=False).stderr.decode(errors="replace")
        errors = [line for line in said.splitlines() if line.startswith("Error")]
        assert not errors, (path.name, errors)
