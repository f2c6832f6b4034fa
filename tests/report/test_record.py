import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.record import ScreeningRecord, json_schema
from cxrscreen.systems.contract import Screening
from cxrscreen.systems.triage import Rule, TriagePolicy

KEYS = {
    "file", "status", "error", "quality", "probabilities", "finding", "triage_score", "lung_area_fraction", "warnings",
    "bundle", "seconds", "timings", "verdict", "triage",
}  # fmt: skip


@pytest.fixture
def record(radiograph: Radiograph, make_screening: Callable[..., Screening]) -> ScreeningRecord:
    return ScreeningRecord.screened(
        Path("in/a.png"), radiograph, make_screening(), read_seconds=0.5, write_seconds=0.25
    )


def test_a_screened_file_has_exactly_the_promised_keys(record: ScreeningRecord) -> None:
    row = json.loads(record.line())
    assert set(row) == KEYS
    assert row["file"] == "in/a.png"
    assert (row["status"], row["error"], row["quality"]) == ("screened", None, "limited")
    assert row["probabilities"] == {"pneumonia": 0.9, "covid19": 0.8}
    assert row["finding"] == "covid19"
    assert row["warnings"] == ["Polarity was corrected.", "The lungs are small."]
    assert row["bundle"] == "cascade@1.0"
    assert row["seconds"] == pytest.approx(1.05)
    assert row["timings"] == {"read": 0.5, "lungs": 0.1, "write": 0.25}


def test_a_suggestion_follows_the_policy_that_is_given(
    radiograph: Radiograph, make_screening: Callable[..., Screening]
) -> None:
    screening = replace(make_screening(), quality="good")

    def suggested(policy: TriagePolicy | None) -> dict[str, str]:
        made = ScreeningRecord.screened(
            Path("a.png"), radiograph, screening, read_seconds=0, write_seconds=0, policy=policy
        )
        triage: dict[str, str] = json.loads(made.line())["triage"]
        return triage

    assert suggested(None) == {
        "action": "pcr_or_ct_first",
        "reason": "The system called “COVID-19”.",
        "policy": "fig9",
    }
    own = TriagePolicy(name="ward", rules=(Rule(suggestion="routine", findings=("covid19",)),))
    assert (suggested(own)["action"], suggested(own)["policy"]) == ("routine", "ward")


def test_a_gated_decision_is_null(radiograph: Radiograph, make_screening: Callable[..., Screening]) -> None:
    gated = ScreeningRecord.screened(
        Path("a.png"), radiograph, make_screening(covid=None), read_seconds=0, write_seconds=0
    )
    assert json.loads(gated.line())["probabilities"] == {"pneumonia": 0.1, "covid19": None}


def test_a_refused_file_has_reasons_and_no_result(radiograph: Radiograph, refused_screening: Screening) -> None:
    refused = ScreeningRecord.screened(Path("a.png"), radiograph, refused_screening, read_seconds=0, write_seconds=0)
    row = json.loads(refused.line())
    assert set(row) == KEYS
    assert (row["status"], row["error"]) == ("refused", None)
    assert (row["probabilities"], row["finding"], row["triage_score"]) == (None, None, None)
    assert row["lung_area_fraction"] == 0.2
    assert row["verdict"]["policy"] == "standard"
    assert [(c["code"], c["severity"]) for c in row["verdict"]["concerns"]] == [
        ("lateral", "refuse"),
        ("too_small", "warn"),
    ]
    assert row["triage"]["action"] == "cannot_say"
    assert ScreeningRecord.from_line(refused.line()) == refused
    for change in (
        {"triage": row["triage"] | {"action": "routine"}},
        {"triage": None},
        {"status": "screened"},
        {"triage_score": 0.5},
        {"probabilities": {"pneumonia": 0.5}},
    ):
        with pytest.raises(ValidationError):
            ScreeningRecord.model_validate(refused.model_dump() | change)


def test_a_failed_file_has_the_same_keys_with_nulls() -> None:
    row = json.loads(ScreeningRecord.failed(Path("b.dcm"), "b.dcm is empty.", "cascade@1.0").line())
    assert set(row) == KEYS
    kept = {"file", "status", "error", "warnings", "bundle"}
    assert row["error"] == "b.dcm is empty."
    assert row["warnings"] == []
    assert all(row[key] is None for key in KEYS - kept)


def test_the_line_reads_back(record: ScreeningRecord) -> None:
    assert ScreeningRecord.from_line(record.line()) == record


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_name_and_reason_stay_on_one_line_and_read_back(name: str, reason: str) -> None:
    failed = ScreeningRecord.failed(Path("x") / name.replace("\0", "_"), reason, "b@1")
    assert "\n" not in failed.line()
    assert ScreeningRecord.from_line(failed.line()) == failed


def test_a_name_that_is_no_text_can_be_recorded() -> None:
    path = Path(b"bad\xff.png".decode("utf-8", "surrogateescape"))
    assert ScreeningRecord.failed(path, f"{path} is empty.", "b@1").file == r"bad\xff.png"


@pytest.mark.parametrize(
    "change",
    [
        {"triage_score": 1.5},
        {"probabilities": {"pneumonia": float("nan")}},
        {"error": "something"},
        {"finding": None},
        {"finding": "flu"},
        {"status": "refused"},
        {"verdict": None},
        {"patient": "x"},
    ],
)
def test_a_contradictory_record_is_refused(record: ScreeningRecord, change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ScreeningRecord.model_validate(record.model_dump() | change)


def test_the_schema_names_every_key_and_allows_no_other() -> None:
    schema = json_schema()
    assert set(schema["required"]) == KEYS
    assert schema["additionalProperties"] is False
