"""Whose image it is: a number alone makes no person, and what contradicts is never filed away unseen."""

import io
from datetime import date

import pytest
from sqlalchemy import func, select

from cxrscreen.service import reports
from cxrscreen.service.header import Person
from cxrscreen.service.housekeeping import delete_study
from cxrscreen.service.intake import Said, Sender, Upload, take_in
from cxrscreen.service.patients import patient_of
from cxrscreen.service.store.models import Contradiction, Image, Patient, Result, Study
from cxrscreen.service.store.studies import Search, find_studies

ANNA = Person("0", "", "PHANTOM^ANNA", date(1950, 1, 1), "F")
API = "/api/v1"


@pytest.fixture
def take(context, dicom):
    """Take the image of a person in; gives the identifiers of its study and of itself."""

    def take(number, name="", born="", *, study="1.2.3", image=1, **changes):
        changes = {"PatientName": name, "PatientBirthDate": born, "StudyInstanceUID": study, **changes}
        content = dicom(patient_id=number, image_number=image, changes={"SOPInstanceUID": f"1.2.9.{image}", **changes})
        (item,) = take_in(context, [Upload(io.BytesIO(content), "x.dcm")], Sender("tester", "api")).taken
        return item.study_id, item.image_id

    return take


def patients(context, *people):
    """The patients that people are taken for, in the order of their arrival."""
    with context.database.writing() as session:
        return [patient_of(session, person, context.now()).bearer for person in people]


@pytest.fixture
def mixed(take, work):
    """Two people under a placeholder, and a third whose image comes in the first one's study."""
    anna, image = take("0", "PHANTOM^ANNA", "19500101")
    peter, _ = take("0", "MODEL^PETER", "20000101", study="1.2.4", image=2)
    same, other = take("77", "DUMMY^MARIA", "19800101", image=3)
    assert same == anna
    work()
    return anna, peter, image, other


def test_people_under_a_placeholder_stay_apart_and_another_ones_image_marks_the_study(context, mixed):
    anna, peter, image, other = mixed
    with context.database.reading() as session:
        first, second = session.get(Study, anna), session.get(Study, peter)
        assert (first.patient.name, first.patient_contradicted) == ("PHANTOM^ANNA", True)
        assert (second.patient.name, second.patient.birth_date) == ("MODEL^PETER", date(2000, 1, 1))
        assert not second.patient_contradicted
        assert session.get(Image, image).other_patient is None
        assert session.get(Image, other).other_patient.name == "DUMMY^MARIA"
        assert find_studies(session, Search(patient="maria"))[0] == find_studies(session, Search(patient="77"))[0]
        assert [study.id for study in find_studies(session, Search(patient="77"))[0]] == [anna]


def test_a_contradicted_study_says_so_wherever_it_is_shown(client, context, mixed):
    anna, peter, image, other = mixed
    summaries = {study["id"]: study for study in client.get(f"{API}/studies").json()["studies"]}
    assert (summaries[anna]["patient_contradicted"], summaries[peter]["patient_contradicted"]) == (True, False)
    named = {item["id"]: item["other_patient"] for item in client.get(f"{API}/studies/{anna}").json()["images"]}
    assert named[image] is None
    assert (named[other]["reference"], named[other]["name"]) == ("77", "DUMMY^MARIA")
    assert client.get("/worklist").text.count("patient contradicted") == 1
    page = client.get(f"/studies/{anna}?image={image}").text
    assert "An image of this study names somebody else" in page
    assert "DUMMY, MARIA, number 77" in page
    assert "An image of this study names" not in client.get(f"/studies/{peter}").text
    with context.database.reading() as session:
        results = {result.image_id: result.id for result in session.scalars(select(Result))}
    compared = client.get(f"/compare?left={results[image]}&right={results[other]}").text
    assert "DUMMY, MARIA" in compared


def test_the_pdf_says_whom_the_image_itself_names(client, context, mixed, monkeypatch):
    _, peter, image, other = mixed
    with context.database.reading() as session:
        results = {result.image_id: (result.id, result.image.study_id) for result in session.scalars(select(Result))}
    made = reports.Paragraph

    def text_of(result):
        with monkeypatch.context() as patch:
            written = []
            patch.setattr(reports, "Paragraph", lambda text, style: (written.append(text), made(text, style))[1])
            assert client.get(f"{API}/results/{result}/report.pdf").content.startswith(b"%PDF-")
            return " ".join(written)

    assert "This image names somebody else than its study: 77 DUMMY^MARIA." in text_of(results[other][0])
    assert "Another image of this study names somebody else" in text_of(results[image][0])
    untouched = next(result for result, study in results.values() if study == peter)
    assert "somebody else" not in text_of(untouched)


