import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom import uid
from sqlalchemy import select

from cxrscreen.errors import CxrscreenError, UnreadableImageError
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.service import dicom_objects as module
from cxrscreen.service.dicom_catalogue import list_unlisted
from cxrscreen.service.dicom_objects import export_once, full_size
from cxrscreen.service.housekeeping import delete_study, sweep
from cxrscreen.service.jobs import enqueue
from cxrscreen.service.store.exchange import Delivery, Export, FhirResource, Instance
from cxrscreen.service.store.models import Image, Result, Study
from cxrscreen.systems.contract import SaliencyMap

MADE = [uid.SegmentationStorage, uid.ParametricMapStorage, uid.SecondaryCaptureImageStorage]
MADE += [uid.SecondaryCaptureImageStorage, uid.GrayscaleSoftcopyPresentationStateStorage, uid.ComprehensiveSRStorage]
PEERS = {"peers": [{"name": name, "ae_title": "A", "host": "h", "port": 104} for name in ("pacs", "other")]}


@pytest.fixture
def settings(settings):
    return type(settings)(**{**settings.model_dump(), "node": PEERS})


def rows(context, table, *order):
    with context.database.reading() as session:
        return session.scalars(select(table).order_by(*order)).all()


def test_a_result_becomes_objects_of_its_study_once_and_is_queued_for_every_peer(context, send, dicom, work):
    send(dicom())
    assert rows(context, Export) == []
    work()
    assert export_once(context)
    assert not export_once(context)
    (image,) = [one for one in rows(context, Instance) if one.result_id is None]
    with context.database.reading() as session:
        made = session.scalars(
            select(Instance).join(Delivery).where(Delivery.destination == "peer:pacs").order_by(Delivery.position)
        ).all()
    assert [one.sop_class_uid for one in made] == MADE
    assert {one.study_instance_uid for one in made} == {image.study_instance_uid}
    assert {one.patient_id for one in made} == {image.patient_id}
    kept = pydicom.dcmread(context.files.path(made[0].sha256))
    assert kept.SOPInstanceUID == made[0].sop_instance_uid
    assert (kept.Rows, kept.Columns) == (128, 128)
    assert {one.state for one in rows(context, Delivery)} == {"pending"}
    assert len(rows(context, Delivery)) == 2 * len(MADE)
    kinds = [one.kind for one in rows(context, FhirResource, FhirResource.position)]
    assert kinds[0] == "DiagnosticReport"
    assert set(kinds[1:]) == {"Observation"}


def test_screened_again_it_makes_no_second_objects(context, send, dicom, work):
    (image,) = send(dicom())
    work()
    export_once(context)
    before = {one.sop_instance_uid for one in rows(context, Instance)}
    with context.database.writing() as session:
        enqueue(session, image, "quick", context.now(), orders_worklist=True, again=True)
    work()
    assert export_once(context)
    assert {one.sop_instance_uid for one in rows(context, Instance)} == before
    assert len(rows(context, Delivery)) == 2 * len(MADE)


@pytest.fixture
def under_one_uid(send, dicom, clock):
    """Two images under one SOP instance UID, the second one brighter."""
    pixels = pydicom.dcmread(io.BytesIO(dicom())).pixel_array
    brighter = np.clip(pixels.astype(int) + 700, 0, 4095).astype(np.uint16)
    (first,) = send(dicom())
    # Jobs of one moment are done in any order.
    clock.pass_(seconds=1)
    return [first, *send(dicom(changes={"PixelData": brighter.tobytes()}))]


def test_of_two_images_under_one_uid_the_first_speaks_in_dicom_and_in_fhir(context, under_one_uid, work, clock):
    first, second = under_one_uid
    work()
    with context.database.writing() as session:
        result_of = {result.image_id: result.id for result in session.scalars(select(Result))}
        score_of = {result.image_id: f"{result.triage_score:.3f}" for result in session.scalars(select(Result))}
        session.get_one(Export, result_of[first]).not_before += timedelta(hours=1)
    assert score_of[first] != score_of[second]
    clock.pass_(hours=2)
    assert export_once(context)
    assert [one.image_id for one in rows(context, Instance)] == [first]
    assert export_once(context)
    (report,) = [one for one in rows(context, Instance) if one.sop_class_uid == uid.ComprehensiveSRStorage]
    for said in (
        str(pydicom.dcmread(context.files.path(report.sha256))),
        str([one.content for one in rows(context, FhirResource)]),
    ):
        assert score_of[first] in said
        assert score_of[second] not in said
    (late,) = [one for one in rows(context, Export) if one.result_id == result_of[second]]
    assert (late.state, late.reason) == ("done", "Another image under the same SOP instance UID came first.")
    assert len(rows(context, Delivery)) == 2 * len(MADE)


def test_where_the_first_of_two_cannot_be_screened_the_second_speaks(context, under_one_uid, work, system):
    first, second = under_one_uid
    system.fails.append(UnreadableImageError("The file is cut off."))
    work()
    assert export_once(context)
    assert {one.image_id for one in rows(context, Instance) if one.result_id is not None} == {second}
    with context.database.writing() as session:
        enqueue(session, first, "quick", context.now(), orders_worklist=True, again=True)
    work()
    assert export_once(context)
    assert {one.image_id for one in rows(context, Instance) if one.result_id is not None} == {second}


