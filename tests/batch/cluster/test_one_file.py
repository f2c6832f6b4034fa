"""One file and its row: screened, refused or failed, and nothing of a person in the reason."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cxrscreen.batch.cluster.fetch import fetched
from cxrscreen.batch.cluster.items import Item, key_of
from cxrscreen.batch.cluster.one_file import Asked, screened_row
from cxrscreen.batch.cluster.table import ROWS, table_of
from cxrscreen.batch.run import Options
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.read import read as read_file
from cxrscreen.systems.contract import Screening, System

Read = Callable[[Path], Radiograph]
ASKED = Asked("cascade@test", "9.9", Options(engine="openvino f32"))


def row(name: str, system: System, read: Read, asked: Asked = ASKED) -> dict[str, object]:
    item = Item(key_of(name), "file", f"/in/{name}", "1-1")
    made = table_of([screened_row(item, system, asked, fetched=fetched, read=read) | {"shard": "s"}])
    assert made.schema.equals(ROWS)
    return dict(made.to_pylist()[0])


def test_a_screened_file_has_decisions_with_their_thresholds(system: System, read: Read) -> None:
    found = row("p.png", system, read)
    assert (found["status"], found["finding"], found["error"]) == ("screened", "covid19", None)
    assert found["stages"][1] == {  # type: ignore[index]
        "name": "covid19",
        "probability": 0.7,
        "threshold": 0.5,
        "operating_point": "youden",
        "positive": True,
    }
    assert (found["bundle"], found["engine"], found["software"]) == ("cascade@test", "openvino f32", "9.9")
    assert found["source"] == "/in/p.png"
    assert dict(found["timings"]).keys() >= {"read", "write"}  # type: ignore[call-overload]
    assert found["gate"] == {"policy": "standard", "overridden": False, "concerns": []}


def test_a_stage_that_was_not_asked_is_null(system: System, read: Read) -> None:
    assert row("n.png", system, read)["stages"][1]["positive"] is None  # type: ignore[index]


def test_a_refused_file_has_reasons_and_no_probability(system: System, read: Read) -> None:
    found = row("lateral.png", system, read)
    assert (found["status"], found["finding"], found["triage_score"]) == ("refused", None, None)
    assert found["gate"]["concerns"][0]["code"] == "lateral"  # type: ignore[index]
    assert found["stages"][0]["probability"] is None  # type: ignore[index]


def test_a_fault_is_a_failed_row_that_repeats_nothing_of_the_file(system: System, read: Read) -> None:
    found = row("crash.png", system, read)
    assert found["status"] == "failed"
    assert "PATIENT" not in str(found)
    assert "unexpected fault (ValueError)" in str(found["error"])
    assert found["finding"] is None


def test_an_answer_that_fits_no_column_is_a_failed_row_of_that_file_alone(
    system: System, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = system.screen

    def odd(radiograph: Radiograph, **options: Any) -> Screening:
        return replace(screen(radiograph, **options), classes={"PATIENT^NAME": 0.5, 7: 0.1})  # type: ignore[dict-item]

    monkeypatch.setattr(system, "screen", odd)
    found = row("p.png", system, read)
    assert found["status"] == "failed"
    assert "p.png met an unexpected fault (Arrow" in str(found["error"])
    assert "PATIENT" not in str(found)


def test_a_file_that_vanished_is_a_failed_row(system: System) -> None:
    found = row("gone.png", system, read_file)
    assert (found["status"], found["error"]) == ("failed", "gone.png does not exist; check the name.")


def test_pictures_lie_under_the_key(system: System, read: Read, tmp_path: Path) -> None:
    row("p.png", system, read, Asked("cascade@test", "9.9", Options(pictures="small"), pictures=tmp_path))
    key = key_of("p.png")
    assert (tmp_path / key[:2] / key / "lung_mask.png").is_file()
    assert not [path for path in tmp_path.rglob("*") if "p.png" in path.name]


@pytest.mark.parametrize("name", ["p.png", "crash.png"])
def test_every_file_has_a_list_of_warnings(system: System, read: Read, name: str) -> None:
    assert row(name, system, read)["warnings"] == []
