"""The result as FHIR."""

import json
from datetime import UTC, datetime

import pydicom
import pytest
from fhir.resources.R4B.bundle import Bundle

from cxrscreen import RESEARCH_USE
from cxrscreen.data.phantoms import make_phantom, write_dicom
from cxrscreen.imaging.read import read
from cxrscreen.report.fhir import References, screening_bundle, screening_resources, taken_at

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SERVER = "https://ehr.example/fhir"


def resources(bundle):
    return [entry["resource"] for entry in bundle["entry"]]


def resolved(bundle):
    """Every reference to a resource of the bundle, resolved as R4B says: by fullUrl, after the referrer's own base."""
    whole = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    assert len(whole) == len(bundle["entry"])
    found = []
    for entry in bundle["entry"]:
        resource = entry["resource"]
        restful = entry["fullUrl"].removesuffix(f"/{resource['resourceType']}/{resource['id']}")
        base = f"{restful}/" if restful != entry["fullUrl"] else None
        for reference in (one["reference"] for one in resource.get("result", [])):
            is_relative = ":" not in reference
            assert not is_relative or base is not None, "nothing says where a relative reference begins"
            found.append(whole[f"{base}{reference}" if is_relative else reference])
    return found


def test_report_with_an_observation_for_each_figure(make_screening):
    bundle = screening_bundle(make_screening(), study_uid="1.2.3", made=MADE, cardiothoracic_ratio=0.47)
    report, *observations = resources(bundle)
    assert report["resourceType"] == "DiagnosticReport"
    assert {resource["status"] for resource in (report, *observations)} == {"preliminary"}
    values = [observation["valueQuantity"]["value"] for observation in observations]
    assert values == [0.9, 0.9, 0.8, 0.47]
    assert resolved(bundle) == observations
    assert report["imagingStudy"][0]["identifier"]["value"] == "urn:oid:1.2.3"
    assert report["conclusionCode"][0]["coding"][0]["code"] == "840539006"
    assert report["conclusion"].startswith(RESEARCH_USE)
    assert all(observation["note"][0]["text"] == RESEARCH_USE for observation in observations)
    threshold = observations[1]["component"][0]["valueQuantity"]["value"]
    assert (threshold, observations[1]["interpretation"][0]["coding"][0]["code"]) == (0.4, "POS")


def test_a_probability_never_stands_as_the_disease(make_screening):
    bundle = screening_bundle(make_screening(covid=0.2), study_uid="1.2.3", made=MADE)
    for observation in resources(bundle)[1:]:
        assert {coding["system"] for coding in observation["code"]["coding"]} != {"http://snomed.info/sct"}
    covid = resources(bundle)[3]
    assert covid["interpretation"][0]["coding"][0]["code"] == "NEG"


def test_a_stage_that_was_not_asked_has_no_observation(make_screening):
    bundle = screening_bundle(make_screening(covid=None), study_uid="1.2.3", made=MADE)
    assert len(resources(bundle)) == 3


def test_a_refused_radiograph_has_a_report_with_the_reason_and_no_figure(refused_screening):
    (report,) = resources(screening_bundle(refused_screening, study_uid="1.2.3", made=MADE))
    assert "Not screened. This is a lateral view." in report["conclusion"]
    assert "result" not in report
    assert "conclusionCode" not in report


def test_the_same_result_has_the_same_ids(make_screening):
    first, again = (screening_bundle(make_screening(), study_uid="1.2.3", image_uid="1.2.3.4") for _ in range(2))
    other = screening_bundle(make_screening(), study_uid="1.2.3", image_uid="1.2.3.5")
    ids = [resource["id"] for resource in resources(first)]
    assert ids == [resource["id"] for resource in resources(again)]
    assert not set(ids) & {resource["id"] for resource in resources(other)}
    assert len(set(ids)) == len(ids)


def test_a_transaction_is_updates_by_id_with_the_references_given(make_screening):
    references = References(subject="Patient/17", based_on="ServiceRequest/4", encounter="Encounter/9")
    bundle = screening_bundle(
        make_screening(), study_uid="1.2.3", made=MADE, references=references, server=f"{SERVER}/"
    )
    assert bundle["type"] == "transaction"
    for entry in bundle["entry"]:
        resource = entry["resource"]
        where = f"{resource['resourceType']}/{resource['id']}"
        assert entry["request"] == {"method": "PUT", "url": where}
        assert entry["fullUrl"] == f"{SERVER}/{where}"
        assert resource["subject"] == {"reference": "Patient/17"}
        assert resource["basedOn"] == [{"reference": "ServiceRequest/4"}]
    assert len(resolved(bundle)) == 3
    assert Bundle.model_validate(json.loads(json.dumps(bundle)))
    assert "subject" not in resources(screening_bundle(make_screening(), study_uid="1.2.3"))[0]


