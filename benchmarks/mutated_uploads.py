"""Uploads as nobody should send them: damaged, spliced, packed to burst, of absurd sizes, of wrong kinds, cut off.

Each family makes one upload from a source of randomness and synthetic radiographs; the names and numbers in them are
made up and can be looked for in logs.
"""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, get_args

import cv2
import numpy as np
import pydicom
from faulty_requests import faulty_request
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from cxrscreen.data.phantoms import TransferSyntax, dicom_dataset, make_phantom

PERSON: Final = ("Zebedee", "Quirkington", "PX-7730142", "ACC-5512093")
"""Whom the images say that they show; none of it may be in a log."""
ADDRESS: Final = "/api/v1/submissions"
_MIB: Final = 2**20
_EXPLICIT: Final = b"1.2.840.10008.1.2.1\0"


@dataclass(frozen=True)
class Attempt:
    """An upload.

    Parameters
    ----------
    family
        What was done to it.
    files
        Files of a form, by name; or:
    raw
        The bytes of a whole request from its first header on (its start line and token are put before them).
    goes_away
        Whether the client ends the connection before its request is whole: then no answer is needed.
    """

    family: str
    files: tuple[tuple[str, bytes], ...] = ()
    raw: bytes | None = None
    goes_away: bool = False


Samples = Sequence[bytes]
"""Files that are as they should be: PNG of 8 and 16 bits, JPEG, WebP, TIFF, then DICOM, the first one uncompressed."""
_Make = Callable[[random.Random, Samples], bytes]


def attempt(number: int, seed: int, known: Samples) -> Attempt:
    """Draw one upload; one after the other they are of each family in turn.

    Parameters
    ----------
    number
        From 0; the same number of the same seed is the same upload.
    seed
        Where randomness comes from.
    known
        Files that are as they should be, see :func:`samples`.
    """
    family = tuple(FAMILIES)[number % len(FAMILIES)]
    return _attempt(family, random.Random(f"{seed} {number}"), known)


def samples() -> list[bytes]:
    """Make synthetic radiographs in every format and way of packing that is read."""
    phantom = make_phantom(11, "bacterial", shape=(320, 320))
    grey = (phantom.pixels * 255).astype(np.uint8)
    pictures = [
        cv2.imencode(suffix, image)[1].tobytes()
        for suffix, image in (
            (".png", grey),
            (".png", grey.astype(np.uint16) * 257),
            (".jpg", grey),
            (".webp", np.dstack([grey] * 3)),
            (".tiff", grey),
        )
    ]
    bits = {"JPEGBaseline8Bit": 8}
    datasets = [
        dicom_dataset(phantom, transfer_syntax=name, bits=bits.get(name, 12)) for name in get_args(TransferSyntax)
    ]
    return [*pictures, *(saved(_named(dataset), proper=True) for dataset in datasets)]


def saved(dataset: Dataset, *, proper: bool = False) -> bytes:
    """Write a dataset as a file, as the standard wants it or however wrong it is."""
    content = io.BytesIO()
    dataset.preamble = bytes(128)
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    dataset.save_as(content, enforce_file_format=proper)
    return content.getvalue()


def _attempt(family: str, chance: random.Random, known: Samples) -> Attempt:
    make = FAMILIES[family]
    if make is None:
        raw, goes_away = faulty_request(chance, chance.choice(known), f"{PERSON[1]}.dcm")
        return Attempt(family, raw=raw, goes_away=goes_away)
    name = f"{PERSON[1]} {PERSON[0]}.{chance.choice(('dcm', 'png', 'jpg', 'zip', ''))}"
    files = [(name, make(chance, known))]
    if chance.random() < 0.1:
        files.append(("other.png", make(chance, known)))
    return Attempt(family, tuple(files))


def _named(dataset: Dataset) -> Dataset:
    given, family, number, accession = PERSON
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = f"{family}^{given}", number, accession
    return dataset


