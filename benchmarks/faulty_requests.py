"""Requests to the route for images whose form is not one, written byte by byte, as no library would send them."""

import random
from typing import Final

_MIB: Final = 2**20
_BOUNDARY: Final = b"limes-and-lemons"
_FORM: Final = b"multipart/form-data; boundary=" + _BOUNDARY
_PART: Final = b'--%b\r\nContent-Disposition: form-data; name="%b"'
_END: Final = b"\r\n--%b--\r\n" % _BOUNDARY


def faulty_request(chance: random.Random, content: bytes, name: str) -> tuple[bytes, bool]:
    """Write a request whose form is damaged, unbounded, of another kind, or shorter or longer than it says.

    Parameters
    ----------
    chance
        Where randomness comes from.
    content
        A file that is as it should be.
    name
        Its name.

    Returns
    -------
    request, goes_away
        The bytes after the first headers (the start line, the host and who asks), and whether the client ends the
        connection before its request is whole.
    """
    part = b'%b; filename="%b"\r\n' % (_part(b"files"), name.encode())
    whole = part + b"Content-Type: application/octet-stream\r\n\r\n" + content + _END
    kinds_and_bodies = _bodies(chance, part, content, whole)
    way = chance.randrange(len(kinds_and_bodies) + 3)
    if way < len(kinds_and_bodies):
        kind, body = kinds_and_bodies[way]
        return _headed(kind, b"Content-Length: %d" % len(body)) + body, False
    if way == len(kinds_and_bodies):
        return _headed(_FORM, b"Content-Length: %d" % (len(whole) + 999)) + whole, True
    if way == len(kinds_and_bodies) + 1:
        return _headed(_FORM, b"Transfer-Encoding: chunked") + b"ZZ\r\n" + whole, False
    return _headed(_FORM, b"Content-Length: 99999999999999999999") + whole[:500], False


def _bodies(chance: random.Random, part: bytes, content: bytes, whole: bytes) -> list[tuple[bytes, bytes]]:
    fields = b"".join(_part(b"f%d" % n) + b"\r\n\r\n1\r\n" for n in range(40))
    return [
        (_FORM, whole.removesuffix(_END)),
        (_FORM, whole[: chance.randrange(len(whole))]),
        (_FORM, content),
        (_FORM, b""),
        (_FORM, (part + b"\r\nx\r\n") * 1100 + _END),
        (_FORM, fields + _END),
        (_FORM, _part(b"patient") + b"\r\n\r\n" + b"p" * (3 * _MIB) + _END),
        (_FORM, b"--%b\r\nX-Long: %b\r\n\r\n" % (_BOUNDARY, b"y" * 100_000) + _END),
        (_FORM, _part(b"files") + b'; filename="a\0b\r\n\r\n' + content + _END),
        (_FORM, _part(b"taken_on") + b"\r\n\r\nsoon\r\n" + whole),
        (b"multipart/form-data", whole),
        (b"multipart/form-data; boundary=" + b"b" * 5000, whole),
        (b"application/json", b'{"files": [1, 2'),
        (b"application/x-www-form-urlencoded", b"files=" + b"%00" * 5000),
        (b"text/plain; charset=\xff", whole),
        (b"image/png", content),
    ]


def _part(name: bytes) -> bytes:
    return _PART % (_BOUNDARY, name)


def _headed(kind: bytes, length: bytes) -> bytes:
    return b"Content-Type: %b\r\n%b\r\n\r\n" % (kind, length)