def test_by_themselves_the_resources_refer_to_each_other_by_type_and_id(make_screening):
    report, *observations = screening_resources(make_screening(), study_uid="1.2.3", made=MADE)
    assert [one["reference"] for one in report["result"]] == [f"Observation/{one['id']}" for one in observations]


def test_the_radiographs_time_is_the_effective_one_and_the_screenings_is_the_issued_one(make_screening):
    bundle = screening_bundle(make_screening(), study_uid="1.2.3", made=MADE, taken="2020-03-04T10:20:30+09:00")
    for resource in resources(bundle):
        assert resource["effectiveDateTime"] == "2020-03-04T10:20:30+09:00"
        assert datetime.fromisoformat(resource["issued"]) == MADE
    for resource in resources(screening_bundle(make_screening(), study_uid="1.2.3", made=MADE)):
        assert "effectiveDateTime" not in resource
        assert datetime.fromisoformat(resource["issued"]) == MADE


@pytest.fixture(scope="module")
def dicom_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("fhir") / "chest.dcm"
    write_dicom(make_phantom(5, "bacterial", shape=(151, 129)), path)
    return path


ZONE = {"TimezoneOffsetFromUTC": "+0900"}
ACQUIRED = {"AcquisitionDate": "20200304", "AcquisitionTime": "102030.5"}
STUDY = {"StudyDate": "20200305", "StudyTime": "1130"}


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ({}, None),
        (STUDY, "2020-03-05"),
        (STUDY | ZONE, "2020-03-05T11:30:00+09:00"),
        (STUDY | ACQUIRED, "2020-03-04"),
        (STUDY | ACQUIRED | ZONE, "2020-03-04T10:20:30+09:00"),
        ({"AcquisitionDateTime": "20200304102030.123-0330"}, "2020-03-04T10:20:30-03:30"),
        ({"AcquisitionDateTime": "20200304102030"} | ZONE, "2020-03-04T10:20:30+09:00"),
        ({"AcquisitionDateTime": "20200304102030+0000"} | ZONE, "2020-03-04T10:20:30+00:00"),
        ({"AcquisitionDateTime": "2020030410"} | ZONE, "2020-03-04"),
        ({"AcquisitionDateTime": "202003"} | ZONE, "2020-03"),
        ({"AcquisitionDateTime": "2020"}, "2020"),
        ({"AcquisitionDateTime": "2020"} | STUDY, "2020-03-05"),
        ({"AcquisitionDateTime": "20201304102030"}, None),
        ({"AcquisitionDateTime": "20200304256199"} | ZONE, "2020-03-04"),
        ({"AcquisitionDateTime": "20200304102030-0000"} | ZONE, "2020-03-04"),
        ({"ContentDate": "20200306", "ContentTime": "102030"} | STUDY, "2020-03-06"),
        ({"StudyDate": "2020.03.05", "StudyTime": "11:30:10"} | ZONE, "2020-03-05T11:30:10+09:00"),
        ({"StudyDate": "20200305", "StudyTime": "noon"} | ZONE, "2020-03-05"),
        ({"StudyDate": "20200305", "StudyTime": "113000", "TimezoneOffsetFromUTC": "+9999"}, "2020-03-05"),
        ({"StudyDate": "2020", "StudyTime": "113000"} | ZONE, None),
        ({"StudyDate": ["20200305", "20200306"]}, None),
    ],
)
def test_when_a_radiograph_was_taken_is_said_as_precisely_as_its_header_says(dicom_path, tmp_path, header, taken):
    dataset = pydicom.dcmread(dicom_path)
    for keyword in [element.keyword for element in dataset if element.VR in ("DA", "TM", "DT")]:
        del dataset[keyword]
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "chest.dcm")
    assert taken_at(read(tmp_path / "chest.dcm")) == taken


def test_nobody_knows_when_a_picture_was_taken(radiograph):
    assert taken_at(radiograph) is None


@pytest.mark.parametrize("reference", ["", " ", "17", "Patient/", "Patient/a b", "patient/1"])
def test_what_is_no_reference_is_refused(reference):
    with pytest.raises(ValueError, match="Patient/17"):
        References(subject=reference)
    assert References(subject="urn:uuid:0b5d", based_on="https://host/fhir/ServiceRequest/4")
