"""From publishers' words to labels, ages and names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.data.manifest import LABELS, TERNARY, VIEWS
from cxrscreen.data.public_sources import (
    bimcv,
    chexpert,
    cohen,
    covidnet_initiatives,
    covidx,
    hannover,
    jsrt,
    kermany,
    nih,
    padchest,
    patients,
    radiography,
    rsna,
    spanish_reports,
    tuberculosis_sets,
)

words = st.text(st.characters(codec="utf-8"), max_size=40)
findings = st.lists(
    st.sampled_from(
        ["normal", "unchanged", "suboptimal study", "COVID 19", "COVID 19 uncertain", "pneumonia", "nodule"]
    )
    | words,
    max_size=5,
)


@pytest.mark.parametrize(
    ("finding", "label"),
    [
        ("Pneumonia/Viral/COVID-19", "covid19"),
        ("COVID-19, ARDS", "covid19"),
        ("Pneumonia/Viral/SARS", "viral"),
        ("Pneumonia/Viral/Herpes ", "viral"),
        ("Pneumonia/Bacterial/E.Coli", "bacterial"),
        ("Pneumonia/Bacterial", "bacterial"),
        ("Mycoplasma Bacterial Pneumonia", "bacterial"),
        ("Pneumonia/Fungal/Pneumocystis", "fungal"),
        ("Pneumonia/Lipoid", "other"),
        ("Pneumonia/Aspiration", "other"),
        ("Pneumonia", "pneumonia"),
        ("Tuberculosis", "tuberculosis"),
        ("Pneumonia/Bacterial/Tuberculosis", "tuberculosis"),
        ("No Finding", "normal"),
        ("todo", "unknown"),
        ("Unknown", "unknown"),
        ("", "unknown"),
        ("ARDS", "other"),
    ],
)
def test_the_tree_of_cohens_collection(finding, label):
    assert cohen.label_of(finding) == label


@pytest.mark.parametrize(
    ("listed", "label"),
    [
        ("['normal']", "normal"),
        ("['normal', 'unchanged']", "normal"),
        ("['normal', 'scoliosis']", "other"),
        ("['unchanged']", "unknown"),
        ("[]", "unknown"),
        ("", "unknown"),
        ("nan", "unknown"),
        ("['COVID 19', 'pneumonia']", "covid19"),
        ("['COVID 19 uncertain']", "unknown"),
        ("['COVID 19 uncertain', 'pneumonia']", "unknown"),
        ("['viral pneumonia', 'COVID 19 uncertain']", "unknown"),
        ("['COVID 19 uncertain', 'COVID 19']", "covid19"),
        ("[' viral pneumonia', 'nodule']", "viral"),
        ("['tuberculosis sequelae']", "other"),
        ("['tuberculosis', 'pneumonia']", "tuberculosis"),
        ("['multiple nodules']", "nodule"),
    ],
)
def test_reports_of_the_valencian_sets(listed, label):
    assert spanish_reports.label_of(spanish_reports.findings_of(listed)) == label


@pytest.mark.parametrize(
    ("answer", "listed", "label", "where_all_are_positive"),
    [
        ("positive", ("normal",), "covid19", "covid19"),
        ("negative", ("COVID 19",), "unknown", "unknown"),
        ("negative", ("normal",), "normal", "normal"),
        ("unknown", ("COVID 19",), "unknown", "covid19"),
        ("unknown", ("normal",), "normal", "unknown"),
        ("unknown", ("viral pneumonia",), "viral", "unknown"),
        ("unknown", (), "unknown", "unknown"),
    ],
)
def test_tests_come_before_reports(answer, listed, label, where_all_are_positive):
    assert bimcv.tested_label(answer, listed, all_positive=False) == label
    assert bimcv.tested_label(answer, listed, all_positive=True) == where_all_are_positive


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({"No Finding": "1.0"}, ("normal", "No Finding")),
        ({"No Finding": "1.0", "Edema": "-1.0"}, ("unknown", "No Finding|Edema (uncertain)")),
        ({"Pneumonia": "1.0", "No Finding": ""}, ("pneumonia", "Pneumonia")),
        ({"Pneumonia": "-1.0", "Lung Opacity": "1.0"}, ("unknown", "Lung Opacity|Pneumonia (uncertain)")),
        ({"Pneumonia": "0.0"}, ("unknown", "")),
        ({"Support Devices": "1.0"}, ("unknown", "Support Devices")),
        ({"Fracture": "1"}, ("other", "Fracture")),
        ({}, ("unknown", "")),
    ],
)
def test_chexperts_four_states(marks, expected):
    assert chexpert.label_of(marks) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2 a.jpg COVID-19 cohen", ("2", "a.jpg", "COVID-19", "cohen")),
        ("7 COVID (7).png positive sirm", ("7", "COVID (7).png", "positive", "sirm")),
        ("x x.png normal", ("x", "x.png", "normal", "")),
        ("x x.png healthy rsna", None),
        ("", None),
    ],
)
def test_lines_of_covidx(line, expected):
    assert covidx.line_of(line) == expected


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("person23_bacteria_94", ("person23", "bacteria")),
        ("person1_virus_6", ("person1", "virus")),
        ("IM-0115-0001", ("IM-0115", "normal")),
        ("NORMAL2-IM-0383-0001-0001", ("NORMAL2-IM-0383", "normal")),
        ("VIRUS-1008087-0001", ("1008087", "virus")),
        ("NORMAL-28501-0001", ("28501", "normal")),
        ("a-1", None),
    ],
)
def test_names_of_kermanys_files(stem, expected):
    assert kermany.name_of(stem) == expected


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        (("Normal", "", ""), "normal"),
        (("Pnemonia", "Virus", ""), "viral"),
        (("Pnemonia", "bacteria", "Streptococcus"), "bacterial"),
        (("Pnemonia", "Virus", "COVID-19"), "covid19"),
        (("Pnemonia", "Virus", "SARS"), "viral"),
        (("Pnemonia", "Stress-Smoking", "ARDS"), "other"),
        (("Pnemonia", "", ""), "pneumonia"),
        (("", "", ""), "unknown"),
    ],
)
def test_the_three_columns_of_coronahack(columns, label):
    assert kermany.coronahack_label(*columns) == label


@pytest.mark.parametrize(
    ("text", "age", "child"),
    [
        ("58", "58", "false"),
        ("058Y", "58", "false"),
        ("45yrs", "45", "false"),
        ("16month", "1.33", "true"),
        ("64days", "0.18", "true"),
        ("010M", "0.83", "true"),
        ("17.9", "17.9", "true"),
        ("0", "", "unknown"),
        ("414", "", "unknown"),
        ("50+", "", "false"),
        ("early 40s", "", "false"),
        ("10+", "", "unknown"),
        ("", "", "unknown"),
        ("nan", "", "unknown"),
    ],
)
def test_ages(text, age, child):
    assert patients.age_columns(text) == {"age": age, "pediatric": child}


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("PA", "PA"),
        ("ap", "AP"),
        ("AP erect", "AP"),
        ("AP Supine", "AP Supine"),
        ("AP_horizontal", "AP Supine"),
        ("L", "L"),
        ("ll", "L"),
        ("Coronal", "unknown"),
        ("", "unknown"),
    ],
)
def test_views(text, view):
    assert patients.view_of(text) == view


def test_other_small_rules():
    assert nih.label_of("No Finding") == "normal"
    assert nih.label_of("Nodule|Pneumonia") == "pneumonia"
    assert nih.label_of("") == "unknown"
    assert rsna.label_of("Lung Opacity") == "pneumonia"
    assert rsna.label_of("Lung opacity?") == "unknown"
    assert covidx.label_of("NEGATIVE") == "unknown"
    assert hannover.days_since("-46") == "46"
    assert hannover.days_since("") == ""
    assert padchest.age_at("20140101", "1950.0") == "64"
    assert padchest.age_at("", "1950.0") == padchest.age_at("20140101", "") == ""
    assert covidnet_initiatives.patient_of("COVID-00039c") == "COVID-00039"
    assert radiography.childhood_of("Normal", "Normal-x") == "unknown"


@given(words)
def test_no_word_breaks_a_parser_or_makes_a_label_of_its_own(text):
    assert cohen.label_of(text) in LABELS
    assert nih.label_of(text) in LABELS
    assert rsna.label_of(text) in LABELS
    assert covidx.label_of(text) in LABELS
    assert covidnet_initiatives.label_of(text) in LABELS
    assert kermany.coronahack_label(text, text, text) in LABELS
    assert chexpert.label_of(dict.fromkeys(chexpert.FINDINGS, text))[0] in LABELS
    assert patients.view_of(text) in VIEWS
    assert patients.sex_of(text) in ("M", "F", "")
    assert patients.age_columns(text)["pediatric"] in TERNARY
    assert tuberculosis_sets.reading_of(text)["pediatric"] in TERNARY
    assert set(jsrt.records_of(text)) <= {"JPCLN001"}
    line, named = covidx.line_of(text), kermany.name_of(text)
    assert line is None or len(line) == 4
    assert named is None or named[1] in ("bacteria", "virus", "normal")
    assert spanish_reports.findings_of(text) is None or spanish_reports.label_of((text,)) in LABELS


@given(findings)
def test_a_list_of_findings_comes_back_from_its_text_trimmed_and_once(listed):
    found = spanish_reports.findings_of(repr(listed))
    assert found is not None
    assert list(found) == list(dict.fromkeys(item.strip() for item in listed if item.strip()))
    assert spanish_reports.label_of(found) in LABELS


@given(findings, st.sampled_from(["positive", "negative", "unknown"]), st.booleans())
def test_only_a_test_or_a_report_that_says_so_makes_a_label_covid19(listed, answer, all_positive):
    label = bimcv.tested_label(answer, tuple(listed), all_positive=all_positive)
    assert (label == "covid19") == (
        answer == "positive" or (all_positive and answer == "unknown" and "COVID 19" in listed)
    )


@given(st.floats(0.01, 109))
def test_years_come_back(years):
    assert patients.years_of(f"{years:.2f}") == pytest.approx(round(years, 2))
    assert patients.years_of(f"{years:.2f}Y") == pytest.approx(round(years, 2))
