"""DICOMweb as dicomweb-client speaks it with the service, and what clients do wrong."""

import io
import struct
import threading
import time
from collections import Counter

import numpy as np
import pydicom
import pytest
import requests
import uvicorn
from dicomweb_client.api import DICOMwebClient
from PIL import Image as Picture
from pydantic import SecretStr
from pydicom import uid
from pydicom.dataset import Dataset
from sqlalchemy import func, select

from cxrscreen.imaging.silence import without_warnings
from cxrscreen.service.app import create_app
from cxrscreen.service.dicom_objects import export_once
from cxrscreen.service.intake import Sender, Upload, take_in
from cxrscreen.service.store.exchange import Instance
from cxrscreen.service.store.models import Result, Study

TOKEN = "a token for tests only"
PATH = "/dicom-web/studies"


def body(*contents, boundary="part"):
    parts = [b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (boundary.encode(), one) for one in contents]
    return b"".join((*parts, b"--%b--" % boundary.encode()))


def store(client, *contents, path=PATH, **options):
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=part'}
    return client.post(path, content=body(*contents), headers=headers, **options)


def read(content):
    return pydicom.dcmread(io.BytesIO(content))


def image_of(sent):
    return f"{PATH}/{sent.StudyInstanceUID}/series/{sent.SeriesInstanceUID}/instances/{sent.SOPInstanceUID}"


def test_an_attribute_of_a_group_that_repeats_is_refused_in_words(client, dicom):
    assert store(client, dicom()).status_code == 200
    for path in (PATH, "/dicom-web/series", "/dicom-web/instances"):
        answer = client.get(path, params={"includefield": "60003000"})
        assert (answer.status_code, "OverlayData" in answer.json()["detail"]) == (400, True)
        assert client.get(path, params={"includefield": "all"}).status_code == 200


@pytest.fixture
def address(context):
    """The address of the service's DICOMweb, on a real socket."""
    app = create_app(context.settings, context)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + 300
    while not server.started and time.monotonic() < end:
        time.sleep(0.02)
    public = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    # The client names the host without its port, so that what it is told to fetch would be elsewhere.
    context.settings.__dict__["public_url"] = public
    yield f"{public}/dicom-web"
    server.should_exit = True
    thread.join(60)


@pytest.fixture
def web(address):
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {TOKEN}"
    return DICOMwebClient(address, session=session)


def test_the_field_s_own_client_stores_finds_and_retrieves(web, dicom, work, context):
    sent = [pydicom.dcmread(io.BytesIO(dicom(image_number=number))) for number in (1, 2)]
    study = sent[0].StudyInstanceUID
    answer = web.store_instances(sent)
    assert [one.ReferencedSOPInstanceUID for one in answer.ReferencedSOPSequence] == [
        one.SOPInstanceUID for one in sent
    ]
    assert "FailedSOPSequence" not in answer
    work()
    while export_once(context):
        pass

    found = Dataset.from_json(web.search_for_studies(search_filters={"PatientID": sent[0].PatientID})[0])
    assert found.StudyInstanceUID == study
    assert found.PatientName == sent[0].PatientName
    assert set(found.ModalitiesInStudy) == {"DX", "SEG", "SR", "OT", "PR"}
    assert found.NumberOfStudyRelatedInstances == 2 + 2 * 6
    series = [Dataset.from_json(one) for one in web.search_for_series(study, search_filters={"Modality": "SEG"})]
    assert len(series) == 2
    (segmentation,) = [Dataset.from_json(one) for one in web.search_for_instances(study, series[0].SeriesInstanceUID)]
    assert segmentation.SOPClassUID == uid.SegmentationStorage

    names = (study, series[0].SeriesInstanceUID, segmentation.SOPInstanceUID)
    whole = web.retrieve_instance(*names)
    assert whole.SegmentSequence[0].SegmentLabel == "Right lung"
    frame = np.unpackbits(np.frombuffer(web.retrieve_instance_frames(*names, [2])[0], np.uint8), bitorder="little")
    assert (frame[: 128 * 128].reshape(128, 128) == whole.pixel_array[1]).all()
    assert len(web.retrieve_study(study)) == 14
    described = web.retrieve_instance_metadata(*names)
    assert described["00620002"]["Value"][0]["00620005"]["Value"] == ["Right lung"]
    assert described["7FE00010"]["BulkDataURI"].startswith("http")
    (pixels,) = web.retrieve_bulkdata(described["7FE00010"]["BulkDataURI"])
    assert pixels == whole.PixelData

    image = (study, sent[0].SeriesInstanceUID, sent[0].SOPInstanceUID)
    assert web.retrieve_instance(*image).PixelData == sent[0].PixelData
    (values,) = web.retrieve_instance_frames(*image, [1])
    assert values == sent[0].PixelData
    picture = Picture.open(io.BytesIO(web.retrieve_instance_rendered(*image, media_types=("image/png",))))
    assert picture.size == (128, 128)


