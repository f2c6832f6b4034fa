"""A killed batch goes on where it stopped, and a finished file is not screened twice."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxrscreen.batch.folders import FINISHED_FILE
from cxrscreen.batch.run import Options, OutputError, run_batch
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.contract import System
from cxrscreen.systems.triage import TriagePolicy

Read = Callable[[Path], Radiograph]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "in"
    folder.mkdir()
    found = [folder / f"{name}.png" for name in ("a", "b", "c", "d", "lateral")]
    for path in found:
        path.write_bytes(b"made up")
    return found


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "screenings.jsonl").read_text(encoding="utf-8").splitlines()]


def asked(system: System) -> list[str]:
    names = [name for name, *_ in system.calls]  # type: ignore[attr-defined]
    system.calls.clear()  # type: ignore[attr-defined]
    return names


def page(out: Path) -> str:
    """The page without the times that differ from run to run."""
    text = (out / "report.html").read_text(encoding="utf-8")
    return re.sub(r"\d{4}-\d{2}-\d{2}[^<]*|\d+(\.\d+)? (m?s|seconds)\b", "", text)


def test_what_is_finished_is_not_asked_again_and_the_page_is_the_same(
    tmp_path: Path, files: list[Path], system: System, read: Read
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    run_batch(files[:3], system, out, read=read)
    before = rows(out)
    asked(system)
    kept = []
    result = run_batch(files, system, out, read=read, resume=True, on_kept=kept.append)
    assert asked(system) == ["d.png", "lateral.png"]
    assert kept == [3]
    assert (result.screened, result.refused, result.failed) == (4, 1, 0)
    assert rows(out)[:3] == before
    assert [Path(row["file"]).name for row in rows(out)] == [path.name for path in files]
    run_batch(files, system, whole, read=read)
    assert page(out) == page(whole)
    assert page(out).count("data:image/jpeg") == 4 * 3
    asked(system)
    run_batch(files, system, out, read=read, resume=True)
    assert asked(system) == []


@pytest.mark.parametrize("cut", ["records", "ledger"])
def test_a_line_that_a_kill_cut_short_is_screened_again(
    tmp_path: Path, files: list[Path], system: System, read: Read, cut: str
) -> None:
    out = tmp_path / "out"
    run_batch(files, system, out, read=read)
    asked(system)
    file = out / ("screenings.jsonl" if cut == "records" else FINISHED_FILE)
    file.write_bytes(file.read_bytes()[:-20])
    run_batch(files, system, out, read=read, resume=True)
    assert asked(system) == ["lateral.png"]
    assert [Path(row["file"]).name for row in rows(out)] == [path.name for path in files]


def test_what_failed_changed_or_lost_its_folder_is_screened_again(
    tmp_path: Path, files: list[Path], system: System, read: Read
) -> None:
    out = tmp_path / "out"

    def broken(path: Path) -> Radiograph:
        if path.name == "b.png":
            raise OSError("a short reach")
        return read(path)

    assert run_batch(files, system, out, read=broken).failed == 1
    asked(system)
    files[2].write_bytes(b"another picture")
    for picture in (out / "d").iterdir():
        picture.unlink()
    (out / "d").rmdir()
    result = run_batch(files, system, out, read=read, resume=True)
    assert asked(system) == ["b.png", "c.png", "d.png"]
    assert (result.screened, result.refused, result.failed) == (4, 1, 0)
    assert sorted(Path(row["file"]).name for row in rows(out)) == sorted(path.name for path in files)


def test_what_is_finished_stays_while_its_drive_is_away(
    tmp_path: Path, files: list[Path], system: System, read: Read
) -> None:
    out = tmp_path / "out"
    run_batch(files, system, out, read=read)
    before = rows(out)
    asked(system)
    files[0].parent.rename(tmp_path / "elsewhere")
    result = run_batch(files, system, out, read=read, resume=True)
    assert asked(system) == []
    assert rows(out) == before
    assert result.failed == 0


def test_a_folder_of_a_finished_file_is_not_given_to_another(
    tmp_path: Path, files: list[Path], system: System, read: Read
) -> None:
    out, twin = tmp_path / "out", tmp_path / "in" / "0" / "a.png"
    run_batch([files[0]], system, out, read=read)
    twin.parent.mkdir()
    twin.write_bytes(b"made up")
    stood = (out / "a" / "original.png").stat().st_mtime_ns
    run_batch([twin, files[0]], system, out, read=read, resume=True)
    assert (out / "a" / "original.png").stat().st_mtime_ns == stood
    assert (out / "a-2" / "original.png").is_file()


@pytest.mark.parametrize("options", [Options(force=True), Options(pictures="small"), Options(engine="torch f32")])
def test_results_of_other_options_are_not_put_together(
    tmp_path: Path, files: list[Path], system: System, read: Read, options: Options
) -> None:
    out = tmp_path / "out"
    run_batch(files[:1], system, out, read=read)
    before = rows(out)
    with pytest.raises(OutputError, match="of another bundle or other options: resume with those"):
        run_batch(files, system, out, read=read, resume=True, options=options)
    assert rows(out) == before
    system.bundle_id = "cascade@other"  # type: ignore[misc]
    with pytest.raises(OutputError, match="of another bundle"):
        run_batch(files, system, out, read=read, resume=True)


def test_what_is_finished_stays_also_where_its_file_is_not_named_or_named_otherwise(
    tmp_path: Path, files: list[Path], system: System, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, kept = tmp_path / "out", []
    run_batch(files[:3], system, out, read=read)
    before = rows(out)
    asked(system)
    files[0].unlink()
    monkeypatch.chdir(files[1].parent)
    result = run_batch([Path("b.png"), Path("d.png")], system, out, read=read, resume=True, on_kept=kept.append)
    assert asked(system) == ["d.png"]
    assert (kept, result.screened) == ([1], 4)
    assert rows(out)[:3] == before
    assert (out / "a" / "original.png").is_file()
    # Another file with the relative name of a finished one is none of it.
    (tmp_path / "d.png").write_bytes(b"made up")
    monkeypatch.chdir(tmp_path)
    assert run_batch([Path("d.png")], system, out, read=read, resume=True).screened == 5
    assert asked(system) == ["d.png"]
    assert run_batch(files[1:4], system, out, read=read, resume=True).screened == 5
    assert asked(system) == []
    # The same files by a way round, and through a link.
    (tmp_path / "link").symlink_to(files[1].parent)
    for folder in (files[1].parent / ".." / files[1].parent.name, tmp_path / "link"):
        assert run_batch([folder / file.name for file in files[1:4]], system, out, read=read, resume=True).screened == 5
        assert asked(system) == []


def test_a_file_that_changes_while_a_run_goes_on_is_screened_by_the_next(
    tmp_path: Path, files: list[Path], system: System, read: Read
) -> None:
    out = tmp_path / "out"
    run_batch(files, system, out, read=read)
    asked(system)

    def change(_: int) -> None:
        files[1].write_bytes(b"another picture")

    run_batch(files, system, out, read=read, resume=True, on_kept=change)
    assert asked(system) == []
    run_batch(files, system, out, read=read, resume=True)
    assert asked(system) == ["b.png"]


def test_another_order_of_work_of_the_same_name_is_not_put_together(
    tmp_path: Path, files: list[Path], system: System, read: Read
) -> None:
    rule = {"suggestion": "routine", "findings": ["normal"]}
    first, second = (
        TriagePolicy.model_validate({"name": "ours", "rules": [rule | {"suggestion": action}]})
        for action in ("routine", "cannot_say")
    )
    run_batch(files[:1], system, tmp_path / "out", read=read, triage=first)
    with pytest.raises(OutputError, match="other options"):
        run_batch(files[:1], system, tmp_path / "out", read=read, triage=second, resume=True)


def test_records_that_are_no_text_are_replaced(tmp_path: Path, files: list[Path], system: System, read: Read) -> None:
    (tmp_path / "screenings.jsonl").write_bytes(b"\xff\xfe{\x00\n\xff")
    assert run_batch(files[:2], system, tmp_path, read=read).screened == 2
    assert len(rows(tmp_path)) == 2


def test_results_without_their_ledger_are_not_thrown_away(
    tmp_path: Path, files: list[Path], system: System, read: Read
) -> None:
    out = tmp_path / "out"
    run_batch(files, system, out, read=read)
    before = rows(out)
    (out / FINISHED_FILE).unlink()
    with pytest.raises(OutputError, match=r"lack \.finished\.jsonl"):
        run_batch(files, system, out, read=read, resume=True)
    assert rows(out) == before


def test_a_new_folder_has_nothing_to_resume(tmp_path: Path, files: list[Path], system: System, read: Read) -> None:
    assert run_batch(files, system, tmp_path / "out", read=read, resume=True).screened == 4


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from conftest import PromptSystem
import numpy as np
from cxrscreen.batch.run import Options, run_batch
from cxrscreen.imaging.radiograph import Provenance, Radiograph

def read(path):
    time.sleep(0.02)
    return Radiograph(np.full((64, 60), 0.5, np.float32), Provenance(path, "PNG"))

run_batch(sorted(Path({folder!r}).iterdir()), PromptSystem(), Path({out!r}), read=read, jobs=2,
          options=Options(pictures="none"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such kill")
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, system: System, read: Read) -> None:
    folder, out = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    for number in range(120):
        (folder / f"{number:03d}.png").write_bytes(b"made up")
    program = KILLED.format(here=str(Path(__file__).parent), folder=str(folder), out=str(out))
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        notes = out / FINISHED_FILE
        end = time.monotonic() + 120
        while time.monotonic() < end and not (notes.is_file() and notes.read_bytes().count(b"\n") > 8):
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    # Without the header, and without a line that the kill cut short.
    count = notes.read_bytes().count(b"\n") - 1
    finished = [json.loads(line)["file"] for line in (out / "screenings.jsonl").read_text().splitlines()[:count]]
    assert 8 <= len(finished) < 120
    rest = sorted(folder.iterdir())
    result = run_batch(rest, system, out, read=read, resume=True, options=Options(pictures="none"))
    assert result.screened == 120
    assert not {Path(file).name for file in finished} & set(asked(system))
    assert [row["file"] for row in rows(out)] == sorted(map(str, folder.iterdir()))
