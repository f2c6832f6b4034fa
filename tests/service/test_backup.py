import gzip
import io
import tarfile

import pytest
from sqlalchemy import select

from cxrscreen.service.backup import BackupError, back_up, restore
from cxrscreen.service.context import Context
from cxrscreen.service.store.columns import as_row
from cxrscreen.service.store.database import Database
from cxrscreen.service.store.files import Files
from cxrscreen.service.store.models import Base, Result
from cxrscreen.service.store.results import load_screening


@pytest.fixture
def other(context, tmp_path, empty_database):
    """A second, empty service."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "cxrscreen.sqlite").write_bytes(empty_database.read_bytes())
    settings = context.settings.model_copy(update={"folder": folder})
    second = Context(settings, Database(settings.database_url), Files(folder / "files"), context.now)
    yield second
    second.close()


@pytest.fixture
def archive(context, send, png, dicom, work, tmp_path):
    send(png(100), dicom())
    work()
    path = tmp_path / "backup.tar.gz"
    counts = back_up(context, path)
    assert counts["images"] == counts["results"] == 2
    assert path.stat().st_mode & 0o077 == 0
    return path


def rows(context):
    with context.database.reading() as session:
        return {
            mapper.class_.__tablename__: sorted(str(as_row(row)) for row in session.scalars(select(mapper.class_)))
            for mapper in Base.registry.mappers
        }


def test_what_is_restored_is_what_was_there(context, archive, other):
    counts = restore(other, archive)
    assert counts["images"] == 2
    assert rows(other) == rows(context)
    assert set(other.files.names()) == set(context.files.names())
    with other.database.reading() as session:
        for result in session.scalars(select(Result)):
            assert load_screening(other.files, result).lung_mask.any()


def test_nothing_is_overwritten(context, archive, other):
    with pytest.raises(BackupError, match="exists"):
        back_up(context, archive)
    restore(other, archive)
    with pytest.raises(BackupError, match="not empty"):
        restore(other, archive)


def test_where_the_folder_is_a_file_the_backup_says_that_it_could_not_be_written(context, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BackupError, match="could not be written"):
        back_up(context, tmp_path / "file" / "x.tar.gz")


def test_a_damaged_or_strange_archive_leaves_no_row(archive, other, tmp_path):
    content = gzip.decompress(archive.read_bytes())
    for changed in (
        archive.read_bytes()[:-400],
        b"nothing",
        gzip.compress(content.replace(b'"revision": "', b'"revision": "9')),
        gzip.compress(content.replace(b'"finding": "', b'"finding" "')),
    ):
        path = tmp_path / "changed.tar.gz"
        path.write_bytes(changed)
        with pytest.raises(BackupError):
            restore(other, path)
        assert rows(other)["images"] == []
    with pytest.raises(BackupError, match="cannot be read"):
        restore(other, tmp_path / "none.tar.gz")


def test_a_file_that_is_not_what_its_name_says_is_refused(archive, other, tmp_path):
    path = tmp_path / "changed.tar.gz"
    with tarfile.open(archive) as source, tarfile.open(path, "w:gz") as target:
        for member in source:
            data = source.extractfile(member).read()
            if member.name.startswith("files/"):
                data = b"x" * len(data)
            target.addfile(member, io.BytesIO(data))
    with pytest.raises(BackupError, match="not what its name says"):
        restore(other, path)


def test_a_missing_file_fails_the_backup(context, send, png, tmp_path):
    send(png(100))
    context.files.path(next(context.files.names())).unlink()
    with pytest.raises(BackupError, match="start again"):
        back_up(context, tmp_path / "b.tar.gz")
    assert list(tmp_path.glob("b.tar.gz*")) == []