def test_what_is_stored_twice_is_screened_once(web, dicom, work, context):
    sent = pydicom.dcmread(io.BytesIO(dicom()))
    for _ in range(2):
        assert len(web.store_instances([sent]).ReferencedSOPSequence) == 1
    work()
    with context.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Result)) == 1


def test_what_is_not_stored_is_said_with_its_reason(client, dicom, context):
    good, other = dicom(), dicom(image_number=2, changes={"Modality": "CT"})
    mixed = store(client, good, other, b"no DICOM at all")
    assert mixed.status_code == 202
    assert mixed.headers["content-type"] == "application/dicom+json"
    answer = Dataset.from_json(mixed.json())
    assert len(answer.ReferencedSOPSequence) == 1
    assert answer.ReferencedSOPSequence[0].RetrieveURL == f"http://testserver{image_of(read(good))}"
    assert answer.FailedSOPSequence[0].FailureReason == 0xC010
    assert answer.OtherFailuresSequence[0].FailureReason == 0xC000
    another = Dataset.from_json(store(client, dicom(changes={"PatientName": "Other"})).json())
    assert "RetrieveURL" not in another.ReferencedSOPSequence[0], "the first one is found under its identifier"
    nothing = store(client, dicom(changes={"SOPClassUID": uid.CTImageStorage, "Modality": "CT"}))
    assert nothing.status_code == 409
    assert Dataset.from_json(nothing.json()).FailedSOPSequence[0].FailureReason == 0x0122
    elsewhere = store(client, good, path=f"{PATH}/1.2.3")
    assert elsewhere.status_code == 409
    assert Dataset.from_json(elsewhere.json()).FailedSOPSequence[0].FailureReason == 0xA900
    context.settings.__dict__["max_file_bytes"] = 2000
    large = store(client, good)
    assert Dataset.from_json(large.json()).OtherFailuresSequence[0].FailureReason == 0xC013