def _flipped(chance: random.Random, known: Samples) -> bytes:
    content = bytearray(chance.choice(known))
    reach = min(len(content), chance.choice((64, 400, len(content))))
    for _ in range(chance.choice((1, 2, 8, 64))):
        content[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return bytes(content)


def _cut(chance: random.Random, known: Samples) -> bytes:
    content = chance.choice(known)
    return content[: chance.choice((chance.randrange(200), chance.randrange(len(content)), len(content) - 1))]


def _spliced(chance: random.Random, known: Samples) -> bytes:
    one, other = chance.choice(known), chance.choice(known)
    at, to = chance.randrange(len(one)), chance.randrange(len(other))
    way = chance.randrange(4)
    if way == 0:
        return one[: chance.randrange(600)] + other
    if way == 1:
        return one[:at] + other[to:]
    if way == 2:
        return one[:at] + other[to : to + chance.randrange(2000)] + one[at:]
    return one + other


def _packed(chance: random.Random, known: Samples) -> bytes:
    makers: list[Callable[[], bytes]] = [
        lambda: _zeros(1, chance.choice((20, 40, 100)) * _MIB),
        lambda: _zeros(4, 24 * _MIB),
        lambda: _zeros(1200, 0),
        lambda: _zip([("b.zip", _zip([("c.zip", _zeros(1, 8 * _MIB))]))]),
        lambda: _zip([("../../etc/passwd", chance.choice(known)), ("C:\\x\\y.dcm", chance.choice(known))]),
        lambda: _zip([("a" * 60_000, chance.choice(known))]),
        lambda: _zip([]),
        lambda: _zip([(PERSON[1] + ".dcm", _flipped(chance, known)) for _ in range(3)]),
    ]
    archive = bytearray(chance.choice(makers)())
    way = chance.randrange(4)
    if way == 0:
        return bytes(archive[: chance.randrange(len(archive))])
    if way == 1:
        # The directory at the end says what is not so: sizes, methods, flags, places.
        for _ in range(chance.choice((1, 4))):
            archive[-1 - chance.randrange(min(len(archive), 120))] = chance.randrange(256)
    return bytes(archive)


@lru_cache(maxsize=8)
def _zeros(count: int, size: int) -> bytes:
    return _zip([(f"{n}.png", bytes(size)) for n in range(count)])


def _zip(files: Sequence[tuple[str, bytes]]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return content.getvalue()


def _declared(chance: random.Random, known: Samples) -> bytes:
    """Pictures whose headers announce more, or other things, than the file holds."""
    side = chance.choice((0, 1, 63, 5000, 20_000, 65_535, 2**31 - 1))
    other = chance.choice((1, 64, 320, 20_000, side))
    way = chance.randrange(5)
    if way == 0:
        return _png(side, other, chance.choice((1, 2, 8, 16, 77)), zlib.compress(bytes(1000)))
    if way == 1:
        jpeg = bytearray(known[2])
        at = jpeg.index(b"\xff\xc0") + 5
        jpeg[at : at + 4] = struct.pack(">HH", min(side, 65_535), min(other, 65_535))
        return bytes(jpeg)
    if way == 2:
        tiff = bytearray(known[4])
        for tag in (256, 257):
            at = tiff.find(struct.pack("<H", tag), int.from_bytes(tiff[4:8], "little"))
            tiff[at + 8 : at + 12] = struct.pack("<I", side)
        return bytes(tiff)
    if way == 3:
        png = bytearray(known[0])
        png[33:37] = b"\xff\xff\xff\xff"
        return bytes(png)
    return known[0][:33] + _text_bomb() + known[0][33:]


@lru_cache(maxsize=1)
def _text_bomb() -> bytes:
    return _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 * _MIB), 9))


def _stranger(chance: random.Random, _known: Samples) -> bytes:
    signs = (b"GIF89a", b"%PDF-1.7\n", b"\x7fELF", b"BM", b"<svg>", b"\x1f\x8b\x08", b"MZ", b"Rar!", b"7z\xbc\xaf", b"")
    body = chance.randbytes(chance.choice((0, 1, 100, 5000, 200_000)))
    way = chance.randrange(4)
    if way == 0:
        return bytes(128) + b"DICM" + body
    if way == 1:
        return b"\x89PNG\r\n\x1a\n" + body
    if way == 2:
        return f"{PERSON[1]}, {PERSON[0]}; {PERSON[2]}\n".encode() * chance.randrange(2000)
    return chance.choice(signs) + body