def test_what_ends_in_the_middle_is_done_by_the_next_one(context, send, dicom, work, clock, monkeypatch):
    send(dicom())
    work()

    def killed(*_given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            export_once(context)
    assert not export_once(context)
    clock.at += module.LEASE + timedelta(seconds=1)
    assert export_once(context)
    assert len(rows(context, Instance)) == 1 + len(MADE)


def test_images_from_before_the_catalogue_are_listed_once(context, send, dicom, png):
    send(dicom(), png(100), dicom(image_number=2))
    (first, second) = rows(context, Instance, Instance.sop_instance_uid)
    with context.database.writing() as session:
        session.delete(session.merge(first))
    assert list_unlisted(context) == 1
    assert list_unlisted(context) == 0
    again, other = rows(context, Instance, Instance.sop_instance_uid)
    assert (again.header, again.sha256, other.id) == (first.header, first.sha256, second.id)


def test_what_fails_is_tried_again_and_then_set_aside_with_its_reason(
    context, send, dicom, work, clock, monkeypatch, client
):
    send(dicom())
    work()

    def full(*_given):
        raise CxrscreenError("The disk is full.")

    monkeypatch.setattr(module, "_made", full)
    for _ in range(context.settings.max_attempts):
        assert export_once(context)
        clock.pass_(hours=2)
    assert not export_once(context)
    (export,) = rows(context, Export)
    assert (export.state, export.reason) == ("set_aside", "The disk is full.")
    assert client.get("/api/v1/deliveries").json()["exports"] == {"set_aside": 1}


def test_a_folder_that_is_away_costs_no_result_its_objects_unless_for_days(context, send, dicom, work, clock):
    send(dicom())
    work()
    folder = context.files.folder
    folder.rename(folder.with_name("away"))
    for _ in range(2 * context.settings.max_attempts):
        assert export_once(context)
        clock.pass_(minutes=6)
    (export,) = rows(context, Export)
    assert (export.state, export.attempts) == ("waiting", 0)
    assert export.reason
    folder.with_name("away").rename(folder)
    assert export_once(context)
    assert rows(context, Export)[0].state == "done"
    send(dicom(image_number=2))
    work()
    folder.rename(folder.with_name("away"))
    clock.pass_(days=8)
    assert export_once(context)
    assert sorted(one.state for one in rows(context, Export)) == ["done", "set_aside"]


def test_a_refused_image_has_a_report_alone(context, send, dicom, work, system):
    answer = system.screen
    system.screen = lambda radiograph, **options: answer(type(radiograph)(**_black(radiograph)), **options)
    send(dicom())
    work()
    export_once(context)
    made = [one.sop_class_uid for one in rows(context, Instance) if one.result_id is not None]
    assert made == [uid.ComprehensiveSRStorage]


def _black(radiograph):
    from dataclasses import fields

    import numpy as np

    given = {field.name: getattr(radiograph, field.name) for field in fields(radiograph) if field.init}
    return {**given, "pixels": np.zeros_like(radiograph.pixels)}


def test_pictures_get_objects_where_all_are_asked_for(context, send, png, work):
    send(png(100))
    work()
    assert export_once(context)
    assert rows(context, Instance) == []
    context.settings.__dict__["dicom_objects"] = "all"
    send(png(120, seed=1))
    work()
    assert export_once(context)
    assert [one.sop_class_uid for one in rows(context, Instance)].count(uid.SecondaryCaptureImageStorage) == 3


def test_what_was_not_looked_at_stays_so_when_a_map_is_enlarged(system):
    radiograph = Radiograph(np.full((90, 60), 0.5, np.float32), Provenance(Path("a.png"), "PNG"))
    looked_at = np.zeros((45, 30), np.bool_)
    looked_at[:20] = True
    values = np.where(looked_at, np.float32(0.5), np.float32(0))
    stored = replace(
        system.screen(radiograph),
        saliency=(
            SaliencyMap("viral", "Viral", values, 1.0, "saliency", looked_at),
            SaliencyMap("h2", "H2", values, 1.0),
        ),
    )
    known, everywhere = full_size(stored, radiograph).saliency
    assert known.values.shape == known.looked_at.shape == (90, 60)
    np.testing.assert_array_equal(known.looked_at, np.arange(90)[:, None].repeat(60, 1) < 40)
    # to the very border: what means nothing is not mixed into what does
    np.testing.assert_allclose(known.values, np.where(known.looked_at, 0.5, 0), atol=1e-6)
    assert everywhere.looked_at is None
    np.testing.assert_array_equal(everywhere.values, cv2.resize(values, (60, 90), interpolation=cv2.INTER_LINEAR))


def test_a_deleted_study_takes_everything_along(context, send, dicom, work):
    send(dicom())
    work()
    export_once(context)
    assert sweep(context, older_than_seconds=-1) == 0
    (study,) = rows(context, Study)
    assert delete_study(context, study.id)
    for table in (Image, Instance, Export, Delivery, FhirResource):
        assert rows(context, table) == []
    assert list(context.files.names()) == []