@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data; boundary=part", body(b""), 415),
        ('multipart/related; type="application/dicom+json"; boundary=part', body(b""), 415),
        ('multipart/related; type="application/dicom"', body(b""), 400),
        ('multipart/related; type="application/dicom"; boundary=part', b"no parts", 400),
        ('multipart/related; type="application/dicom"; boundary=part', body(b"x")[:-9], 400),
        ('multipart/related; type="application/dicom"; boundary=part', b"--part--", 400),
    ],
)
def test_a_body_that_is_none(client, content_type, content, status):
    answer = client.post(PATH, content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_was_stored_before_a_body_broke_off_is_written_down(client, dicom):
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=part'}
    assert client.post(PATH, content=body(dicom(), b"x")[:-9], headers=headers).status_code == 400
    assert client.get(PATH).json()
    (event,) = client.get("/api/v1/audit-log?action=dicomweb.stored").json()
    assert event["details"]["stored"] == 1


def test_a_file_that_is_a_picture_too_counts_as_what_it_came_as(client, dicom, context):
    png = b"\x89PNG\r\n\x1a\n"
    answer = store(client, png + dicom()[len(png) :])
    assert answer.status_code == 200
    assert client.get(f"{PATH}?Modality=DX").json()


def test_deidentified_instances_are_said_to_be_so(client, context, dicom):
    context.settings.__dict__.update(deidentify="basic", pseudonym_key=SecretStr("k" * 32))
    content = dicom(changes={"BurnedInAnnotation": "NO"})
    answer = store(client, content)
    assert answer.status_code == 202
    (item,) = Dataset.from_json(answer.json()).ReferencedSOPSequence
    sent = pydicom.dcmread(io.BytesIO(content))
    assert (item.ReferencedSOPInstanceUID, item.WarningReason) == (sent.SOPInstanceUID, 0xB000)
    assert sent.StudyInstanceUID not in item.RetrieveURL
    (found,) = client.get(PATH).json()
    (kept,) = client.get("/dicom-web/instances").json()
    assert item.RetrieveURL == kept["00081190"]["Value"][0]
    assert str(sent.PatientName) not in str(found)


@pytest.mark.parametrize(
    ("set_to", "changes", "reason"),
    [
        ({"deidentify": "basic", "pseudonym_key": SecretStr("k" * 32)}, {"BurnedInAnnotation": "YES"}, 0xC012),
        ({"max_pixels": 100 * 100}, {}, 0xC013),
        ({}, {"NumberOfFrames": 2}, 0xC013),
    ],
)
def test_what_will_never_be_taken_asks_nobody_to_try_again(client, context, dicom, set_to, changes, reason):
    context.settings.__dict__.update(set_to)
    answer = store(client, dicom(changes=changes))
    assert answer.status_code == 409
    assert Dataset.from_json(answer.json()).FailedSOPSequence[0].FailureReason == reason


def test_searches(client, dicom):
    store(client, dicom(changes={"PatientName": "Müller^Änne", "StudyDate": "20200310", "AccessionNumber": "A1"}))
    store(
        client,
        dicom(
            image_number=2,
            changes={
                "StudyInstanceUID": "1.2.3",
                "SeriesInstanceUID": "1.2.3.4",
                "PatientName": "Doe^Jane",
                "PatientID": "P_2",
                "StudyDate": "20210101",
                "StudyTime": "101500",
            },
        ),
    )

    def names(query):
        found = client.get(f"{PATH}?{query}")
        assert found.status_code == 200, found.text
        return [one["00100010"]["Value"][0]["Alphabetic"] for one in found.json()]

    assert names("") == ["Doe^Jane", "Müller^Änne"]
    for query in (
        "PatientName=doe*",
        "00100010=D?e^Jane",
        "StudyDate=20210101",
        "StudyDate=20200601-",
        "StudyTime=1000-11",
        "StudyInstanceUID=1.2.3,1.9",
        "PatientID=P_*",
        "limit=1",
        "includefield=all&offset=0&limit=1",
    ):
        assert names(query) == ["Doe^Jane"], query
    for query in ("PatientName=mÜLLER*", "StudyDate=-20200601", "AccessionNumber=A1", "offset=1", "StudyDate=20200310"):
        assert names(query) == ["Müller^Änne"], query
    assert names("PatientID=PX2") == []
    assert names("ModalitiesInStudy=CT") == []
    assert "additional results" in client.get(f"{PATH}?limit=1").headers["warning"]
    assert "fuzzymatching" in client.get(f"{PATH}?fuzzymatching=true").headers["warning"]
    for wrong in (
        "Nonsense=1",
        "limit=x",
        "StudyDate=yesterday",
        "StudyDate=2020.03.10",
        "StudyDate=2020",
        "PatientWeight=70",
        "SeriesNumber=a",
    ):
        assert client.get(f"{PATH}?{wrong}").status_code == 400
    one = client.get("/dicom-web/instances?StudyInstanceUID=1.2.3&includefield=all").json()[0]
    assert one["00083002"]["Value"] == [uid.ExplicitVRLittleEndian]
    assert "00280101" in one
    assert len(client.get("/dicom-web/series?Modality=DX&SeriesNumber=1").json()) == 2
    assert client.get("/dicom-web/series?Modality=DX&SeriesNumber=2").json() == []


@pytest.fixture
def compressed(client, dicom):
    content = dicom(transfer_syntax="JPEGLSLossless")
    assert store(client, content).status_code == 200
    sent = pydicom.dcmread(io.BytesIO(content))
    return sent, f"{PATH}/{sent.StudyInstanceUID}/series/{sent.SeriesInstanceUID}/instances/{sent.SOPInstanceUID}"


def first_part(answer):
    head, _, rest = answer.content.partition(b"\r\n\r\n")
    boundary = answer.headers["content-type"].rpartition("boundary=")[2].encode()
    return head.decode(), rest.rpartition(b"\r\n--" + boundary + b"--")[0]


def test_compressed_images_in_the_form_that_is_asked_for(client, compressed):
    sent, path = compressed
    dicom_type = 'multipart/related; type="application/dicom"'
    kept = first_part(client.get(path, headers={"Accept": f"{dicom_type}; transfer-syntax=*"}))[1]
    assert pydicom.dcmread(io.BytesIO(kept)).file_meta.TransferSyntaxUID == uid.JPEGLSLossless
    plain = pydicom.dcmread(io.BytesIO(first_part(client.get(path, headers={"Accept": dicom_type}))[1]))
    assert plain.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
    assert plain.SOPInstanceUID == sent.SOPInstanceUID
    assert (plain.pixel_array == sent.pixel_array).all()
    other = client.get(path, headers={"Accept": f"{dicom_type}; transfer-syntax={uid.RLELossless}"})
    assert other.status_code == 406

    octets = 'multipart/related; type="application/octet-stream"'
    head, values = first_part(client.get(f"{path}/frames/1", headers={"Accept": octets}))
    assert "application/octet-stream" in head
    assert values == sent.pixel_array.astype("<u2").tobytes()
    head, values = first_part(client.get(f"{path}/frames/1", headers={"Accept": f"{octets}; transfer-syntax=*"}))
    assert f"image/jls; transfer-syntax={uid.JPEGLSLossless}" in head
    assert values in sent.PixelData
    assert client.get(f"{path}/frames/2").status_code == 404
    assert client.get(f"{path}/frames/1", headers={"Accept": "video/mpeg"}).status_code == 406
    assert client.get(f"{path}/bulkdata/00101010").status_code == 404
    assert client.get(f"{PATH}/1.2.9").status_code == 404
    assert client.get(f"{path}/metadata", headers={"Accept": "application/dicom+xml"}).status_code == 406


def test_metadata_hold_whatever_a_header_holds(client, dicom):
    icon = Dataset()
    icon.add_new("PixelData", "OB", bytes(range(256)) * 8)
    icon.add_new("RealWorldValueFirstValueMapped", "FD", [float("nan"), float("-inf"), 1.5])
    content = dicom(changes={"IconImageSequence": [icon]})
    assert store(client, content).status_code == 200
    sent = pydicom.dcmread(io.BytesIO(content))
    (found,) = client.get(f"{PATH}/{sent.StudyInstanceUID}/metadata").json()
    (item,) = found["00880200"]["Value"]
    ((_, numbers),) = [(tag, one["Value"]) for tag, one in item.items() if one["vr"] == "FD"]
    assert numbers == ["NaN", "-inf", 1.5]
    address = item["7FE00010"]["BulkDataURI"]
    assert address.endswith("/bulkdata/00880200-0-7FE00010")
    assert first_part(client.get(address))[1] == bytes(range(256)) * 8


def test_metadata_of_a_file_with_a_malformed_value(client, dicom):
    content = dicom()
    at = content.index(b"\x10\x00\x10\x00")
    malformed = struct.pack("<HH2sH", 8, 0x1197, b"US", 3) + b"abc"
    assert store(client, content[:at] + malformed + content[at:]).status_code == 200
    study = pydicom.dcmread(io.BytesIO(content)).StudyInstanceUID
    (found,) = client.get(f"{PATH}/{study}/metadata").json()
    assert found["0020000D"]["Value"] == [study]
    assert "00081197" not in found


def test_an_image_that_cannot_be_decompressed_is_refused_in_words(client, compressed, context):
    _, path = compressed
    with context.database.reading() as session:
        kept = context.files.path(session.scalar(select(Instance.sha256)))
    content = kept.read_bytes()
    start = content.index(b"\xff\xd8\xff")
    kept.write_bytes(content[:start] + bytes(100) + content[start + 100 :])
    refused = client.get(path, headers={"Accept": 'multipart/related; type="application/dicom"'})
    assert (refused.status_code, refused.headers["content-type"]) == (406, "application/problem+json")
    octets = 'multipart/related; type="application/octet-stream"'
    assert client.get(f"{path}/frames/1", headers={"Accept": octets}).status_code == 406
    assert client.get(path, headers={"Accept": "*/*"}).status_code == 200


def test_a_data_set_without_the_dicom_mark_goes_out_as_a_file(client, context, dicom):
    content = dicom()
    sent = pydicom.dcmread(io.BytesIO(content))
    bare = content[144 + int.from_bytes(content[140:144], "little") :]
    take_in(context, [Upload(io.BytesIO(bare))], Sender("tester", "api"))
    for accept in ("*/*", 'multipart/related; type="application/dicom"'):
        given = pydicom.dcmread(io.BytesIO(first_part(client.get(image_of(sent), headers={"Accept": accept}))[1]))
        assert given.PixelData == sent.PixelData
    assert first_part(client.get(f"{image_of(sent)}/frames/1"))[1] == sent.PixelData


def test_what_stands_behind_the_pixels_is_not_parsed(client, dicom):
    content = dicom()
    sent = read(content)
    assert store(client, content + b"\xfc\xff\xfc\xffZZ\x00\x00" + b"\xff" * 64).status_code == 200
    assert first_part(client.get(f"{image_of(sent)}/frames/1"))[1] == sent.PixelData
    assert first_part(client.get(f"{image_of(sent)}/bulkdata/7FE00010"))[1] == sent.PixelData


def test_frames_are_little_endian_whatever_the_file_is(client, context, dicom):
    sent = pydicom.dcmread(io.BytesIO(dicom()))
    turned = Dataset()
    turned.update(sent)
    turned.file_meta = sent.file_meta
    turned.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    turned["PixelData"].VR = "OW"
    turned.PixelData = sent.pixel_array.astype(">u2").tobytes()
    content = io.BytesIO()
    turned.save_as(content, implicit_vr=False, little_endian=False, enforce_file_format=True)
    take_in(context, [Upload(content)], Sender("tester", "api"))
    assert first_part(client.get(f"{image_of(sent)}/frames/1"))[1] == sent.pixel_array.astype("<u2").tobytes()


def test_pictures_fit_the_viewport(client, compressed):
    _, path = compressed
    answer = client.get(f"{path}/rendered?viewport=64,32")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Picture.open(io.BytesIO(answer.content)).size == (32, 32)
    assert client.get(f"{path}/rendered", headers={"Accept": "text/html"}).status_code == 406


def test_it_is_written_down_who_stored_and_took(client, compressed, context):
    _, path = compressed
    client.get(path)
    events = client.get("/api/v1/audit-log").json()
    assert {"dicomweb.stored", "dicomweb.instances_given"} <= {event["action"] for event in events}


def test_a_study_that_is_taken_whole_is_written_down_as_one_with_its_count(client, dicom, context):
    sent = [read(dicom(image_number=number)) for number in (1, 2)]
    store(client, *(dicom(image_number=number) for number in (1, 2)))
    study = f"{PATH}/{sent[0].StudyInstanceUID}"
    series = {one.SeriesInstanceUID for one in sent}
    for path in (f"{study}/series/{sent[0].SeriesInstanceUID}", study, image_of(sent[1])):
        assert client.get(path, headers={"Accept": "*/*"}).status_code == 200
    client.get(f"{study}/metadata")
    events = client.get("/api/v1/audit-log?action=dicomweb.instances_given").json()
    events += client.get("/api/v1/audit-log?action=dicomweb.metadata_given").json()
    found = Counter((one["target_kind"], one["details"].get("level"), one["details"]["instances"]) for one in events)
    part = 2 if len(series) == 1 else 1
    assert found == {("study", "series", part): 1, ("study", "study", 2): 2, ("image", None, 1): 1}
    (target,) = {one["target_id"] for one in events if one["target_kind"] == "study"}
    with context.database.reading() as session:
        assert session.scalars(select(Study.id)).all() == [target]


def test_identifiers_with_leading_zeros_are_found_and_their_results_made(client, dicom, work, context):
    changes = {"StudyInstanceUID": "1.2.03", "SeriesInstanceUID": "1.2.03.1", "SOPInstanceUID": "1.2.03.1.01"}
    with without_warnings():
        content = dicom(changes=changes)
    assert store(client, content).status_code == 200
    work()
    while export_once(context):
        pass
    found = client.get(f"{PATH}/1.2.03/instances").json()
    assert len(found) == 1 + 6
    assert {one["0020000D"]["Value"][0] for one in found} == {"1.2.03"}
    assert client.get(f"{PATH}/1.2.03/series/1.2.03.1/instances/1.2.03.1.01/metadata").status_code == 200
    assert client.get(f"{PATH}/1.2.03", headers={"Accept": "*/*"}).status_code == 200
