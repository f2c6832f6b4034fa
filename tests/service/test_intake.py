import io
import threading
import zipfile
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from cxrscreen.service import intake
from cxrscreen.service.intake import Said, Sender, Upload, take_in
from cxrscreen.service.store.models import Image, Job, Patient, Study, Submission, SubmissionItem

SENDER = Sender("tester", "api")


def take(context, *contents, said=None, names=None):
    uploads = [Upload(io.BytesIO(content), name) for content, name in zip(contents, names or ["x"] * 99, strict=False)]
    return take_in(context, uploads, SENDER, said)


def rows(context, kind):
    with context.database.reading() as session:
        return session.scalar(select(func.count()).select_from(kind))


def test_what_is_acknowledged_is_on_disk_and_in_the_queue(context, png):
    content = png(100)
    (item,) = take(context, content).taken
    assert item.outcome == "accepted"
    with context.database.reading() as session:
        image = session.get(Image, item.image_id)
        assert context.files.read(image.sha256) == content
        assert [job.state for job in image.jobs] == ["waiting"]
        assert image.study_id == item.study_id


def test_the_same_content_is_one_image_whatever_its_name(context, png):
    first = take(context, png(100), names=["a.png"]).taken[0]
    again = take(context, png(100), png(100), names=["b.dcm", "c"]).taken
    assert [item.outcome for item in again] == ["duplicate", "duplicate"]
    assert {item.image_id for item in again} == {first.image_id}
    assert (rows(context, Image), rows(context, Job), rows(context, Submission)) == (1, 1, 2)


def test_the_same_content_at_the_same_moment_is_one_image(context, png):
    content, outcomes, ready = png(100), [], threading.Barrier(4)

    def client():
        ready.wait()
        outcomes.append(take(context, content).taken[0].outcome)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["accepted", "duplicate", "duplicate", "duplicate"]
    assert (rows(context, Image), rows(context, Study), rows(context, Job)) == (1, 1, 1)


def test_images_of_a_study_and_studies_of_a_person_are_joined(context, dicom, png):
    one, two = take(context, dicom(), dicom(image_number=2)).taken
    assert one.study_id == two.study_id
    assert one.image_id != two.image_id
    picture = take(context, png(90), said=Said("PHANTOM-3", date(2026, 1, 2))).taken[0]
    assert picture.study_id != one.study_id
    with context.database.reading() as session:
        assert session.get(Study, picture.study_id).patient_id == session.get(Study, one.study_id).patient_id
        assert session.get(Study, picture.study_id).taken_on == date(2026, 1, 2)
    assert rows(context, Patient) == 1


def test_an_image_that_comes_after_a_readers_answer_makes_its_study_one_to_read_again(context, dicom, clock):
    (first,) = take(context, dicom()).taken
    with context.database.writing() as session:
        session.get(Study, first.study_id).reviewed_at = context.now()
    clock.pass_(hours=1)
    assert take(context, dicom()).taken[0].outcome == "duplicate"
    with context.database.reading() as session:
        assert session.get(Study, first.study_id).reviewed_at is not None
    assert take(context, dicom(image_number=2)).taken[0].study_id == first.study_id
    with context.database.reading() as session:
        assert session.get(Study, first.study_id).reviewed_at is None


def test_a_zip_gives_its_files_and_one_bad_file_keeps_none_out(context, png):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("folder/a.png", png(100))
        archive.writestr("notes.txt", "no image")
        archive.writestr("b.png", png(120))
        archive.writestr("inner.zip", target.getvalue() + b"PK\x05\x06" + bytes(18))
    receipt = take(context, target.getvalue())
    assert [(item.name, item.outcome) for item in receipt.taken] == [
        ("a.png", "accepted"),
        ("notes.txt", "refused"),
        ("b.png", "accepted"),
        ("inner.zip", "refused"),
    ]
    assert receipt.accepted
    assert rows(context, SubmissionItem) == 4


def test_with_deidentification_no_name_of_a_file_is_kept_also_where_it_is_refused(context, png):
    update = {"deidentify": "basic", "pseudonym_key": SecretStr("k" * 40), "max_files": 3}
    here = replace(context, settings=context.settings.model_copy(update=update))
    contents = [b"hello", b"", bytes(128) + b"DICM" + b"damaged", png(100)]
    receipt = take(here, *contents, names=["MEIER_HANS.txt", "MEIER_HANS", "MEIER_HANS.dcm", "MEIER_HANS.png"])
    assert [item.outcome for item in receipt.taken] == ["refused"] * 4
    assert {item.name for item in receipt.taken} == {None}
    with context.database.reading() as session:
        items = session.scalars(select(SubmissionItem)).all()
    assert "MEIER" not in repr([vars(item) for item in items])


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("max_file_bytes", 50, "larger than"),
        ("max_pixels", 64 * 64, "megapixels"),
        ("max_files", 1, "More than 1 files"),
    ],
)
def test_limits(context, png, limit, value, reason):
    bounded = replace(context, settings=context.settings.model_copy(update={limit: value}))
    receipt = take(bounded, png(100, side=80), png(120, side=80))
    assert receipt.taken[-1].outcome == "refused"
    assert reason in str(receipt.taken[-1].problem)


def test_an_empty_file_and_an_empty_archive_are_refused(context):
    empty = take(context, b"", b"PK\x05\x06" + bytes(18))
    assert [item.outcome for item in empty.taken] == ["refused", "refused"]
    assert not empty.accepted


def test_every_used_system_gets_a_job_and_the_first_orders_the_worklist(context, png):
    both = replace(context, settings=context.settings.model_copy(update={"screen_with": ("second", "quick")}))
    take(both, png(100))
    with context.database.reading() as session:
        jobs = {job.system: job.orders_worklist for job in session.scalars(select(Job))}
    assert jobs == {"second": True, "quick": False}


def test_a_database_that_fails_leaves_no_file_behind(context, png, monkeypatch):
    def fail(*_given):
        raise IntegrityError("statement", {}, Exception())

    monkeypatch.setattr(intake, "_register", fail)
    with pytest.raises(IntegrityError):
        take(context, png(100))
    assert list(context.files.names()) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_taken_or_refused_with_a_reason(data, context, png, dicom):
    whole = data.draw(st.sampled_from([png(80), dicom(), dicom(transfer_syntax="DeflatedExplicitVRLittleEndian")]))
    content = bytearray(whole[: data.draw(st.integers(1, len(whole)))])
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, min(len(content), 1500) - 1))] = data.draw(st.integers(0, 255))
    (item,) = take(context, bytes(content), names=[data.draw(st.text(max_size=20))]).taken
    assert (item.outcome == "refused") == (item.problem is not None) == (item.image_id is None)
