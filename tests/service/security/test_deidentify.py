import io
from datetime import date

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from cxrscreen.imaging.read import read
from cxrscreen.service.problems import UnreadableUploadError
from cxrscreen.service.security.deidentify import Deidentifier

KEY = b"a key of thirty-two characters.."
PERSON = {
    "PatientName": "Zzyzx^Quentin",
    "PatientID": "ZZ-991",
    "IssuerOfPatientID": "HOSPITAL-Z",
    "PatientBirthDate": "19410203",
    "PatientSex": "F",
    "PatientAddress": "Zzyzx Road 1",
    "AccessionNumber": "ACC-Z-1",
    "InstitutionName": "Zzyzx General",
    "ReferringPhysicianName": "Zzyzx^Doctor",
    "StudyDate": "20200310",
    "StudyTime": "101112",
    "AcquisitionDateTime": "20200310101112",
    "StudyDescription": "chest of Zzyzx",
    "DeviceSerialNumber": "Z-SERIAL",
}


def given(dicom, **more):
    return io.BytesIO(dicom(changes={**PERSON, "BurnedInAnnotation": "NO", **more}))


def taken(content, **options):
    return pydicom.dcmread(Deidentifier(KEY, **options).file(content, is_dicom=True))


def everything(dataset):
    content = io.BytesIO()
    pydicom.dcmwrite(content, dataset, enforce_file_format=True)
    return content.getvalue().decode("latin-1")


def nested():
    item = Dataset()
    item.PatientName, item.PatientID = "Zzyzx^Quentin", "ZZ-991"
    item.CodeMeaning = "kept"
    item.add_new(0x00091001, "LO", "Zzyzx private")
    return item


def test_names_and_numbers_are_gone_wherever_they_were(dicom):
    dataset = pydicom.dcmread(given(dicom))
    dataset.ViewCodeSequence = Sequence([nested()])
    dataset.OriginalAttributesSequence = Sequence([nested()])
    block = dataset.private_block(0x0011, "ZZYZX", create=True)
    block.add_new(1, "LO", "Zzyzx private")
    dataset.add_new(0x60000022, "LO", "Zzyzx overlay")
    dataset.add_new(0x60004000, "LT", "Zzyzx overlay")
    dataset.file_meta.SourceApplicationEntityTitle = "ZZYZX"
    dataset.file_meta.ImplementationVersionName = "ZZYZX"
    dataset.preamble = b"Zzyzx" + b"\0" * 123
    content = io.BytesIO(everything(dataset).encode("latin-1"))
    result = taken(content)
    text = everything(result).lower()
    for secret in ("quentin", "zz-991", "hospital-z", "19410203", "acc-z-1", "z-serial", "20200310", "101112"):
        assert secret not in text
    assert "zzyzx" not in text
    assert result.ViewCodeSequence[0].CodeMeaning == "kept"
    assert "OriginalAttributesSequence" not in result
    assert not any(element.tag.is_private for element in result)


def test_the_image_is_the_same(dicom, tmp_path):
    before, after = tmp_path / "before.dcm", tmp_path / "after.dcm"
    content = given(dicom)
    before.write_bytes(content.getvalue())
    after.write_bytes(Deidentifier(KEY).file(content, is_dicom=True).read())
    first, second = read(before), read(after)
    assert np.array_equal(first.pixels, second.pixels)
    assert first.pixel_spacing_mm == second.pixel_spacing_mm
    assert pydicom.dcmread(after).SOPClassUID == pydicom.dcmread(before).SOPClassUID


