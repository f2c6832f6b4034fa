from pathlib import Path

import numpy as np
import pytest

from cxrscreen.report.record import ScreeningRecord
from cxrscreen.report.wording import (
    column_title,
    findings_of,
    lung_share_sentence,
    printable,
    shown_name,
    stage_sentence,
    without_folders,
)
from cxrscreen.systems.contract import SaliencyMap, Stage
from cxrscreen.systems.patch_voting.pipeline import TITLES


@pytest.mark.parametrize(
    ("name", "probability", "sentence"),
    [
        ("pneumonia", 0.42, "At or above the operating point of 0.42: called pneumonia (any type)."),
        ("pneumonia", 0.41, "Below the operating point of 0.42: called normal."),
        ("covid19", 0.9, "At or above the operating point of 0.42: called COVID-19."),
        ("covid19", 0.1, "Below the operating point of 0.42: called other pneumonia."),
        ("tuberculosis", 0.1, "Below the operating point of 0.42: does not speak for tuberculosis."),
        ("viral", 0.9, "At or above the operating point of 0.42: speaks for viral pneumonia or COVID-19."),
        (
            "covid19_against_normal",
            0.9,
            "At or above the operating point of 0.42: called COVID-19; this system knows no other pneumonia, and may "
            "mean one.",
        ),
        (
            "covid19_against_normal",
            0.1,
            "Below the operating point of 0.42: called normal; another pneumonia is not looked for.",
        ),
        ("unhealthy", 0.9, "At or above the operating point of 0.42: called unhealthy."),
        ("covid19_against_all", 0.1, "Below the operating point of 0.42: does not speak for COVID-19."),
        ("fungal", 0.1, "Below the operating point of 0.42: called negative."),
        ("covid19", None, "Not asked: an earlier decision made this one needless."),
    ],
)
def test_a_decision_in_plain_words(name: str, probability: float | None, sentence: str) -> None:
    assert stage_sentence(Stage(name, "title", probability, 0.42, "youden")) == sentence


def test_beside_competing_classes_a_decision_calls_nothing() -> None:
    for name, title in TITLES.items():
        for probability in (0.1, 0.9):
            said = stage_sentence(Stage(name, title, probability, 0.42, "youden"))
            assert "speak" in said
            assert "called" not in said


def test_covid19_against_normal_counts_these_two_findings() -> None:
    assert findings_of(["covid19_against_normal"]) == ("covid19", "normal")
    assert column_title("covid19_against_normal") == "COVID-19 / normal"


def test_separate_decisions_count_all_that_they_can_find() -> None:
    assert findings_of(["unhealthy", "covid19_against_all", "other_pneumonia"]) == (
        "covid19",
        "other_pneumonia",
        "normal",
    )


def test_the_share_inside_the_lungs_in_plain_words() -> None:
    values = np.zeros((2, 2), np.float32)
    assert lung_share_sentence(SaliencyMap("h2", "H2", values, 0.713)) == "71% of it lies inside the lungs."
    assert "empty" in lung_share_sentence(SaliencyMap("h2", "H2", values, None))


def test_a_reason_shows_no_folder() -> None:
    path = Path("secret/ward 7/a.dcm")
    assert without_folders(f"{path} is empty.", path) == "a.dcm is empty."
    assert without_folders(f"{path.absolute()} is empty.", path) == "a.dcm is empty."
    assert without_folders("a.dcm is empty.", Path("a.dcm")) == "a.dcm is empty."
    assert without_folders("a.dcm is neither DICOM/PNG.", Path("/a.dcm")) == "a.dcm is neither DICOM/PNG."
    assert without_folders(f"{path.absolute()!s:} of {path.absolute()!r} is empty.", path).count("secret") == 0


def test_a_reason_shows_no_folder_whose_name_is_no_text() -> None:
    path = Path(b"secret/M\xfcller/a\xfc.dcm".decode("utf-8", "surrogateescape"))
    error = ScreeningRecord.failed(path, f"{path} is empty.", "b@1").error
    assert error == r"secret/M\xfcller/a\xfc.dcm is empty."
    assert without_folders(error, path) == r"a\xfc.dcm is empty."
    assert without_folders(f"{path} is empty.", path) == r"a\xfc.dcm is empty."


def test_control_characters_do_not_reach_a_page_or_a_terminal() -> None:
    assert shown_name(Path("x/a\x1b[31m\n.png")) == "a�[31m�.png"
    assert printable("Pneumonie – ärztlich 肺") == "Pneumonie – ärztlich 肺"
