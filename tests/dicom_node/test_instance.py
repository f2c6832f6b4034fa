"""What is taken and what is refused, whatever the bytes are."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import uid

from cxrscreen.dicom_node.instance import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH,
    INVALID_INSTANCE,
    OTHER_MODALITY,
    OWN_RESULT,
    NotTakenError,
    examine,
    is_uid,
    readable_syntaxes,
)


def changed(path: Path, **attributes: str) -> bytes:
    dataset = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def test_identifiers_in_every_transfer_syntax(files):
    for path in files.values():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        found = examine(path.read_bytes())
        assert found.sop_instance_uid == header.SOPInstanceUID
        assert found.study_instance_uid == header.StudyInstanceUID


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"Modality": "CT"}, OTHER_MODALITY),
        ({"Modality": "MG"}, OTHER_MODALITY),
        ({"SOPClassUID": uid.CTImageStorage}, DOES_NOT_MATCH),
        ({"StudyInstanceUID": ""}, INVALID_INSTANCE),
        ({"Manufacturer": "cxrscreen", "ManufacturerModelName": "cxrscreen screening"}, OWN_RESULT),
    ],
)
def test_what_is_not_taken_and_why(image, attributes, status):
    with pytest.raises(NotTakenError) as refusal:
        examine(changed(image, **attributes))
    assert refusal.value.status == status
    assert len(str(refusal.value)) <= 64


def test_a_uid_that_would_leave_the_folder_is_refused(image):
    content = image.read_bytes()
    own = examine(content).sop_instance_uid.encode()
    way_out = (b"../" * len(own))[: len(own)]
    with pytest.raises(NotTakenError) as refusal:
        examine(content.replace(own, way_out))
    assert refusal.value.status == INVALID_INSTANCE


@given(st.binary(max_size=400))
def test_bytes_of_no_kind_are_refused_in_words(content):
    for some in (content, bytes(128) + b"DICM" + content):
        with pytest.raises(NotTakenError) as refusal:
            examine(some)
        assert refusal.value.status in (CANNOT_UNDERSTAND, INVALID_INSTANCE, DOES_NOT_MATCH)


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_header_never_ends_in_another_error(files, data):
    path = data.draw(st.sampled_from(sorted(files.values())))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(132, 1500), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        found = examine(bytes(content))
    except NotTakenError:
        return
    assert is_uid(found.sop_instance_uid)
    assert is_uid(found.study_instance_uid)


def test_uids_and_syntaxes():
    assert is_uid("1.2.840.10008")
    for value in ("", "1", "1..2", "1.2.", "a.b", "1.2/3", "1." + "2" * 64, "1.2\n"):
        assert not is_uid(value), value
    syntaxes = readable_syntaxes()
    assert syntaxes[0] == uid.ExplicitVRLittleEndian
    assert {uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless, uid.JPEGLosslessSV1} <= set(syntaxes)
    assert uid.MPEG2MPML not in syntaxes
