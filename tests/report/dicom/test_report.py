"""The structured report as a program reads it."""

import pytest
from highdicom.sr import MeasurementReport
from pydicom.sr.codedict import codes

from cxrscreen import RESEARCH_USE


@pytest.fixture(scope="module")
def groups(objects):
    report = MeasurementReport.from_sequence([objects.report], is_root=True)
    found = report.get_image_measurement_groups() + report.get_planar_roi_measurement_groups()
    return {group.tracking_identifier: group for group in found}


def test_probability_threshold_and_decision_of_each_stage(groups):
    pneumonia, covid = groups["cxrscreen pneumonia"], groups["cxrscreen covid19"]
    assert _numbers(pneumonia) == {"probability": 0.9, "operating-point": 0.4}
    assert _numbers(covid) == {"probability": 0.2, "operating-point": 0.5}
    assert pneumonia.finding_type.value == "233604007"
    decisions = [_said(group)["decision"].meaning for group in (pneumonia, covid)]
    assert decisions == ["Positive", "Negative"]


def test_answer_ratio_and_areas(groups, phantom):
    answer = groups["cxrscreen answer"]
    assert _numbers(answer)["triage-score"] == 0.6
    assert (_said(answer)["finding"].value, _said(answer)["quality"].value) == ("233604007", "limited")
    assert 0.2 < _numbers(groups["cxrscreen ctr"])["ctr"] < 0.8
    area = float((phantom.lungs == 1).sum()) * phantom.pixel_spacing_mm[0] * phantom.pixel_spacing_mm[1]
    assert _numbers(groups["cxrscreen Right lung"])["42798000"] == pytest.approx(area, abs=0.06)


def test_the_statement_of_use_comes_before_any_figure(objects):
    values = [
        item.get("TextValue") or item.ConceptNameCodeSequence[0].CodeValue for item in objects.report.ContentSequence
    ]
    assert values.index(RESEARCH_USE) < values.index(codes.DCM.ImagingMeasurements.value)
    assert "The lungs are small." in values
    assert (objects.report.VerificationFlag, objects.report.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
    assert objects.report.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_texts_are_plain_so_that_any_character_set_holds_them(objects):
    texts = [item.TextValue for item in objects.report.ContentSequence if "TextValue" in item]
    assert all(text.isascii() and "?" not in text for text in texts)
    assert any('"Normal" means only' in text for text in texts)


def _numbers(group):
    return {measurement.name.value: float(measurement.value) for measurement in group.get_measurements()}


def _said(group):
    return {item.name.value: item.value for item in group.get_qualitative_evaluations()}
