import time
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select

from cxrscreen.errors import CxrscreenError
from cxrscreen.service import jobs
from cxrscreen.service.store.files import FilesError
from cxrscreen.service.store.models import Image, Job, Result, StoredMap, Study
from cxrscreen.service.store.results import load_screening, record_of
from cxrscreen.systems.contract import SaliencyMap


def only(context, kind):
    with context.database.reading() as session:
        return session.scalars(select(kind)).one()


def test_a_result_is_the_screening_itself(context, send, png, work):
    (image,) = send(png(200))
    assert work() == 1
    with context.database.reading() as session:
        result = session.scalars(select(Result)).one()
        screening = load_screening(context.files, result)
        assert record_of(result).file == image
    assert screening.finding == "other_pneumonia"
    assert screening.triage_score == pytest.approx(200 / 255, abs=0.02)
    assert [stage.positive for stage in screening.stages] == [True, None]
    assert np.unique(screening.lung_mask).tolist() == [0, 1, 2]
    assert screening.saliency[0].values[30, 30] == pytest.approx(200 / 255, abs=1 / 255)


def test_a_refused_image_has_a_result_without_an_answer(context, send, png, work):
    send(png(0))
    work()
    result = only(context, Result)
    assert (result.status, result.finding, result.triage_score) == ("refused", None, None)
    study = only(context, Study)
    assert (study.state, study.urgency) == ("refused", None)
    with context.database.reading() as session:
        assert load_screening(context.files, session.scalars(select(Result)).one()).verdict.refused


def test_a_file_that_cannot_be_read_is_set_aside_at_once_with_its_reason(context, send, png, work, system):
    content = png(100)
    send(content[:-30])
    assert work() == 1
    job = only(context, Job)
    assert (job.state, job.attempts, system.calls) == ("set_aside", 1, 0)
    assert job.reason.startswith("The file is a truncated or damaged PNG file")
    assert str(context.files.folder) not in job.reason


def test_a_folder_that_is_away_costs_no_image_its_screening(context, send, png, work, worker, clock, client):
    (image, *_) = send(png(100), png(150, seed=1), png(200, seed=2))
    folder = context.files.folder
    folder.rename(folder.with_name("away"))
    for _ in range(3 * context.settings.max_attempts):
        worker.work_once()
        clock.pass_(minutes=1)
    with context.database.reading() as session:
        kept = session.scalars(select(Job)).all()
    assert {(job.state, job.attempts) for job in kept} == {("waiting", 0)}
    (shown,) = client.get(f"/api/v1/images/{image}").json()["jobs"]
    assert (shown["state"], shown["reason"]) == ("waiting", "The file does not exist; check the name.")
    folder.with_name("away").rename(folder)
    clock.pass_(minutes=6)
    assert work() == 3
    with context.database.reading() as session:
        assert {(job.state, job.reason) for job in session.scalars(select(Job))} == {("done", None)}


def test_a_file_that_is_gone_for_good_ends_after_days_with_its_reason(context, send, png, work, clock):
    send(png(100))
    with context.database.reading() as session:
        context.files.path(session.scalars(select(Image.sha256)).one()).unlink()
    for _ in range(7):
        assert work() == 1
        assert only(context, Job).state == "waiting"
        clock.pass_(days=1)
    clock.pass_(minutes=1)
    assert work() == 1
    job = only(context, Job)
    assert (job.state, only(context, Study).state) == ("set_aside", "failed")
    assert job.reason == "The file does not exist; check the name. It has been so for days."


def test_a_full_disk_is_no_attempt_and_too_little_memory_is_one(context, send, png, work, system, clock, monkeypatch):
    send(png(100))

    def full(_source):
        raise FilesError("A file could not be stored (No space left on device); check the disk's space and rights.")

    def no_memory(*_given, **_named):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(context.files, "put", full)
        for _ in range(2 * context.settings.max_attempts):
            assert work() == 1
            clock.pass_(minutes=6)
    job = only(context, Job)
    assert (job.state, job.attempts) == ("waiting", 0)
    assert "No space left" in job.reason
    with monkeypatch.context() as patch:
        patch.setattr("PIL.Image.open", no_memory)
        for _ in range(context.settings.max_attempts):
            assert work() == 1
            clock.pass_(hours=2)
        assert work() == 0
    assert only(context, Job).state == "set_aside"
    assert only(context, Job).reason.startswith("The file does not fit into the memory that is left")