def test_who_looks_for_earlier_images_is_told_of_those_under_the_same_number(client, take):
    first, _ = take("0", "PHANTOM^ANNA", "19500101")
    second, _ = take("0", "MODEL^PETER", "20000101", study="1.2.4", image=2)
    page = client.get(f"/studies/{second}").text
    assert "Not listed as this person" in page
    assert f'href="/studies/{first}"' in page
    third, _ = take("5", "DUMMY^MARIA", "19800101", study="1.2.5", image=3)
    assert "Not listed as this person" not in client.get(f"/studies/{third}").text


def test_a_nameless_image_goes_under_nobodys_name(context, take):
    nameless, _ = take("0")
    named, _ = take("0", "PHANTOM^ANNA", "19500101", study="1.2.4", image=2)
    late, _ = take("0", study="1.2.5", image=3)
    within, _ = take("0", "MODEL^PETER", image=4)
    with context.database.reading() as session:
        assert session.get(Study, nameless).patient.name is None
        assert session.get(Study, named).patient.name == "PHANTOM^ANNA"
        assert session.get(Study, late).patient_id == session.get(Study, nameless).patient_id
        assert session.get(Study, within).patient_contradicted


def test_what_an_image_leaves_out_contradicts_no_study(context, take):
    study, _ = take("7", "PHANTOM^ANNA", "19500101")
    take("7", image=2)
    take("7", "phantom^anna^^", image=3, IssuerOfPatientID="SITE")
    take("7", image=4, PatientID="")
    with context.database.reading() as session:
        assert len(session.get(Study, study).images) == 4
        assert not session.get(Study, study).patient_contradicted
        assert session.scalar(select(func.count()).select_from(Patient)) == 1


@pytest.mark.parametrize(
    "other",
    [
        Person("0", "", "Phantom^Anna^^^", None, None),
        Person("0", "", "PHANTOM ^ ANNA^^DR", date(1950, 1, 1), None),
        Person("0", "", "PHANTOM, ANNA", date(1950, 1, 1), "O"),
        Person("0", "", "Phantom^Anna=ファントム^アンナ", None, "F"),
        Person("0", "", None, date(1950, 1, 1), None),
    ],
)
def test_harmless_differences_make_no_other_person(context, other):
    assert patients(context, ANNA, other, ANNA) == [1, 1, 1]


@pytest.mark.parametrize(
    "other",
    [
        Person("0", "", "PHANTOM^ANNE", date(1950, 1, 1), "F"),
        Person("0", "", "PHANTOM^ANNA", date(1951, 1, 1), "F"),
        Person("0", "", "PHANTOM^ANNA", date(1950, 1, 1), "M"),
        Person("0", "", "MODEL^PETER"),
        Person("0", "", None),
        Person("0", "", None, None, "F"),
    ],
)
def test_another_name_birth_date_or_sex_is_another_person(context, other):
    assert patients(context, ANNA, other, ANNA, other) == [1, 2, 1, 2]


def test_between_two_who_are_equally_like_nobody_guesses(context):
    other = Person("0", "", "PHANTOM^ANNA", date(1980, 1, 1), None)
    bare = Person("0", "", "PHANTOM^ANNA")
    assert patients(context, ANNA, other, bare, bare, ANNA, other) == [1, 2, 3, 3, 1, 2]


def test_a_number_written_by_hand_is_enough_where_it_is_one_persons(context, take, png):
    def picture(level):
        receipt = take_in(context, [Upload(io.BytesIO(png(level)), "x.png")], Sender("tester", "page"), Said("7"))
        with context.database.reading() as session:
            return session.get(Study, receipt.taken[0].study_id).patient.name

    take("7", "PHANTOM^ANNA", "19500101")
    assert picture(90) == "PHANTOM^ANNA"
    take("7", "MODEL^PETER", "20000101", study="1.2.4", image=2)
    assert picture(120) is None


def test_whom_a_deleted_studys_images_named_goes_with_it(context, mixed):
    anna, _, _, _ = mixed
    assert delete_study(context, anna)
    with context.database.reading() as session:
        assert session.scalars(select(Patient.name)).all() == ["MODEL^PETER"]
        assert session.scalars(select(Contradiction)).all() == []
