from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sqlalchemy import select

from cxrscreen.evaluate.metrics import wilson_interval
from cxrscreen.service.jobs import enqueue
from cxrscreen.service.store import statistics
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.models import Feedback, Image, Job, Result, Study


def add(context, scores, received, *, made_after=60.0):
    """Rows of images with these scores, without files."""
    ids = []
    with context.database.writing() as session:
        for score in scores:
            study, image, job, result = new_id(), new_id(), new_id(), new_id()
            made = received + timedelta(seconds=made_after)
            session.add(Study(id=study, source="api", received_at=received, state="screened"))
            session.flush()
            size = {"size_bytes": 1, "format": "PNG", "rows": 64, "columns": 64}
            session.add(Image(id=image, study_id=study, sha256=new_id() * 2, received_at=received, **size))
            session.flush()
            times = {"not_before": received, "created_at": received, "ended_at": made}
            session.add(Job(id=job, image_id=image, system="quick", orders_worklist=True, state="done", **times))
            session.flush()
            answer = {"status": "screened", "finding": "normal", "triage_score": float(score), "quality": "good"}
            stored = {"record": {}, "stages": [], "classes": {}, "made_at": made}
            session.add(
                Result(id=result, job_id=job, image_id=image, system="quick", bundle="quick@1", **answer, **stored)
            )
            ids.append(result)
    return ids


def judge(context, result, agrees, author, minutes=0):
    with context.database.writing() as session:
        study = session.get(Result, result).image.study_id
        at = context.now() + timedelta(minutes=minutes)
        session.add(Feedback(id=new_id(), study_id=study, result_id=result, author=author, given_at=at, agrees=agrees))


def test_volumes_count_by_day_and_empty_days_are_told(context):
    now = context.now()
    add(context, [0.1, 0.2], now - timedelta(days=2))
    add(context, [0.3], now)
    with context.database.reading() as session:
        days = statistics.volumes(session, now - timedelta(days=3), now)
    assert [(day.received, day.screened) for day in days] == [(0, 0), (2, 2), (0, 0), (1, 1)]


def test_an_image_that_two_systems_screened_is_one_image(context, send, png, work):
    context.settings.__dict__["screen_with"] = ("quick", "second")
    bright, _dark, broken = send(png(200), png(0), png(100)[:-30])
    assert work() == 6
    with context.database.writing() as session:
        for image in (bright, broken):
            enqueue(session, image, "quick", context.now(), orders_worklist=True, again=True)
    assert work() == 2
    with context.database.reading() as session:
        (day,) = statistics.volumes(session, context.now(), context.now())
    assert (day.received, day.screened, day.refused, day.set_aside) == (3, 1, 1, 1)


def test_turnaround(context):
    for seconds in (10, 20, 30, 40, 100):
        add(context, [0.5], context.now(), made_after=seconds)
    with context.database.reading() as session:
        measured = statistics.turnaround(session, context.now() - timedelta(days=1))
        none = statistics.turnaround(session, context.now() + timedelta(days=1))
    assert (measured.images, measured.median, measured.longest) == (5, 30, 100)
    assert measured.ninetieth_percentile == pytest.approx(np.quantile([10, 20, 30, 40, 100], 0.9))
    assert (none.images, none.median) == (0, None)


def test_agreement_counts_the_last_word_of_each_reader_and_has_an_interval(context):
    results = add(context, [0.5] * 25, context.now())
    for n, result in enumerate(results):
        judge(context, result, n >= 5, "one")
    judge(context, results[0], True, "one", minutes=1)
    judge(context, results[1], False, "two")
    with context.database.reading() as session:
        (found,) = statistics.agreement(session, context.now() - timedelta(days=1))
    assert (found.judged, found.agreed) == (26, 21)
    assert (found.low, found.high) == wilson_interval(21, 26)


def test_few_judgements_have_no_share(context):
    judge(context, add(context, [0.5], context.now())[0], True, "one")
    with context.database.reading() as session:
        (found,) = statistics.agreement(session, context.now() - timedelta(days=1))
    assert (found.judged, found.agreed, found.share, found.low) == (1, 1, None, None)


def test_drift_is_told_where_the_scores_moved_and_not_where_they_did_not(context):
    rng = np.random.default_rng(0)
    now = context.now()
    before, after = rng.uniform(0, 0.5, 60), rng.uniform(0.3, 0.9, 40)
    add(context, before, now - timedelta(days=20))
    add(context, after, now - timedelta(days=1))
    since, recent = now - timedelta(days=28), now - timedelta(days=7)
    with context.database.reading() as session:
        (moved,) = statistics.drift(session, since, recent)
        (same,) = statistics.drift(session, since, now - timedelta(days=25))
    assert (moved.before, moved.recent, moved.moved) == (60, 40, True)
    assert moved.p_value == pytest.approx(ks_2samp(before, after).pvalue)
    assert (same.before, same.recent, same.p_value, same.moved) == (0, 100, None, False)


def test_unreviewed_studies(context, send, png, work):
    send(png(100), png(200))
    work()
    send(png(150))
    with context.database.reading() as session:
        assert statistics.unreviewed(session) == 2
    with context.database.writing() as session:
        session.scalars(select(Study).where(Study.state == "screened")).first().reviewed_at = context.now()
    with context.database.reading() as session:
        assert statistics.unreviewed(session) == 1
