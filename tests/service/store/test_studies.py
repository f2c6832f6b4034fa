from datetime import timedelta

import pytest
from sqlalchemy import select

from cxrscreen.service.store.models import Study
from cxrscreen.service.store.studies import Search, earlier_studies, find_studies


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
