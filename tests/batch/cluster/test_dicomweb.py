"""An archive that speaks DICOMweb over HTTP: searched page by page, fetched as it holds the file."""

import json
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest

from cxrscreen.batch.cluster.dicomweb import TOKEN, _client, instance_content
from cxrscreen.batch.cluster.fetch import fetched
from cxrscreen.batch.cluster.objects import SourceError
from cxrscreen.batch.cluster.sources import items_of
from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.read import read

EXAMPLE = Path(__file__).parents[3] / "examples" / "covid19-portable.dcm"


class Archive(ThreadingHTTPServer):
    """Three series of one instance each, two a page; asks for a token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []
        self.modality = "DX"
        self.knows_offset = True


class Answers(BaseHTTPRequestHandler):
    server: Archive

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = parse_qs(url.query)
        self.server.asked.append(self.path)
        if self.headers["Authorization"] != "Bearer pass":
            self.send_error(401)
            return
        parts = url.path.strip("/").split("/")
        if parts[1:] == ["series"]:
            offset = int(asked["offset"][0]) if self.server.knows_offset else 0
            found = range(3)[offset : offset + 2] if asked["Modality"] == [self.server.modality] else []
            self._json([{"0020000D": uid("1.2"), "0020000E": uid(f"1.2.{number}")} for number in found])
        elif parts[-1] == "instances":
            offset = int(asked.get("offset", ["0"])[0]) if self.server.knows_offset else 0
            # One that were asked for ever would end the test here.
            patient = len(self.server.asked) < 30
            self._json([] if offset or not patient else [{"00080018": uid(f"{parts[-2]}.9")}])
        elif parts[-1].startswith("1.2.2"):
            self.send_error(404)
        else:
            body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + EXAMPLE.read_bytes() + b"\r\n--b--"
            self._answer(body, 'multipart/related; type="application/dicom"; boundary=b')

    def _json(self, found: list[dict[str, object]]) -> None:
        self._answer(json.dumps(found).encode(), "application/dicom+json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def uid(value: str) -> dict[str, object]:
    return {"vr": "UI", "Value": [value]}


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    monkeypatch.setenv(TOKEN, "pass")
    _client.cache_clear()
    with Archive() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
    _client.cache_clear()


def address(archive: Archive, query: str = "") -> str:
    return f"dicomweb+http://127.0.0.1:{archive.server_port}/dicom-web{query}"


def test_an_archive_is_listed_page_by_page(archive: Archive) -> None:
    items = items_of([address(archive, "?StudyDate=20200101-20201231"), address(archive)])
    assert [item.location.rsplit("/", 1)[-1] for item in items] == ["1.2.0.9", "1.2.1.9", "1.2.2.9"]
    first = [parse_qs(urlsplit(path).query) for path in archive.asked if path.startswith("/dicom-web/series")]
    assert {query["Modality"][0] for query in first} == {"CR", "DX"}
    assert first[0]["StudyDate"] == ["20200101-20201231"]


def test_an_archive_that_knows_no_offset_is_listed_to_its_end(archive: Archive) -> None:
    archive.knows_offset = False
    items = items_of([address(archive, "?Modality=DX")])
    # Of the series that it never shows, nobody can know.
    assert [item.location.rsplit("/", 1)[-1] for item in items] == ["1.2.0.9", "1.2.1.9"]
    assert len(archive.asked) == 2 + 2 * 2


def test_a_modality_that_is_asked_for_is_the_only_one(archive: Archive) -> None:
    archive.modality = "RG"
    assert len(items_of([address(archive, "?Modality=RG")])) == 3
    assert items_of([address(archive)]) == []


def test_what_is_fetched_is_the_radiograph(archive: Archive) -> None:
    items = items_of([address(archive)])
    with fetched(items[0]) as path:
        assert (read(path).pixels == read(EXAMPLE).pixels).all()
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == pydicom.dcmread(EXAMPLE).file_meta.TransferSyntaxUID
    with pytest.raises(UnreadableImageError, match=r"1\.2\.2\.9 cannot be fetched \(HTTPError\)"), fetched(items[2]):
        pass


def test_a_header_is_not_quoted_while_it_is_fetched(
    archive: Archive, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warned(*_: object, **__: object) -> None:
        warnings.warn("PATIENT^NAME", stacklevel=1)

    items = items_of([address(archive)])
    monkeypatch.setattr("cxrscreen.batch.cluster.dicomweb._file_of", warned)
    recwarn.clear()
    instance_content(items[0].location)
    assert not [str(warning.message) for warning in recwarn if "PATIENT" in str(warning.message)]


def test_a_refusal_is_one_sentence(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "wrong")
    with pytest.raises(SourceError, match=r"cannot be searched \(HTTPError\): check address, token"):
        items_of([address(archive)])
