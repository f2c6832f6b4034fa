"""Bodies of several parts (multipart/related, RFC 2387), read as they come and written as they go."""

import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO, Final

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from cxrscreen.service.problems import ServiceError, TooLargeError, UnsupportedContentError

DICOM: Final = "application/dicom"
_IN_MEMORY: Final = 2**22


@dataclass(eq=False)
class Part:
    """One part of a body.

    Parameters
    ----------
    content
        At its start once the part is whole; cut where it is too large.
    too_large
        Whether it has more bytes than are read.
    """

    content: IO[bytes] = field(default_factory=lambda: SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115
    too_large: bool = False


def boundary_of(content_type: str) -> bytes:
    """Return what parts the DICOM files in a body of this type.

    Raises
    ------
    UnsupportedContentError
        If it is not ``multipart/related; type="application/dicom"``.
    ServiceError
        If it names no boundary.
    """
    kind, options = parse_options_header(content_type)
    parts_are = options.get(b"type", b"").decode("latin-1").lower()
    if kind != b"multipart/related" or parts_are != DICOM:
        raise UnsupportedContentError('Send DICOM files as multipart/related; type="application/dicom".')
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise ServiceError("The content type names no boundary; say what parts the files.")
    return boundary


async def parts(
    body: AsyncIterator[bytes], boundary: bytes, *, largest: int, most: int, headers_most: int = 32
) -> AsyncIterator[Part]:
    """Read the parts of a body, each as soon as it is whole.

    Parameters
    ----------
    body
        Its bytes as they come.
    boundary
        From :func:`boundary_of`.
    largest
        Bytes of a part; of a larger one the first are kept.
    most
        Parts.
    headers_most
        Headers of a part.

    Yields
    ------
    Part
        To be used before the next one; its file is closed then.

    Raises
    ------
    ServiceError
        If the body is not as its type says, or ends in the middle.
    TooLargeError
        If there are more parts.
    """
    reader = _Reader(boundary, largest, headers_most)
    count = 0
    async for chunk in body:
        reader.feed(chunk)
        for part in reader.whole():
            count += 1
            if count > most:
                raise TooLargeError(f"More than {most} files were sent at once; send the rest in another request.")
            with part.content:
                yield part
    if not reader.ended:
        raise ServiceError("The body ends before its last part does; send it again.")


def related(contents: Iterable[tuple[str, Iterable[bytes]]], kind: str) -> tuple[str, Iterator[bytes]]:
    """Write a body of several parts.

    Parameters
    ----------
    contents
        Media type and bytes of each part, made when their turn comes.
    kind
        Media type of the parts, for the body's own.

    Returns
    -------
    content_type, body
        The type with its boundary, and the bytes.
    """
    boundary = secrets.token_hex(24)

    def body() -> Iterator[bytes]:
        for media_type, chunks in contents:
            yield f"--{boundary}\r\nContent-Type: {media_type}\r\n\r\n".encode()
            yield from chunks
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    return f'multipart/related; type="{kind}"; boundary={boundary}', body()


class _Reader:
    """The parser with what it has found so far."""

    def __init__(self, boundary: bytes, largest: int, headers_most: int) -> None:
        self._largest, self._headers_most = largest, headers_most
        self._open: Part | None = None
        self._size = self._headers = 0
        self._whole: list[Part] = []
        self.ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_header_begin": self._header,
                "on_end": self._finish,
            },
        )

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise ServiceError("The body is no multipart body with the boundary that its type names.") from error

    def whole(self) -> Iterator[Part]:
        while self._whole:
            yield self._whole.pop(0)

    def _begin(self) -> None:
        self._open, self._size, self._headers = Part(), 0, 0

    def _header(self) -> None:
        self._headers += 1
        if self._headers > self._headers_most:
            raise ServiceError("A part of the body has too many headers.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._open is None:
            return
        self._size += end - start
        if self._size > self._largest:
            self._open.too_large = True
        else:
            self._open.content.write(data[start:end])

    def _end(self) -> None:
        if self._open is not None:
            self._open.content.seek(0)
            self._whole.append(self._open)
            self._open = None

    def _finish(self) -> None:
        self.ended = True
