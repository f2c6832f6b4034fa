import errno
import os
from pathlib import Path

import pytest

from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.find import find_images
from cxrscreen.imaging.read import read


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.png", "a.dcm", "notes.txt", ".hidden.png", "sub/c", "sub/.git/d.png", "sub/deep/e.JPG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def names(found: list[Path], tree: Path) -> list[str]:
    return [path.relative_to(tree).as_posix() for path in found]


def test_a_folder_gives_every_file_but_hidden_ones_in_order(tree: Path) -> None:
    assert names(find_images([tree]), tree) == ["a.dcm", "b.png", "notes.txt", "sub/c", "sub/deep/e.JPG"]


def test_named_files_keep_their_order_and_appear_once(tree: Path) -> None:
    found = find_images([str(tree / "b.png"), tree / "a.dcm", tree, tree / ".hidden.png"])
    assert names(found, tree)[:2] == ["b.png", "a.dcm"]
    assert names(found, tree)[-1] == ".hidden.png"
    assert len(found) == len(set(found)) == 6


def test_globs(tree: Path) -> None:
    assert names(find_images([tree / "*.png"]), tree) == ["b.png"]
    assert names(find_images([str(tree / "**" / "*.JPG")]), tree) == ["sub/deep/e.JPG"]


def test_what_matches_nothing_is_kept_to_be_reported(tree: Path) -> None:
    (tree / "empty").mkdir()
    named = [tree / "*.bmp", tree / "missing.png", tree / "empty"]
    assert find_images(named) == named


def test_a_name_with_brackets_is_a_file_first(tree: Path) -> None:
    odd = tree / "scan[1].png"
    odd.write_bytes(b"x")
    assert find_images([odd]) == [odd]


def test_links_are_followed_without_going_in_circles(tree: Path) -> None:
    (tree / "sub" / "loop").symlink_to(tree, target_is_directory=True)
    assert names(find_images([tree]), tree) == ["a.dcm", "b.png", "notes.txt", "sub/c", "sub/deep/e.JPG"]


def test_folders_that_link_to_each_other_are_entered_once(tmp_path: Path) -> None:
    folders = [tmp_path / f"{number:02}" for number in range(12)]
    for folder in folders:
        folder.mkdir()
        (folder / "a.png").write_bytes(b"x")
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other, target_is_directory=True)
    assert len(find_images([tmp_path])) == len(folders)


def test_a_link_to_itself_and_an_impossible_name_are_kept_to_be_reported(tree: Path) -> None:
    (tree / "self").symlink_to("self")
    assert tree / "self" in find_images([tree])
    for name in ("x" * 300, "x" * 300 + "*"):
        assert find_images([tree / name]) == [tree / name]


def test_what_may_not_be_looked_at_is_kept_to_be_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Path.stat

    def refused(path: Path, **options: bool) -> os.stat_result:
        if "sub" in path.parts:
            raise PermissionError(errno.EACCES, "Permission denied")
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    assert names(find_images([tree]), tree) == ["a.dcm", "b.png", "notes.txt", "sub"]
    assert find_images([tree / "sub" / "c"]) == [tree / "sub" / "c"]


def test_a_folder_that_may_not_be_listed_says_so(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(UnreadableImageError, match=r"cannot be opened \(Permission denied\)"):
        read(tree / "sub")