def _absurd(chance: random.Random, known: Samples) -> bytes:
    """DICOM files that say impossible things of themselves."""
    dataset = pydicom.dcmread(io.BytesIO(known[5]))
    for keyword, value in chance.sample(_ABSURD, chance.choice((1, 1, 2, 4))):
        _force(dataset, keyword, value)
    way = chance.randrange(7)
    if way == 1:
        dataset.file_meta.TransferSyntaxUID = chance.choice((JPEG2000Lossless, JPEGBaseline8Bit, RLELossless))
        dataset.PixelData = encapsulate([chance.randbytes(chance.randrange(2, 4000))])
        dataset["PixelData"].is_undefined_length = True
    elif way == 3:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.PixelData = bytes(chance.choice((1, 24, 80)) * _MIB)
    content = bytearray(saved(dataset))
    if way == 0:
        # Packed in another way than it says: RLE, big-endian, a way that nobody knows, implicit.
        at = content.index(_EXPLICIT)
        content[at : at + len(_EXPLICIT)] = b"1.2.840.10008.1.2" + chance.choice((b".5\0", b".2\0", b".7\0", b"\0\0\0"))
    elif way == 2:
        # Sequences in sequences, before the patient's group.
        at = content.index(b"\x10\x00\x10\x00")
        content[at:at] = _nested(chance.choice((20, 300, 5000)))
    elif way == 4:
        # A length that reaches far behind the file's end, or none that is defined.
        at = chance.randrange(300, min(len(content), 2500))
        content[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\x00\x00\x00\x80"))
    elif way == 6:
        # Attributes without a value, each of which takes a parser far more room than the file.
        at = content.index(b"\x10\x00\x10\x00")
        content[at:at] = _empty_attributes(chance.choice((1000, 400_000)))
    elif way == 5:
        at = content.rindex(b"\xe0\x7f\x10\x00")
        content[at + 8 : at + 12] = chance.choice((b"\xff\xff\xff\xff", b"\xf0\xff\xff\x7f", b"\x00\x00\x00\x00"))
    return bytes(content)


_ABSURD: Final[list[tuple[str, Any]]] = [
    ("Rows", 65_535),
    ("Rows", 0),
    ("Columns", 65_535),
    ("Columns", 321),
    ("NumberOfFrames", "2147483647"),
    ("NumberOfFrames", "-3"),
    ("NumberOfFrames", "1e9"),
    ("BitsAllocated", 0),
    ("BitsAllocated", 7),
    ("BitsAllocated", 64),
    ("BitsStored", 99),
    ("HighBit", 77),
    ("SamplesPerPixel", 0),
    ("SamplesPerPixel", 65_535),
    ("PixelRepresentation", 9),
    ("PhotometricInterpretation", "PALETTE COLOR"),
    ("PhotometricInterpretation", "YBR_PARTIAL_420"),
    ("PhotometricInterpretation", "\x1b[31mred"),
    ("WindowCenter", "nan"),
    ("WindowWidth", "-1e308"),
    ("WindowWidth", "0"),
    ("RescaleSlope", "inf"),
    ("RescaleIntercept", "1e400"),
    ("PixelSpacing", ["0", "0"]),
    ("ImagerPixelSpacing", ["-1", "abc"]),
    ("StudyInstanceUID", "1." * 400),
    ("StudyInstanceUID", "no uid\0at all"),
    ("SOPInstanceUID", ""),
    ("PatientName", f"{PERSON[1]}^" * 4000),
    ("PatientID", "\0\1\2\x7f"),
    ("PatientBirthDate", "99999999"),
    ("StudyDate", "00000000"),
    ("SpecificCharacterSet", "ISO 2022 IR 999"),
    ("PixelData", b""),
    ("PixelData", b"\1"),
    ("PixelData", bytes(16 * _MIB)),
]


def _force(dataset: Dataset, keyword: str, value: Any) -> None:
    tag = pydicom.datadict.tag_for_keyword(keyword)
    kind = "OW" if keyword == "PixelData" else pydicom.datadict.dictionary_VR(keyword)
    if isinstance(value, list):
        value = "\\".join(value)
    # Kinds that hold numbers as text are written as plain text, or the library would refuse to.
    dataset[tag] = pydicom.DataElement(
        tag, "LO" if kind in ("DS", "IS", "UI", "CS", "DA") else kind, value, validation_mode=pydicom.config.IGNORE
    )


def _nested(depth: int) -> bytes:
    begin = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return begin * depth + end * depth


@lru_cache(maxsize=2)
def _empty_attributes(count: int) -> bytes:
    return b"".join(struct.pack("<HH2sH", 9 + 2 * (n >> 16), n & 0xFFFF, b"LO", 0) for n in range(count))


def _bomb(chance: random.Random, _known: Samples) -> bytes:
    """Pictures that are small as files and large as pictures, some just within the limit, some beyond it."""
    rows, columns = chance.choice(((4900, 5000), (4900, 5000), (9000, 9000), (20_000, 20_000), (60_000, 300)))
    if chance.random() < 0.3:
        return _frames(chance)
    return _plain(rows, columns, chance.choice((1, 8)), chance.choice((0, 255)))


@lru_cache(maxsize=32)
def _plain(rows: int, columns: int, bits: int, level: int) -> bytes:
    row = b"\0" + bytes([level]) * ((columns * bits + 7) // 8)
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    return _png(columns, rows, bits, packed)


def _frames(chance: random.Random) -> bytes:
    from PIL import Image  # noqa: PLC0415 - for this alone

    pages = [Image.new("L", (400, 400), n) for n in range(30)]
    content = io.BytesIO()
    pages[0].save(content, chance.choice(("TIFF", "PNG", "WEBP")), save_all=True, append_images=pages[1:])
    return content.getvalue()


def _png(width: int, height: int, bits: int, packed: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


FAMILIES: Final[dict[str, _Make | None]] = {
    "bits flipped": _flipped,
    "cut short": _cut,
    "spliced": _spliced,
    "archives": _packed,
    "sizes declared": _declared,
    "wrong kinds": _stranger,
    "absurd DICOM": _absurd,
    "pictures as bombs": _bomb,
    "requests with faults": None,
}
"""What is done to files, by name; None: to the request and not to its file."""