def test_it_says_what_was_done(dicom):
    result = taken(given(dicom), keep_intervals=True)
    assert result.PatientIdentityRemoved == "YES"
    assert [item.CodeValue for item in result.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert result.LongitudinalTemporalInformationModified == "MODIFIED"
    assert taken(given(dicom)).LongitudinalTemporalInformationModified == "REMOVED"


def test_pseudonyms_follow_from_the_key_alone(dicom):
    first, second = taken(given(dicom)), taken(given(dicom, StudyDate="20200312"))
    assert first.PatientID == second.PatientID == str(first.PatientName)
    assert first.PatientID.startswith("ANON-")
    other_key = Deidentifier(KEY[::-1])
    assert other_key.pseudonym("ZZ-991", "HOSPITAL-Z") != first.PatientID
    same_key = Deidentifier(KEY)
    assert same_key.pseudonym("ZZ-991", "HOSPITAL-Z") == first.PatientID
    assert same_key.pseudonym("ZZ-991", "ANOTHER") != first.PatientID
    assert same_key.pseudonym(" ZZ-991 ") == same_key.pseudonym("ZZ-991")


def test_uids_still_tie_images_of_a_study_together(dicom):
    first, second = taken(given(dicom)), taken(given(dicom, SOPInstanceUID="1.2.3.4.5.6"))
    original = pydicom.dcmread(given(dicom))
    assert first.StudyInstanceUID == second.StudyInstanceUID != original.StudyInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert first.StudyInstanceUID.is_valid
    assert first.StudyInstanceUID.startswith("2.25.")


def test_the_same_file_gives_the_same_bytes(dicom):
    deidentifier = Deidentifier(KEY)
    first = deidentifier.file(given(dicom), is_dicom=True).read()
    assert deidentifier.file(given(dicom), is_dicom=True).read() == first


def test_dates_go_or_move_together(dicom):
    gone = taken(given(dicom))
    assert not gone.StudyDate
    assert not gone.PatientBirthDate
    first = taken(given(dicom), keep_intervals=True)
    later = taken(given(dicom, StudyDate="20200315"), keep_intervals=True)

    def day(dataset):
        return date.fromisoformat(str(dataset.StudyDate))

    assert (day(later) - day(first)).days == 5
    assert 365 <= (date(2020, 3, 10) - day(first)).days < 3650
    assert not first.PatientBirthDate
    assert str(first.AcquisitionDateTime)[:8] == str(first.StudyDate)
    assert "101112" not in everything(first)
    other = taken(given(dicom, PatientID="ZZ-992"), keep_intervals=True)
    assert day(other) != day(first)
    deidentifier = Deidentifier(KEY, keep_intervals=True)
    assert deidentifier.moved(date(2020, 3, 10), str(first.PatientID)) == day(first)


def test_a_date_before_which_no_day_is_left_is_removed():
    keeps = Deidentifier(KEY, keep_intervals=True)
    assert keeps.moved(date(1, 1, 1), "ANON-1") is None
    assert keeps.moved(date(2020, 3, 10), "ANON-1") < date(2020, 3, 10)


def test_text_that_is_known_to_be_burned_in_is_refused(dicom):
    with pytest.raises(UnreadableUploadError, match="burned into"):
        taken(given(dicom, BurnedInAnnotation="YES"))


def test_dates_that_are_none(dicom):
    dataset = pydicom.dcmread(given(dicom))
    dataset.add(pydicom.DataElement(0x00080020, "DA", "20200310"))
    dataset["StudyDate"]._value = "Zz.Zz"
    with pydicom.config.disable_value_validation():
        assert not taken(io.BytesIO(everything(dataset).encode("latin-1")), keep_intervals=True).StudyDate


def test_what_the_table_does_not_list_and_names_somebody_goes_too(dicom):
    changed = {"PatientBirthDateInAlternativeCalendar": "S16.2.3", "CommentsOnTheScheduledProcedureStep": "for Zzyzx"}
    dataset = taken(given(dicom, **changed, PatientAlternativeCalendar="JAPANESE", EvaluatorName="Zzyzx^Evaluator"))
    assert not {*changed, "PatientAlternativeCalendar", "EvaluatorName"} & {element.keyword for element in dataset}
    assert "zzyzx" not in everything(dataset).lower()


def test_an_attribute_that_cannot_be_read_goes_alone(dicom):
    dataset = pydicom.dcmread(given(dicom))
    # Six bytes are no double, and ZZ is no kind of value.
    dataset.add_new("DistanceSourceToDetector", "DS", "1800")
    written = everything(dataset).replace("\x18\x00\x10\x11DS\x04\x001800", "\x18\x00\x10\x11FD\x04\x001800")
    written = written.replace("\x08\x00\x30\x10LO", "\x08\x00\x30\x10ZZ")
    found = taken(io.BytesIO(written.encode("latin-1")))
    assert "DistanceSourceToDetector" not in found
    assert found.PatientID.startswith("ANON-")
    assert found.pixel_array.shape == dataset.pixel_array.shape


def test_what_cannot_be_read_is_refused_without_its_text(dicom, monkeypatch):
    from cxrscreen.service.security import deidentify

    def fail(*_given, **_named):
        raise ValueError("Zzyzx^Quentin")

    monkeypatch.setattr(deidentify, "anonymize_dataset", fail)
    with pytest.raises(UnreadableUploadError, match="ValueError") as refused:
        taken(given(dicom))
    assert "zzyzx" not in str(refused.value).lower()


def picture(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    content.seek(0)
    return content


def grey(side=64, kind=np.uint8, top=255):
    return np.linspace(0, top, side * side).reshape(side, side).astype(kind)


def exif():
    tags = Image.Exif()
    tags[0x010E] = "Zzyzx Quentin"
    return tags


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_pictures_keep_their_pixels_and_nothing_else(kind, tmp_path):
    tags = exif()
    tags[0x0112] = 6
    content = picture(Image.fromarray(grey()), kind, exif=tags)
    plain = Deidentifier(KEY).file(content, is_dicom=False).read()
    assert b"Zzyzx" in content.getvalue() or kind == "TIFF"
    assert b"Zzyzx" not in plain
    assert b"eXIf" not in plain
    before, after = tmp_path / f"before.{kind.lower()}", tmp_path / "after.png"
    before.write_bytes(content.getvalue())
    after.write_bytes(plain)
    assert np.allclose(read(before).pixels, read(after).pixels, atol=1e-3)


def test_comments_of_a_png_go(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Patient", "Zzyzx")
    content = picture(Image.fromarray(grey()), "PNG", pnginfo=info)
    assert b"Zzyzx" in content.getvalue()
    assert b"Zzyzx" not in Deidentifier(KEY).file(content, is_dicom=False).read()


def test_deep_pictures_stay_deep():
    deep = grey(kind=np.uint16, top=4000)
    content = io.BytesIO(cv2.imencode(".png", deep)[1].tobytes())
    plain = Deidentifier(KEY).file(content, is_dicom=False).read()
    assert np.array_equal(cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_UNCHANGED), deep)


@pytest.mark.parametrize("deep", [np.float32, "colour"])
def test_pictures_that_png_does_not_hold_are_refused(deep):
    if deep == "colour":
        pixels = np.zeros((64, 64, 3), np.uint16)
        content = io.BytesIO(cv2.imencode(".png", pixels)[1].tobytes())
    else:
        content = picture(Image.fromarray(grey(kind=np.float32, top=1)), "TIFF")
    with pytest.raises(UnreadableUploadError, match="not de-identified"):
        Deidentifier(KEY).file(content, is_dicom=False)


def test_on_arrival(context, dicom, png):
    """What the database and the disk hold of an upload with de-identification on."""
    from dataclasses import replace

    from pydantic import SecretStr

    from cxrscreen.service.intake import Said, Sender, Upload, take_in
    from cxrscreen.service.store.models import Image as ImageRow
    from cxrscreen.service.store.models import Patient, Study

    update = {"deidentify": "basic_keep_intervals", "pseudonym_key": SecretStr(KEY.decode())}
    here = replace(context, settings=context.settings.model_copy(update=update))
    uploads = [Upload(given(dicom), "zzyzx.dcm"), Upload(io.BytesIO(png(90)), "zzyzx.png")]
    said = Said("ZZ-991", date(2020, 3, 12))
    receipt = take_in(here, uploads, Sender("tester", "api"), said)
    assert [item.outcome for item in receipt.taken] == ["accepted", "accepted"]
    again = take_in(here, uploads, Sender("tester", "api"), said)
    assert [item.outcome for item in again.taken] == ["duplicate", "duplicate"]
    with here.database.reading() as session:
        rows = [*session.query(ImageRow), *session.query(Patient), *session.query(Study)]
        patients = {row.reference for row in session.query(Patient)}
    text = repr([vars(row) for row in rows]).lower()
    assert not any(secret in text for secret in ("zzyzx", "zz-991", "acc-z-1", "19410203", "date(1941"))
    assert patients == {Deidentifier(KEY).pseudonym("ZZ-991", "HOSPITAL-Z"), Deidentifier(KEY).pseudonym("ZZ-991")}
    for name in here.files.names():
        content = here.files.read(name).lower()
        assert b"zzyzx" not in content
        assert b"zz-991" not in content
