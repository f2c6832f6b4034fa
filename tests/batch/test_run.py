import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cxrscreen.batch import run as run_module
from cxrscreen.batch.run import Options, OutputError, run_batch
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.contract import System

Read = Callable[[Path], Radiograph]


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "screenings.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_file_is_screened_or_named_with_a_reason_in_order(tmp_path: Path, system: System, read: Read) -> None:
    names = ["c1.png", "bad.dcm", "n1.png", "crash.png", "huge.png", "c2.png"]
    result = run_batch([Path("in") / name for name in names], system, tmp_path, read=read)
    assert (result.screened, result.failed) == (3, 3)
    found = rows(tmp_path)
    assert [row["file"] for row in found] == [f"in/{name}" for name in names]
    assert [row["status"] for row in found] == ["screened", "failed", "screened", "failed", "failed", "screened"]
    assert found[1]["error"] == "in/bad.dcm is truncated; export it again."
    assert found[3]["error"] == "crash.png met an unexpected fault (ValueError); --debug shows where."
    assert found[2]["probabilities"] == {"pneumonia": 0.2, "covid19": None}
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"c1", "n1", "c2", "screenings.jsonl", "report.html", ".finished.jsonl"}
    page = result.report.read_text(encoding="utf-8")
    assert "crash.png met an unexpected fault" in page
    assert "PATIENT" not in page + (tmp_path / "screenings.jsonl").read_text(encoding="utf-8")


def test_the_place_of_a_fault_is_logged_for_debugging_only(
    tmp_path: Path, system: System, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "cxrscreen"):
        run_batch([Path("crash.png")], system, tmp_path, read=read)
    assert caplog.records == []
    with caplog.at_level(logging.DEBUG, "cxrscreen"):
        run_batch([Path("crash.png")], system, tmp_path, read=read)
    assert caplog.records[0].exc_info is not None


def test_two_files_of_one_name_keep_their_own_results(tmp_path: Path, system: System, read: Read) -> None:
    run_batch([Path("x/a.png"), Path("y/a.png")], system, tmp_path, read=read)
    assert (tmp_path / "a" / "lung_mask.png").exists()
    assert (tmp_path / "a-2" / "lung_mask.png").exists()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "./a/lung_mask.png" in page
    assert "./a-2/lung_mask.png" in page


def test_a_file_of_the_same_name_in_the_output_folder_stays(tmp_path: Path, system: System, read: Read) -> None:
    (tmp_path / "a").write_text("in the way")
    assert run_batch([tmp_path / "a"], system, tmp_path, read=read).screened == 1
    assert (tmp_path / "a").read_text() == "in the way"
    assert (tmp_path / "a-2" / "lung_mask.png").exists()


def test_each_record_is_on_disk_before_it_is_told(tmp_path: Path, system: System, read: Read) -> None:
    seen = []

    def on_record(record: object) -> None:
        seen.append(len(rows(tmp_path)))

    run_batch([Path(f"{i}.png") for i in range(7)], system, tmp_path, read=read, on_record=on_record)
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_an_interrupt_keeps_what_was_done_and_leaves_a_page(tmp_path: Path, system: System, read: Read) -> None:
    def stop(record: Any) -> None:
        if record.file == "2.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch([Path(f"{i}.png") for i in range(30)], system, tmp_path, read=read, on_record=stop)
    done = [row["file"] for row in rows(tmp_path)]
    assert done[:3] == ["0.png", "1.png", "2.png"]
    assert len(done) < 10
    assert "2.png" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell starts programs in the background with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_a_file_is_waited_for_does_not_lose_it(tmp_path: Path, system: System, read: Read) -> None:
    def interrupted(path: Path) -> Radiograph:
        if path.name == "0.png":
            time.sleep(0.2)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.2)
        return read(path)

    with pytest.raises(KeyboardInterrupt):
        run_batch([Path(f"{i}.png") for i in range(8)], system, tmp_path, read=interrupted)
    assert [row["file"] for row in rows(tmp_path)] == ["0.png"]


def test_no_more_radiographs_are_open_than_there_are_jobs(tmp_path: Path, system: System, read: Read) -> None:
    lock, opened, most = threading.Lock(), 0, 0

    def counted(path: Path) -> Radiograph:
        nonlocal opened, most
        with lock:
            opened += 1
            most = max(most, opened - len(system.calls))  # type: ignore[attr-defined]
        return read(path)

    run_batch([Path(f"{i}.png") for i in range(40)], system, tmp_path, read=counted, jobs=3)
    assert most <= 3


