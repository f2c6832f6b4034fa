import errno
import fcntl
import hashlib
import io
import os
import threading
import time

import pytest

from cxrscreen.service.store.files import Files, FilesError


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path / "files")


def put(files, content):
    return files.put(io.BytesIO(content))


def test_a_file_is_named_by_its_content(files):
    stored = put(files, b"content")
    assert stored.sha256 == hashlib.sha256(b"content").hexdigest()
    assert stored.size_bytes == 7
    assert put(files, b"content") == stored
    assert list(files.names()) == [stored.sha256]
    assert files.read(stored.sha256) == b"content"


def test_what_cannot_be_written_whole_leaves_nothing(files, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FilesError, match="No space left"):
        put(files, b"content")
    assert list(files.names()) == []
    assert list((files.folder / "incoming").iterdir()) == []


def test_what_a_killed_writer_left_is_removed_once_it_is_old(files):
    left = files.folder / "incoming" / "left"
    left.write_bytes(b"half")
    assert files.remove_unfinished(older_than_seconds=60) == 0
    os.utime(left, (time.time() - 100,) * 2)
    assert files.remove_unfinished(older_than_seconds=60) == 1


def test_only_what_nobody_needs_is_removed(files):
    stored = put(files, b"content")
    assert not files.remove_unneeded(stored.sha256, lambda _name: True)
    assert files.remove_unneeded(stored.sha256, lambda _name: False)
    assert not files.remove_unneeded(stored.sha256, lambda _name: False)
    with pytest.raises(FilesError, match="restore it"):
        files.read(stored.sha256)


def test_what_is_removed_just_before_its_second_owner_is_known_is_written_again(files):
    content = io.BytesIO(b"content")
    stored = files.put(content)
    files.remove_unneeded(stored.sha256, lambda _name: False)
    files.ensure(stored, content)
    assert files.read(stored.sha256) == b"content"


def test_nobody_writes_while_it_is_asked_who_needs_a_file(files):
    stored = put(files, b"content")
    order = []

    def needed(_name):
        writer.start()
        time.sleep(0.1)
        order.append("asked")
        return False

    def write():
        put(files, b"content")
        order.append("written")

    writer = threading.Thread(target=write)
    files.remove_unneeded(stored.sha256, needed)
    writer.join()
    assert order == ["asked", "written"]
    assert files.read(stored.sha256) == b"content"


def test_on_nfs_a_lock_that_is_held_alone_needs_a_file_open_for_writing(files, monkeypatch):
    held = []

    def as_on_nfs(lock, how):
        if not (lock.writable() if how == fcntl.LOCK_EX else lock.readable()):
            raise OSError(errno.EBADF, "Bad file descriptor")
        held.append(how)

    monkeypatch.setattr(fcntl, "flock", as_on_nfs)
    stored = put(files, b"content")
    assert files.remove_unneeded(stored.sha256, lambda _name: False)
    assert held == [fcntl.LOCK_SH, fcntl.LOCK_EX]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FilesError, match="check its rights"):
        Files(tmp_path / "file")
