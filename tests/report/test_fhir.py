"""The result as FHIR."""

import json
from datetime import UTC, datetime

import pytest
from fhir.resources.R4B.bundle import Bundle

from cxrscreen import RESEARCH_USE
from cxrscreen.report.fhir import References, screening_bundle

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def resources(bundle):
    return [entry["resource"] for entry in bundle["entry"]]


def test_report_with_an_observation_for_each_figure(make_screening):
    bundle = screening_bundle(make_screening(), study_uid="1.2.3", made=MADE, cardiothoracic_ratio=0.47)
    report, *observations = resources(bundle)
    assert report["resourceType"] == "DiagnosticReport"
    assert {resource["status"] for resource in (report, *observations)} == {"preliminary"}
    values = [observation["valueQuantity"]["value"] for observation in observations]
    assert values == [0.9, 0.9, 0.8, 0.47]
    assert [f"Observation/{observation['id']}" for observation in observations] == [
        result["reference"] for result in report["result"]
    ]
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
    bundle = screening_bundle(make_screening(), study_uid="1.2.3", made=MADE, references=references, kind="transaction")
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["request"] == {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
        assert resource["subject"] == {"reference": "Patient/17"}
        assert resource["basedOn"] == [{"reference": "ServiceRequest/4"}]
    assert Bundle.model_validate(json.loads(json.dumps(bundle)))
    assert "subject" not in resources(screening_bundle(make_screening(), study_uid="1.2.3"))[0]


@pytest.mark.parametrize("reference", ["", " ", "17", "Patient/", "Patient/a b", "patient/1"])
def test_what_is_no_reference_is_refused(reference):
    with pytest.raises(ValueError, match="Patient/17"):
        References(subject=reference)
    assert References(subject="urn:uuid:0b5d", based_on="https://host/fhir/ServiceRequest/4")