def test_files_done_out_of_turn_are_recorded_in_order(tmp_path: Path, system: System, read: Read) -> None:
    later = threading.Event()

    def slow(path: Path) -> Radiograph:
        if path.name == "0.png":
            assert later.wait(20)
        elif path.name == "3.png":
            later.set()
        return read(path)

    files = [Path(f"{i}.png") for i in range(12)]
    run_batch(files, system, tmp_path, read=slow, jobs=2)
    assert [row["file"] for row in rows(tmp_path)] == [str(path) for path in files]


def test_a_result_that_cannot_be_written_is_a_failed_file(
    tmp_path: Path, system: System, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def full(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.name == "a":
            raise OSError(28, "No space left on device")
        make(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", full)
    result = run_batch([Path("a.png"), Path("b.png")], system, tmp_path, read=read)
    assert (result.screened, result.failed) == (1, 1)
    assert "'a' could not be written" in rows(tmp_path)[0]["error"]


def test_settings_reach_the_system(tmp_path: Path, system: System, read: Read) -> None:
    run_batch([Path("n.png")], system, tmp_path, read=read, options=Options(force=True, explain=False))
    assert system.calls == [("n.png", True, False)]  # type: ignore[attr-defined]
    assert rows(tmp_path)[0]["probabilities"]["covid19"] == 0.7
    assert not (tmp_path / "n" / "h2.png").exists()


def test_a_refused_file_has_a_reason_and_no_result_and_the_batch_goes_on(
    tmp_path: Path, system: System, read: Read
) -> None:
    files = [Path("lateral.png"), Path("bad.dcm"), Path("c.png")]
    result = run_batch(files, system, tmp_path, read=read)
    assert (result.screened, result.refused, result.failed) == (1, 1, 1)
    row = rows(tmp_path)[0]
    assert (row["status"], row["probabilities"], row["finding"]) == ("refused", None, None)
    assert row["verdict"]["concerns"][0]["code"] == "lateral"
    assert (tmp_path / "lateral" / "original.png").exists()
    assert "This is a lateral view." in result.report.read_text(encoding="utf-8")


@pytest.mark.parametrize("settings", [{"force": True}, {"policy": "off"}])
def test_a_refusal_can_be_overridden(tmp_path: Path, system: System, read: Read, settings: dict[str, Any]) -> None:
    result = run_batch([Path("lateral.png")], system, tmp_path, read=read, options=Options(**settings))
    assert (result.screened, result.refused) == (1, 0)
    row = rows(tmp_path)[0]
    assert row["probabilities"]["pneumonia"] == 0.9
    assert "This is a lateral view." in row["warnings"]
    assert row["verdict"]["overridden"] == ("force" in settings)


def test_a_new_run_replaces_the_records_of_the_old(tmp_path: Path, system: System, read: Read) -> None:
    run_batch([Path("a.png"), Path("b.png")], system, tmp_path, read=read)
    run_batch([Path("c.png")], system, tmp_path, read=read)
    assert [row["file"] for row in rows(tmp_path)] == ["c.png"]


def test_two_runs_into_one_folder_do_not_mix(tmp_path: Path, system: System, read: Read) -> None:
    def meanwhile(record: Any) -> None:
        with pytest.raises(OutputError, match="Another run is writing"):
            run_batch([Path("b.png")], system, tmp_path, read=read)

    run_batch([Path("a.png"), Path("c.png")], system, tmp_path, read=read, on_record=meanwhile)
    assert [row["file"] for row in rows(tmp_path)] == ["a.png", "c.png"]
    assert run_batch([Path("b.png")], system, tmp_path, read=read).screened == 1


def test_no_files_leave_an_empty_page(tmp_path: Path, system: System, read: Read) -> None:
    assert run_batch([], system, tmp_path / "new" / "out", read=read).screened == 0
    assert rows(tmp_path / "new" / "out") == []


def test_an_output_that_is_a_file_is_one_sentence(tmp_path: Path, system: System, read: Read) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        run_batch([Path("a.png")], system, tmp_path / "out", read=read)


def test_a_page_that_cannot_be_written_stops_with_a_sentence(
    tmp_path: Path, system: System, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_module.Report, "write", full)
    with pytest.raises(OutputError, match="No space left"):
        run_batch([Path("a.png")], system, tmp_path, read=read)
