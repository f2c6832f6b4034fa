from datetime import timedelta

import pytest
from sqlalchemy import select

from cxrscreen.service.jobs import enqueue
from cxrscreen.service.store.models import Image, Study
from cxrscreen.service.store.studies import Search, earlier_studies, find_studies, refresh_study


@pytest.fixture
def worklist(context, send, png, work, clock):
    """A normal, an urgent, a refused, a damaged, and one that waits; the identifiers of their studies."""
    contents = {"normal": png(60), "urgent": png(250), "refused": png(0), "damaged": png(90)[:-30]}
    images = {}
    for name, content in contents.items():
        (images[name],) = send(content)
        clock.pass_(minutes=1)
    work()
    (images["waits"],) = send(png(150))
    with context.database.reading() as session:
        by_image = {study.images[0].id: study.id for study in session.scalars(select(Study))}
    return {name: by_image[image] for name, image in images.items()}


def unscreenable(dicom, cause):
    """Give a second image of the phantom's study: one that is cut off, or one that the system refuses."""
    if cause == "damaged":
        return dicom(image_number=2)[:-3000]
    return dicom(image_number=2, changes={"PixelData": b"\xff\x0f" + bytes(2 * 128 * 128 - 2)})


def found(context, search=None, order="urgency", **part):
    with context.database.reading() as session:
        studies, total = find_studies(session, search or Search(), order, **part)
        return [study.id for study in studies], total


def test_what_got_no_answer_comes_first_then_urgency_and_reviewed_last(context, worklist):
    ids, total = found(context)
    named = {study: name for name, study in worklist.items()}
    assert [named[study] for study in ids] == ["refused", "damaged", "urgent", "normal", "waits"]
    assert total == 5
    with context.database.writing() as session:
        session.get(Study, worklist["refused"]).reviewed_at = context.now()
    assert found(context)[0][-1] == worklist["refused"]


def test_what_is_known_to_be_urgent_does_not_wait_and_what_only_another_system_answered_is_looked_at(context, worklist):
    with context.database.writing() as session:
        # A second system is still at work on the urgent one; and it alone answered on the normal one.
        session.get(Study, worklist["urgent"]).state = "waiting"
        session.get(Study, worklist["normal"]).urgency = None
    named = {study: name for name, study in worklist.items()}
    assert [named[study] for study in found(context)[0]] == ["normal", "refused", "damaged", "urgent", "waits"]


@pytest.mark.parametrize("cause", ["damaged", "refused"])
def test_an_image_without_a_score_is_not_hidden_behind_a_screened_one(context, worklist, send, dicom, work, cause):
    (image,) = send(dicom())
    work()
    with context.database.reading() as session:
        study = session.get(Image, image).study_id
        assert session.get(Study, study).unscreened == 0
    send(unscreenable(dicom, cause))
    with context.database.reading() as session:
        assert session.get(Study, study).unscreened == 0
    work()
    with context.database.reading() as session:
        kept = session.get(Study, study)
        assert (kept.state, kept.unscreened, len(kept.images)) == ("screened", 1, 2)
        assert kept.urgency is not None
    ids, _ = found(context)
    names = [{v: k for k, v in worklist.items()}.get(each, "two") for each in ids]
    assert names[:3] == ["refused", "damaged", "two"]


def test_a_lateral_view_beside_a_frontal_one_changes_no_order(context, send, dicom, work):
    frontal, lateral = send(dicom(), unscreenable(dicom, "refused"))
    work()
    with context.database.writing() as session:
        study = session.get(Image, frontal).study_id
        (refused,) = session.get(Image, lateral).results
        (scored,) = session.get(Image, frontal).results
        assert session.get(Study, study).unscreened == 1
        verdict = refused.record["verdict"]
        concern = {**verdict["concerns"][0], "code": "lateral"}
        refused.record = {**refused.record, "verdict": {**verdict, "concerns": [concern]}}
        refresh_study(session, study)
        assert session.get(Study, study).unscreened == 0
        # Without a frontal one that has a score there is nothing to read but it.
        scored.triage_score = None
        refresh_study(session, study)
        assert session.get(Study, study).unscreened == 2


def test_an_image_counts_as_unscreened_by_its_last_screening_for_the_worklist(context, send, dicom, work):
    screened, refused = send(dicom(), unscreenable(dicom, "refused"))
    work()
    with context.database.writing() as session:
        study = session.get(Image, screened).study_id
        assert session.get(Study, study).unscreened == 1
        # What another system says of it gives no urgency, and leaves it to be looked at.
        enqueue(session, refused, "second", context.now(), orders_worklist=False)
        refresh_study(session, study)
        kept = session.get(Study, study)
        assert (kept.state, kept.unscreened) == ("waiting", 1)
        enqueue(session, refused, "quick", context.now(), orders_worklist=True, again=True)
        refresh_study(session, study)
        assert session.get(Study, study).unscreened == 0
    work()
    with context.database.reading() as session:
        assert session.get(Study, study).unscreened == 1


@pytest.mark.parametrize(
    ("search", "names"),
    [
        (Search(states=("refused", "failed")), {"refused", "damaged"}),
        (Search(findings=("normal",)), {"normal"}),
        (Search(least_urgency=0.5), {"urgent"}),
        (Search(reviewed=True), set()),
        (Search(reviewed=False, states=("waiting",)), {"waits"}),
    ],
)
def test_filters(context, worklist, search, names):
    ids, total = found(context, search)
    assert set(ids) == {worklist[name] for name in names}
    assert total == len(names)


def test_time_and_pages(context, worklist):
    late = Search(since=context.now() - timedelta(minutes=1, seconds=30))
    assert set(found(context, late)[0]) == {worklist["damaged"], worklist["waits"]}
    assert set(found(context, Search(until=context.now() - timedelta(minutes=4)))[0]) == set()
    newest = found(context, order="newest")[0]
    assert newest == found(context, order="oldest")[0][::-1]
    assert found(context, order="newest", limit=2, offset=1) == (newest[1:3], 5)


def test_people(context, send, dicom, png):
    send(dicom(patient_id="P_1", changes={"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Änne"}), png(90))
    for text, n in (("P_1", 1), ("P%1", 0), ("müller", 1), ("ÄNNE", 1), ("%", 0)):
        assert found(context, Search(patient=text))[1] == n, text


def test_earlier_studies_are_those_of_the_same_person(context, send, dicom, png):
    contents = [
        dicom(patient_id="P-1", changes={"StudyInstanceUID": f"1.2.{n}", "StudyDate": f"2020010{n}"}) for n in (1, 2, 3)
    ]
    undated = dicom(patient_id="P-1", changes={"StudyInstanceUID": "1.2.4", "StudyDate": "", "AcquisitionDate": ""})
    send(*contents, undated, png(90), png(91))
    with context.database.reading() as session:
        middle = session.scalars(select(Study).where(Study.study_instance_uid == "1.2.2")).one()
        assert [study.study_instance_uid for study in earlier_studies(session, middle)] == ["1.2.3", "1.2.1", "1.2.4"]
        nameless = session.scalars(select(Study).where(Study.patient_id.is_(None))).first()
        assert earlier_studies(session, nameless) == ()