def test_what_fails_is_tried_again_later(context, send, png, work, system, clock):
    send(png(100))
    system.fails = [CxrscreenError("The disk is full."), ValueError("PATIENT^NAME inside")]
    assert work() == 1
    assert only(context, Job).reason == "The disk is full."
    clock.pass_(seconds=context.settings.retry_seconds)
    assert work() == 1
    assert only(context, Job).reason == "The screening met an unexpected fault (ValueError)."
    clock.pass_(seconds=2 * context.settings.retry_seconds)
    assert work() == 1
    job = only(context, Job)
    assert (job.state, job.attempts, job.reason) == ("done", 3, None)


def test_a_slow_worker_writes_nothing_after_another_one(context, send, png, worker, system, clock):
    send(png(100))
    answer = system.screen
    inner = []

    def slow(radiograph, **options):
        screening = answer(radiograph, **options)
        if not inner:
            inner.append(True)
            clock.pass_(seconds=context.settings.lease_seconds + 1)
            assert worker.work_once()
        return screening

    system.screen = slow
    assert worker.work_once()
    assert only(context, Result)
    assert only(context, Job).attempts == 2


def test_an_image_deleted_meanwhile_leaves_nothing(context, send, png, worker, system):
    send(png(100))
    answer = system.screen

    def screen(radiograph, **options):
        with context.database.writing() as session:
            session.delete(session.scalars(select(Study)).one())
        return answer(radiograph, **options)

    system.screen = screen
    assert worker.work_once()
    with context.database.reading() as session:
        assert session.scalars(select(Result)).all() == []
        assert session.scalars(select(StoredMap)).all() == []


def test_the_heartbeat_prolongs_the_lease_of_a_long_screening(context, send, png, worker, system, clock, monkeypatch):
    send(png(100))
    beats = []
    prolong = jobs.extend
    monkeypatch.setattr(jobs, "extend", lambda *given: beats.append(prolong(*given)) or beats[-1])
    context.settings.__dict__["lease_seconds"] = 0.15
    answer = system.screen

    def long(radiograph, **options):
        end = time.monotonic() + 10
        while len(beats) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        return answer(radiograph, **options)

    system.screen = long
    worker.work_once()
    assert beats[:2] == [True, True]


def test_the_most_urgent_image_speaks_for_the_study(context, send, png, work, dicom):
    send(dicom(), dicom(image_number=2, photometric="MONOCHROME1"))
    assert work() == 2
    with context.database.reading() as session:
        study = session.scalars(select(Study)).one()
        scores = [result.triage_score for image in study.images for result in image.results]
    assert len(scores) == 2
    assert study.urgency == max(scores)
    assert study.screened_at == context.now()


def test_heart_and_coverage_come_back_as_they_were(context, send, png, worker, system, client):
    heart = np.zeros((64, 64), np.bool_)
    heart[20:40, 26:34] = True
    looked_at = np.zeros((64, 64), np.bool_)
    looked_at[:, :40] = True
    coverage = SaliencyMap("coverage", "Patches", np.full((64, 64), 0.5, np.float32), 0.4, "coverage", looked_at)
    answer = system.screen

    def screen(radiograph, **options):
        found = answer(radiograph, **options)
        return replace(found, saliency=(*found.saliency, coverage), heart_mask=heart)

    system.screen = screen
    send(png(100))
    assert worker.work_once()
    with context.database.reading() as session:
        result = session.scalars(select(Result)).one()
        screening = load_screening(context.files, result)
    assert (screening.heart_mask == heart).all()
    assert [kept.kind for kept in screening.saliency] == ["saliency", "coverage"]
    assert screening.saliency[0].looked_at is None
    assert (screening.saliency[1].looked_at == looked_at).all()
    assert screening.saliency[1].values == pytest.approx(0.5, abs=1 / 255)
    shown = client.get(f"/api/v1/results/{result.id}").json()["maps"]
    assert [kept["name"] for kept in shown] == ["lungs", "heart", "h2", "coverage"]
    assert client.get(f"/api/v1/results/{result.id}/maps/heart.png").status_code == 200
