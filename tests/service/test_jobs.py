from dataclasses import replace

import pytest
from sqlalchemy import select

from cxrscreen.service import jobs
from cxrscreen.service.jobs import LeaseLostError
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.models import Job, Result, Study


def take(context, *, systems=("quick",), seconds=60, attempts=3):
    with context.database.writing() as session:
        return jobs.lease(session, "w", systems, context.now(), seconds=seconds, max_attempts=attempts)


def result_of(held):
    return Result(
        id=new_id(),
        job_id=held.job_id,
        image_id=held.image_id,
        system=held.system,
        bundle="quick@1",
        status="screened",
        finding="normal",
        triage_score=0.2,
        quality="good",
        record={},
        stages=[],
        classes={},
        made_at=held_at(held),
    )


def held_at(_held):
    from datetime import UTC, datetime

    return datetime(2026, 1, 5, tzinfo=UTC)


def states(context):
    with context.database.reading() as session:
        return sorted(session.scalars(select(Job.state)).all())


def test_the_oldest_is_leased_first_and_no_job_twice(context, send, png, clock):
    images = []
    for seed in range(3):
        images += send(png(100, seed=seed))
        clock.pass_(seconds=1)
    held = [take(context) for _ in range(4)]
    assert [lease.image_id for lease in held[:3]] == images
    assert held[3] is None


def test_a_system_that_the_worker_lacks_is_left_alone(context, send, png):
    send(png(100))
    assert take(context, systems=("another",)) is None
    assert take(context) is not None


def test_a_silent_worker_loses_the_job_and_cannot_end_it(context, send, png, clock):
    send(png(100))
    first = take(context, seconds=10)
    clock.pass_(seconds=11)
    second = take(context, seconds=10)
    assert second.job_id == first.job_id
    assert second.attempt == 2
    with pytest.raises(LeaseLostError), context.database.writing() as session:
        jobs.finish(session, first, result_of(first), context.now())
    with context.database.reading() as session:
        assert session.scalars(select(Result)).all() == []
    with context.database.writing() as session:
        jobs.finish(session, second, result_of(second), context.now())
    assert states(context) == ["done"]


def test_a_heartbeat_keeps_the_lease(context, send, png, clock):
    send(png(100))
    held = take(context, seconds=10)
    clock.pass_(seconds=8)
    with context.database.writing() as session:
        assert jobs.extend(session, held, context.now(), 10)
    clock.pass_(seconds=8)
    assert take(context) is None
    with context.database.writing() as session:
        assert not jobs.extend(session, replace(held, key="0" * 32), context.now(), 10)


def test_waits_double_and_the_last_attempt_sets_aside_with_the_reason(context, send, png, clock):
    send(png(100))
    waits = []
    for attempt in (1, 2, 3):
        held = take(context)
        with context.database.writing() as session:
            again = jobs.retry(session, held, "The disk is full.", context.now(), wait_seconds=4, max_attempts=3)
        assert again == (attempt < 3)
        assert take(context) is None
        waits.append(4 * 2 ** (attempt - 1))
        clock.pass_(seconds=waits[-1])
    with context.database.reading() as session:
        job = session.scalars(select(Job)).one()
        assert (job.state, job.attempts) == ("set_aside", 3)
        assert job.reason == "The disk is full. This happened 3 times."
        assert session.scalars(select(Study)).one().state == "failed"


def test_an_image_that_kills_its_workers_is_set_aside(context, send, png, clock):
    send(png(100))
    for _ in range(3):
        assert take(context, seconds=10) is not None
        clock.pass_(seconds=11)
    assert take(context) is None
    with context.database.reading() as session:
        job = session.scalars(select(Job)).one()
        assert job.state == "set_aside"
        assert "ended 3 times" in job.reason


def test_what_is_given_back_counts_as_no_attempt(context, send, png):
    send(png(100))
    held = take(context)
    with context.database.writing() as session:
        jobs.give_back(session, held, context.now())
    assert take(context).attempt == 1


def test_asking_again_adds_a_round_once_the_last_has_ended(context, send, png):
    (image,) = send(png(100))
    with context.database.writing() as session:
        open_one = jobs.enqueue(session, image, "quick", context.now(), orders_worklist=True, again=True)
        assert open_one.round == 1
    held = take(context)
    with context.database.writing() as session:
        jobs.set_aside(session, held, "Damaged.", context.now())
        same = jobs.enqueue(session, image, "quick", context.now(), orders_worklist=True)
        more = jobs.enqueue(session, image, "quick", context.now(), orders_worklist=True, again=True)
        assert (same.round, more.round) == (1, 2)


def test_other_systems_wait_until_the_worklist_is_ordered(context, send, png, clock):
    (first,) = send(png(100))
    with context.database.writing() as session:
        jobs.enqueue(session, first, "second", context.now(), orders_worklist=False)
    clock.pass_(seconds=1)
    send(png(100, seed=1))
    assert [take(context, systems=("quick", "second")).system for _ in range(3)] == ["quick", "quick", "second"]


def test_figures_of_the_queue(context, send, png, work, clock):
    send(png(100), png(200))
    clock.pass_(seconds=30)
    with context.database.reading() as session:
        figures = jobs.queue_figures(session, context.now())
    assert figures.jobs == {"waiting": 2, "leased": 0, "done": 0, "set_aside": 0}
    assert figures.oldest_waiting_seconds == 30
    work()
    with context.database.reading() as session:
        figures = jobs.queue_figures(session, context.now())
    assert figures.results == {("quick", "screened", "normal"): 1, ("quick", "screened", "other_pneumonia"): 1}
