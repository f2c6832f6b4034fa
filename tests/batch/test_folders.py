import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.batch.folders import FolderNames, check_stems_differ, is_earlier_result, remove_stale_objects, safe_stem
from cxrscreen.errors import CxrscreenError


def test_the_same_stem_twice_gets_two_folders(tmp_path: Path) -> None:
    names = FolderNames(tmp_path)
    given_names = [names.give(Path(path)) for path in ("x/a.png", "y/a.dcm", "z/A.png", "a-2.png", "b.png")]
    assert given_names == ["a", "a-2", "A-3", "a-2-2", "b"]


def test_the_batchs_own_files_are_not_overwritten(tmp_path: Path) -> None:
    assert FolderNames(tmp_path).give(Path("report.html.png")) == "report.html-2"
    assert FolderNames(tmp_path).give(Path("screenings.jsonl.dcm")) == "screenings.jsonl-2"


def test_what_is_not_ours_in_the_output_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "IM1").write_bytes(b"a radiograph without a suffix")
    for name in ("patient", "ours", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "patient" / "lung_mask.png").write_bytes(b"drawn by hand")
    (tmp_path / "ours" / "lung_overlay.png").write_bytes(b"from an earlier run")
    names = FolderNames(tmp_path)
    assert [names.give(Path(name)) for name in ("IM1", "patient.png", "ours.png", "empty.png")] == [
        "IM1-2",
        "patient-2",
        "ours",
        "empty",
    ]


def test_many_files_of_one_name_are_quick(tmp_path: Path) -> None:
    names = FolderNames(tmp_path)
    given_names = [names.give(Path("image.png")) for _ in range(3000)]
    assert len(set(given_names)) == 3000
    assert given_names[-1] == "image-3000"


def test_files_of_an_earlier_run_are_known(tmp_path: Path) -> None:
    for name in (
        "a/lung_overlay.png",
        "a/h2.png",
        "a/new.dcm",
        "b/image.png",
        "b/lung_mask.png",
        "report.html",
        "c.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(map(is_earlier_result, everything))
    (tmp_path / "screenings.jsonl").touch()
    left = [path for path in tmp_path.rglob("*") if path.is_file() and not is_earlier_result(path)]
    assert {path.relative_to(tmp_path).as_posix() for path in left} == {
        "a/new.dcm",
        "b/image.png",
        "b/lung_mask.png",
        "c.png",
    }


def test_files_of_a_run_on_ray_are_known_and_others_in_folders_of_these_names_are_not(tmp_path: Path) -> None:
    key = "ab" + "0" * 30
    own = [
        "run.json",
        "results/status=screened/feed.parquet",
        f"pictures/ab/{key}/lung_mask.png",
        f"pictures/ab/{key}/h2.jpg",
    ]
    others = [
        "c.png",
        "pictures/patient.png",
        f"pictures/cd/{key}/h2.jpg",
        f"pictures/ab/{key}/new.dcm",
        "results/first.png",
        "results/status=screened/second.png",
        "sub/run.json",
    ]
    for name in (*own[1:], *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert not any(map(is_earlier_result, (tmp_path / name for name in (*own, *others))))
    (tmp_path / "run.json").touch()
    assert [name for name in (*own, *others) if is_earlier_result(tmp_path / name)] == own


def test_results_are_known_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results" / "status=failed").mkdir(parents=True)
    (tmp_path / "run.json").touch()
    monkeypatch.chdir(tmp_path / "results")
    assert is_earlier_result(Path("status=failed/feed.parquet"))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("study.1.dcm", "study.1"),
        ("1.2.840.113.1", "1.2.840.113.1"),
        ("1.2.840.113.2.DCM", "1.2.840.113.2"),
        ("a.Tiff", "a"),
        ("a.b.dicom", "a.b"),
        (".png", "image"),
        ("IM000001", "IM000001"),
        ("...png", "image"),
        ("..png", "image"),
        ("a\\b\n.png", "a_b_"),
        ("Müller 肺.png", "Müller 肺"),
        ("肺" * 80, "肺" * 66),
    ],
)
def test_the_stem_as_a_folder(name: str, stem: str) -> None:
    assert safe_stem(Path(name)) == stem


def test_files_named_by_their_uid_are_told_apart(tmp_path: Path) -> None:
    uids = [Path("1.2.840.113.1"), Path("1.2.840.113.2")]
    names = FolderNames(tmp_path)
    assert [names.give(path) for path in uids] == ["1.2.840.113.1", "1.2.840.113.2"]
    check_stems_differ(uids)


@pytest.mark.parametrize("names", [("a.png", "x/a.dcm"), ("a.png", "A.png"), ("a\udcfc.png", "a\udcfd.png")])
def test_files_of_one_name_are_one_sentence(names: tuple[str, ...]) -> None:
    with pytest.raises(CxrscreenError, match=r"Two files are called [aA]_?, .* rename one\.") as error:
        check_stems_differ([Path(name) for name in names])
    assert str(error.value).isprintable()


def test_dicom_results_are_known_and_what_lies_beside_them_is_not(tmp_path: Path) -> None:
    own = ["capture-1.dcm", "capture-12.dcm", "fhir.json", "image.dcm", "maps.dcm.part", "report.dcm"]
    others = ["chest.dcm", "capture.dcm", "capture-1.png", "picture.png"]
    for name in (*own, *others):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "fhir.json").unlink()
    assert not any(is_earlier_result(tmp_path / name) for name in (*own, *others))
    (tmp_path / "fhir.json").touch()
    assert [name for name in (*own, *others) if is_earlier_result(tmp_path / name)] == own
    # As dicom listen leaves them, with the pictures.
    (tmp_path / "lung_overlay.png").touch()
    assert is_earlier_result(tmp_path / "lung_overlay.png")


def test_a_folder_of_dicom_results_is_written_again(tmp_path: Path) -> None:
    for name in ("ours", "half"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.dcm").touch()
    (tmp_path / "ours" / "fhir.json").touch()
    names = FolderNames(tmp_path)
    assert [names.give(Path(name)) for name in ("ours.dcm", "half.dcm")] == ["ours", "half-2"]


def test_objects_that_an_earlier_run_made_and_this_one_does_not_are_taken_away(tmp_path: Path) -> None:
    for name in ("report.dcm", "fhir.json", "capture-1.dcm", "capture-2.dcm", "maps.dcm", "chest.dcm"):
        (tmp_path / name).touch()
    remove_stale_objects(tmp_path, [tmp_path / "report.dcm", tmp_path / "capture-1.dcm"])
    assert {path.name for path in tmp_path.iterdir()} == {"report.dcm", "fhir.json", "capture-1.dcm", "chest.dcm"}


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1).filter(lambda name: name not in "..")))
def test_folders_are_different_and_stay_inside(names: list[str]) -> None:
    folders = FolderNames(Path("nowhere"))
    found = [folders.give(Path("in") / name) for name in names]
    assert len({folder.casefold() for folder in found}) == len(names)
    out = Path("out").absolute()
    assert all((out / folder).resolve().parent == out for folder in found)


def test_what_may_not_be_looked_at_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    look = Path.stat

    def refused(path: Path, **options: bool) -> os.stat_result:
        if path.parent.name == "a":
            raise PermissionError(errno.EACCES, "Permission denied")
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    assert FolderNames(tmp_path).give(Path("a.png")) == "a-2"
    assert not is_earlier_result(tmp_path / "a" / "h2.png")
    assert not is_earlier_result(tmp_path / ("x" * 300) / "h2.png")
