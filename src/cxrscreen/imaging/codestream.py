"""The headers of JPEG, JPEG-LS and JPEG 2000 codestreams, read before a codec is let loose on them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset({0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_LOSSLESS_FRAME, _HUFFMAN, _RESTART_INTERVAL, _COMMENT = 0xC3, 0xC4, 0xDD, 0xFE
_APPLICATION = frozenset(range(0xE0, 0xF0))
_SCAN_STOP = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_LARGEST_DIFFERENCE = 16
"""Largest Huffman symbol of a lossless JPEG: the bits of a difference of 16-bit samples."""


@dataclass(frozen=True)
class CodestreamHeader:
    """What a codestream announces: size in pixels, components, bits a sample."""

    rows: int
    columns: int
    components: int
    bits: int


def codestream_header(data: bytes) -> CodestreamHeader | None:
    """Read size and depth from the header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Parameters
    ----------
    data
        The codestream; JPEG 2000 also inside its file format.

    Returns
    -------
    CodestreamHeader or None
        None where no header is found.

    Notes
    -----
    Source: ITU-T T.81 B.2.2 (frame header), T.87 C.2.2 (JPEG-LS), T.800 A.5.1 (SIZ).
    """
    if not data.startswith(b"\xff\xd8"):
        return _jpeg_2000_header(data)
    for marker, segment in _segments(data):
        if marker in _FRAMES:
            return _frame_header(segment)
        if marker == _SCAN:
            break
    return None


def is_sound_lossless_jpeg(data: bytes) -> bool:
    """Whether a lossless Huffman JPEG keeps the syntax of the standard from its first marker to its last.

    GDCM, the only free decoder of this syntax here, ends the whole process on some breaches.

    Parameters
    ----------
    data
        The codestream, padding at its end allowed.

    Returns
    -------
    bool
        False for any breach in markers, segment lengths, Huffman tables, frame or scan headers.

    Notes
    -----
    Source: ITU-T T.81 B.1 to B.2, H.1.
    """
    components: frozenset[int] = frozenset()
    tables: set[int] = set()
    scans = 0
    for marker, segment in _segments(data):
        if marker == _END:
            return scans > 0
        if marker == _HUFFMAN:
            found = _huffman_tables(segment)
            tables |= found
            sound = bool(found)
        elif marker == _LOSSLESS_FRAME:
            sound = not components and _is_lossless_frame(segment)
            components = frozenset(segment[6::3])
        elif marker == _SCAN:
            sound = _is_lossless_scan(segment, components, tables)
            scans += 1
        elif marker == _RESTART_INTERVAL:
            sound = len(segment) == 2
        else:
            sound = marker in _APPLICATION or marker == _COMMENT
        if not sound:
            return False
    return False


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers with their segments (length field left out), entropy-coded data skipped, to the first breach."""
    if not data.startswith(b"\xff\xd8"):
        return
    at = 2
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == _END:
            yield marker, b""
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if marker in (0x00, 0x01, *range(0xD0, 0xD9)) or length < 2 or len(segment) != length - 2:
            return
        yield marker, segment
        at += 2 + length
        if marker == _SCAN:
            stop = _SCAN_STOP.search(data, at)
            if stop is None:
                return
            at = stop.start()


def _frame_header(segment: bytes) -> CodestreamHeader | None:
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        return None
    rows, columns = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
    return CodestreamHeader(rows, columns, segment[5], segment[0])


def _jpeg_2000_header(data: bytes) -> CodestreamHeader | None:
    start = data.find(b"\xff\x4f\xff\x51")
    box = data[start + 4 : start + 4 + 39]
    if start < 0 or len(box) < 39:
        return None
    right, lower, left, upper = (int.from_bytes(box[at : at + 4], "big") for at in (4, 8, 12, 16))
    return CodestreamHeader(lower - upper, right - left, int.from_bytes(box[36:38], "big"), (box[38] & 0x7F) + 1)


def _huffman_tables(segment: bytes) -> set[int]:
    """List the identifiers of the tables a segment defines; empty where one is impossible."""
    found = set()
    at = 0
    while at < len(segment):
        counts = segment[at + 1 : at + 17]
        symbols = segment[at + 17 : at + 17 + sum(counts)]
        # Kraft's inequality, without the code of all ones, which the standard reserves.
        room = sum(count << (16 - length) for length, count in enumerate(counts, start=1))
        complete = len(counts) == 16 and len(symbols) == sum(counts) > 0
        if not complete or segment[at] > 3 or room >= 2**16 or max(symbols) > _LARGEST_DIFFERENCE:
            return set()
        if len(set(symbols)) != len(symbols):
            return set()
        found.add(segment[at])
        at += 17 + len(symbols)
    return found


def _is_lossless_frame(segment: bytes) -> bool:
    header = _frame_header(segment)
    return (
        header is not None
        and 2 <= header.bits <= 16
        and min(header.rows, header.columns) > 0
        and len(set(segment[6::3])) == header.components
        and all(factors == 0x11 for factors in segment[7::3])
    )


def _is_lossless_scan(segment: bytes, components: frozenset[int], tables: set[int]) -> bool:
    if not segment or len(segment) != 4 + 2 * segment[0]:
        return False
    named, selectors = segment[1:-3:2], segment[2:-3:2]
    predictor, end, approximation = segment[-3:]
    return (
        0 < len(named) == len(set(named))
        and set(named) <= components
        and all(selector & 0x0F == 0 and selector >> 4 in tables for selector in selectors)
        and 1 <= predictor <= 7
        and end == 0
        and approximation < 16
    )
