import os
import time
from contextlib import contextmanager

from sqlalchemy import func, select

from cxrscreen.service.housekeeping import delete_study, purge, sweep
from cxrscreen.service.store.models import (
    Feedback,
    Image,
    Job,
    Patient,
    Result,
    StoredMap,
    Study,
    Submission,
    SubmissionItem,
)


def count(context, *kinds):
    with context.database.reading() as session:
        return [session.scalar(select(func.count()).select_from(kind)) for kind in kinds]


def study_of(context, image):
    with context.database.reading() as session:
        return session.get(Image, image).study_id


def test_old_studies_go_with_all_that_is_theirs_and_others_stay(context, send, png, work, clock):
    send(png(100))
    work()
    clock.pass_(days=10)
    (kept,) = send(png(200))
    work()
    assert purge(context, 5) == 1
    assert count(context, Study, Image, Job, Result) == [1, 1, 1, 1]
    with context.database.reading() as session:
        named = {session.get(Image, kept).sha256, *session.scalars(select(StoredMap.sha256))}
    assert set(context.files.names()) == named


def test_a_study_stays_as_long_as_its_newest_image_and_until_that_is_screened(context, send, dicom, work, clock):
    send(dicom())
    work()
    clock.pass_(days=29)
    send(dicom(image_number=2))
    clock.pass_(days=2)
    work()
    assert purge(context, 30) == 0
    clock.pass_(days=40)
    send(dicom(image_number=3))
    clock.pass_(days=40)
    assert purge(context, 30) == 0
    work()
    assert purge(context, 30) == 1
    assert count(context, Study, Image, Patient) == [0, 0, 0]


def test_an_image_that_comes_while_old_studies_are_deleted_keeps_its_study(context, send, dicom, work, clock):
    send(dicom())
    work()
    clock.pass_(days=40)
    before, meanwhile = context.database.writing, [lambda: send(dicom(image_number=2))]

    @contextmanager
    def writing():
        if meanwhile:
            meanwhile.pop()()
        with before() as session:
            yield session

    context.database.writing = writing
    assert purge(context, 30) == 0
    assert count(context, Study, Image) == [1, 2]


def test_jobs_of_a_system_that_is_gone_keep_no_study(context, send, png, clock):
    send(png(100))
    clock.pass_(days=40)
    assert purge(context, 30) == 0
    context.settings.systems.pop("quick")
    assert purge(context, 30) == 1


def test_names_of_files_go_with_their_study_and_uploads_with_time(context, send, png, work, clock):
    (image,) = send(png(100))
    send(png(200))
    delete_study(context, study_of(context, image))
    with context.database.reading() as session:
        assert sorted(session.scalars(select(SubmissionItem.name)), key=str) == [None, "picture.png"]
    work()
    clock.pass_(days=10)
    send(png(150))
    purge(context, 5)
    assert count(context, Submission, SubmissionItem, Study) == [1, 1, 1]


def test_more_days_than_the_calendar_has_delete_nothing_and_end_nothing(context, send, png, work):
    send(png(100))
    work()
    assert purge(context, 10**9) == 0
    assert count(context, Study) == [1]


def test_a_map_that_another_result_shares_stays(context, send, png, work):
    first, second = send(png(100, seed=1), png(100, seed=2))
    work()
    delete_study(context, study_of(context, first))
    with context.database.reading() as session:
        for name in session.scalars(select(StoredMap.sha256)):
            assert context.files.read(name)
    assert study_of(context, second)


def test_a_person_goes_with_the_last_study(context, send, dicom):
    images = send(*(dicom(patient_id="P", changes={"StudyInstanceUID": f"1.2.{n}"}) for n in (1, 2)))
    studies = [study_of(context, image) for image in images]
    assert delete_study(context, studies[0])
    assert count(context, Patient) == [1]
    assert delete_study(context, studies[1])
    assert count(context, Patient, Feedback) == [0, 0]
    assert not delete_study(context, studies[1])


def test_the_sweep_takes_old_files_without_a_row_and_nothing_else(context, send, png):
    import io

    send(png(100))
    left = context.files.put(io.BytesIO(b"of a worker that was killed"))
    assert sweep(context, older_than_seconds=60) == 0
    for name in list(context.files.names()):
        os.utime(context.files.path(name), (time.time() - 100,) * 2)
    assert sweep(context, older_than_seconds=60) == 1
    assert left.sha256 not in set(context.files.names())
    assert len(list(context.files.names())) == 1
