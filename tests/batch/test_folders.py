from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.batch.folders import FolderNames, safe_stem


def test_the_same_stem_twice_gets_two_folders() -> None:
    names = FolderNames()
    given_names = [names.give(Path(path)) for path in ("x/a.png", "y/a.dcm", "z/A.png", "a-2.png", "b.png")]
    assert given_names == ["a", "a-2", "A-3", "a-2-2", "b"]


def test_the_batchs_own_files_are_not_overwritten() -> None:
    assert FolderNames().give(Path("report.html.png")) == "report.html-2"
    assert FolderNames().give(Path("screenings.jsonl.dcm")) == "screenings.jsonl-2"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("study.1.dcm", "study.1"),
        ("IM000001", "IM000001"),
        ("...png", "image"),
        ("..png", "image"),
        ("a\\b\n.png", "a_b_"),
        ("Müller 肺.png", "Müller 肺"),
    ],
)
def test_the_stem_as_a_folder(name: str, stem: str) -> None:
    assert safe_stem(Path(name)) == stem


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1).filter(lambda name: name not in "..")))
def test_folders_are_different_and_stay_inside(names: list[str]) -> None:
    folders = FolderNames()
    found = [folders.give(Path("in") / name) for name in names]
    assert len({folder.casefold() for folder in found}) == len(names)
    out = Path("out").absolute()
    assert all((out / folder).resolve().parent == out for folder in found)
