import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxrscreen.batch.folders import is_earlier_result
from cxrscreen.batch.pictures import Pictures, write_pictures
from cxrscreen.batch.run import Options, run_batch
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.report.folder import ResultNotWrittenError, is_result_folder
from cxrscreen.systems.contract import System


@pytest.fixture
def large() -> Radiograph:
    ramp = np.tile(np.linspace(0, 1, 900, dtype=np.float32), (700, 1))
    return Radiograph(ramp, Provenance(Path("c.png"), "PNG"))


def test_small_pictures_hold_the_same_in_fewer_pixels(tmp_path: Path, system: System, large: Radiograph) -> None:
    screening = system.screen(large)
    small = write_pictures(tmp_path / "small", large, screening, "small")
    full = write_pictures(tmp_path / "full", large, screening, "full")
    assert [(item.name, item.title, item.note, item.is_map) for item in small] == [
        (item.name, item.title, item.note, item.is_map) for item in full
    ]
    written = {path.name for path in (tmp_path / "small").iterdir()}
    assert written == {"lung_mask.png", "lung_overlay.png", "original.jpg", "h2.jpg"}
    assert {item.file for item in small} <= written
    mask = cv2.imread(str(tmp_path / "small" / "lung_mask.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, screening.lung_mask)
    for ours, theirs in zip(small, full, strict=True):
        assert (ours.width, ours.height) == (theirs.width, theirs.height) == (420, 327)
        pictures = [cv2.imdecode(np.frombuffer(item.jpeg, np.uint8), cv2.IMREAD_COLOR) for item in (ours, theirs)]
        assert np.abs(pictures[0].astype(int) - pictures[1].astype(int)).mean() < 4
    assert is_result_folder(tmp_path / "small")


def test_pictures_of_an_earlier_run_do_not_stay(tmp_path: Path, system: System, large: Radiograph) -> None:
    write_pictures(tmp_path / "c", large, system.screen(large), "small")
    write_pictures(tmp_path / "c", large, system.screen(large), "full")
    assert not list((tmp_path / "c").glob("*.jpg"))
    write_pictures(tmp_path / "c", large, system.screen(large, explain=False), "small")
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"lung_mask.png", "lung_overlay.png", "original.jpg"}


@pytest.mark.parametrize("pictures", ["full", "small"])
def test_a_folder_stays_marked_as_ours_while_it_is_written_again(
    tmp_path: Path, system: System, large: Radiograph, monkeypatch: pytest.MonkeyPatch, pictures: Pictures
) -> None:
    screening = system.screen(large)
    write_pictures(tmp_path / "c", large, screening, "small")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        write_pictures(tmp_path / "c", large, screening, pictures)
    assert is_result_folder(tmp_path / "c")


def test_small_pictures_are_results_and_no_radiographs(
    tmp_path: Path, system: System, read: Callable[[Path], Radiograph]
) -> None:
    run_batch([Path("c.png")], system, tmp_path, read=read, options=Options(pictures="small"))
    assert all(is_earlier_result(path) for path in (tmp_path / "c").iterdir())
    assert all(is_earlier_result(path) for path in tmp_path.iterdir() if path.is_file())
    assert "./c/h2.jpg" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_no_pictures_leave_the_record_alone(tmp_path: Path, system: System, read: Callable[[Path], Radiograph]) -> None:
    result = run_batch([Path("c.png")], system, tmp_path, read=read, options=Options(pictures="none"))
    assert result.screened == 1
    assert not (tmp_path / "c").exists()
    page = result.report.read_text(encoding="utf-8")
    assert "c.png" in page
    assert "No pictures were asked for" in page
    assert not re.search("None/|in their folders|>folder<", page)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, system: System, large: Radiograph) -> None:
    (tmp_path / "c").write_text("in the way")
    with pytest.raises(ResultNotWrittenError, match="'c' could not be written"):
        write_pictures(tmp_path / "c", large, system.screen(large), "small")


@pytest.mark.parametrize("pictures", ["full", "small"])
def test_pictures_of_somebody_else_stay(tmp_path: Path, system: System, large: Radiograph, pictures: Pictures) -> None:
    (tmp_path / "c").mkdir()
    for name in ("holiday.png", "holiday.jpg"):
        (tmp_path / "c" / name).write_bytes(b"mine")
    write_pictures(tmp_path / "c", large, system.screen(large), pictures)
    assert (tmp_path / "c" / "holiday.png").read_bytes() == (tmp_path / "c" / "holiday.jpg").read_bytes() == b"mine"
