import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.service.archive import members
from cxrscreen.service.problems import ServiceError, TooLargeError, UnreadableUploadError

BOUNDS = {"max_files": 10, "max_file_bytes": 100_000, "max_bytes": 250_000}


def packed(files, method=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return target


def unpacked(source, **bounds):
    found = []
    for member in members(source, **{**BOUNDS, **bounds}):
        found.append((member.name, member.content.read() if member.content else str(member.problem)))
    return found


def test_names_are_labels_and_hidden_files_are_passed_over():
    files = [("../../etc/a.png", b"1"), ("b\\c.dcm", b"2"), (".hidden", b"3"), ("__MACOSX/d", b"4"), ("folder/", b"")]
    assert unpacked(packed(files)) == [("a.png", b"1"), ("c.dcm", b"2")]


def test_a_bomb_stops_at_the_limit_of_a_file_and_of_the_sum():
    bomb = packed([("bomb", bytes(10_000_000)), ("good", b"x")])
    found = dict(unpacked(bomb, max_bytes=10**9))
    assert "larger than" in found["bomb"]
    assert found["good"] == b"x"
    many = packed([(str(n), bytes(90_000)) for n in range(5)])
    with pytest.raises(TooLargeError, match="unpacks to more"):
        unpacked(many)


def test_what_the_archive_says_of_sizes_is_not_believed():
    content = packed([("a", bytes(90_000))]).getvalue()
    lie = content.replace((90_000).to_bytes(4, "little"), (5).to_bytes(4, "little"))
    assert lie != content
    ((_, answer),) = unpacked(io.BytesIO(lie))
    assert len(answer) <= 90_000


def test_too_many_files():
    with pytest.raises(TooLargeError, match="more than 10 files"):
        unpacked(packed([(str(n), b"") for n in range(11)]))


@pytest.mark.parametrize("zip64", [False, True])
def test_a_list_of_files_that_is_longer_than_its_files_could_need_is_not_read(zip64, monkeypatch):
    many = packed([(f"folder {n}/", b"") for n in range(5000)])
    if zip64:
        # The end record then says that the sizes stand in another one before it.
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
        many = packed([(f"folder {n}/", b"") for n in range(5000)])
    made = []
    entry = zipfile.ZipInfo

    class Counted(entry):
        __slots__ = ()

        def __init__(self, *given):
            made.append(1)
            super().__init__(*given)

    monkeypatch.setattr(zipfile, "ZipInfo", Counted)
    with pytest.raises(TooLargeError, match="more than 10 files"):
        unpacked(many)
    assert made == []


def test_long_names_are_no_long_list():
    assert len(unpacked(packed([(f"{n} {'x' * 250}", b"1") for n in range(10)]))) == 10


def test_other_methods_and_encryption_are_refused():
    ((_, reason),) = unpacked(packed([("a", b"1" * 100)], zipfile.ZIP_LZMA))
    assert "method" in reason
    content = bytearray(packed([("a", b"1")]).getvalue())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    ((_, reason),) = unpacked(io.BytesIO(bytes(content)))
    assert "encrypted" in reason


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"PK\x03\x04" + bytes(200), b""])
def test_a_damaged_archive_is_one_error(content):
    with pytest.raises(UnreadableUploadError):
        unpacked(io.BytesIO(content))


@settings(max_examples=60)
@given(data=st.data())
def test_no_mutation_of_an_archive_gets_through_as_anything_else(data):
    content = bytearray(packed([("a.png", b"first" * 50), ("b/c.png", bytes(range(256)))]).getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        found = unpacked(io.BytesIO(bytes(content[:cut])))
    except ServiceError:
        return
    assert all("/" not in name for name, _ in found)
