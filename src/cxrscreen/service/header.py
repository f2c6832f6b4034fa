"""What the start of a file says of it, before a pixel is decoded: its kind, its size, whom and what it shows."""

import re
import zlib
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Final, Literal

from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag

from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.dicom import is_dicom
from cxrscreen.imaging.limits import ReadLimits, check_shape
from cxrscreen.imaging.picture import PICTURE_FORMATS, is_picture
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.service.problems import ServiceError, TooLargeError, UnreadableUploadError, UnsupportedContentError

Kind = Literal["dicom", "picture", "archive", "other"]

_HEAD_BYTES: Final = 512
_META_BYTES: Final = 4096
_HEADER_BYTES: Final = 8 * 2**20
"""As much of a DICOM file is parsed; what an image says of itself stands in its first kilobytes."""
_MOST_ATTRIBUTES: Final = 20_000
"""Each takes the parser thirty times the room that it takes in the file."""
_CHUNK: Final = 2**20
_ARCHIVES: Final = (b"PK\x03\x04", b"PK\x05\x06")
_NAMED: Final = Path("The image")
"""Stands for the file in sentences of the imaging room."""


@dataclass(frozen=True)
class Person:
    """Whom an image shows, as its sender names them.

    Parameters
    ----------
    reference
        The hospital's number, unique with its issuer.
    issuer
        Who gives such numbers, may be empty.
    name, birth_date, sex
        Where they are said.
    """

    reference: str
    issuer: str = ""
    name: str | None = None
    birth_date: date | None = None
    sex: str | None = None


@dataclass(frozen=True)
class Header:
    """What is known of an image from the start of its file.

    Parameters
    ----------
    format
        ``"DICOM"``, ``"PNG"``, ``"JPEG"``, ``"WebP"`` or ``"TIFF"``.
    rows, columns
        Size in pixels, as stored.
    modality, study_instance_uid, series_instance_uid, sop_instance_uid, accession_number
        DICOM attributes, None for pictures and where they are missing or malformed.
    taken_on
        Date of the study.
    person
        None where the file does not say.
    """

    format: str
    rows: int
    columns: int
    modality: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    accession_number: str | None = None
    taken_on: date | None = None
    person: Person | None = None


def kind_of(source: IO[bytes]) -> Kind:
    """Tell what a file is by its content; its name does not count."""
    source.seek(0)
    head = source.read(_HEAD_BYTES)
    source.seek(0)
    if head.startswith(_ARCHIVES):
        return "archive"
    if is_picture(head):
        return "picture"
    return "dicom" if is_dicom(head) else "other"


def read_header(source: IO[bytes], limits: ReadLimits) -> Header:
    """Read what a file says of itself.

    Parameters
    ----------
    source
        An open file; it is left at its start.
    limits
        Bounds on its size.

    Returns
    -------
    Header
        Texts in it are printable and cut to a database's columns.

    Raises
    ------
    UnsupportedContentError
        If it is no image of a kind that is read.
    TooLargeError
        If it has too many pixels or more than one frame.
    UnreadableUploadError
        If its start is damaged; whether the rest can be read is seen when it is screened.
    """
    kind = kind_of(source)
    try:
        with without_warnings():
            if kind == "dicom":
                return _dicom(source, limits)
            if kind == "picture":
                return _picture(source, limits)
    except ServiceError:
        raise
    except UnreadableImageError as error:
        raise UnreadableUploadError(str(error)) from error
    except Exception as error:
        # What parsers raise on damaged data is not one family, and their texts hold parts of the file.
        raise UnreadableUploadError(
            f"The file is damaged ({type(error).__name__} while reading its header); copy or export it again."
        ) from None
    finally:
        source.seek(0)
    raise UnsupportedContentError("The file is no image that is read; send DICOM, PNG, JPEG, WebP or TIFF, or a zip.")


def clean(value: object, length: int) -> str | None:
    """Return a text fit for the database and a page: printable, stripped and cut; None where nothing is left."""
    if value is None:
        return None
    text = "".join(character for character in str(value) if character.isprintable()).strip()[:length]
    return text or None


def _picture(source: IO[bytes], limits: ReadLimits) -> Header:
    try:
        image = Image.open(source, formats=("PNG", "JPEG", "WEBP", "TIFF"))
    except Image.DecompressionBombError:
        raise _too_many_pixels(limits) from None
    _check_pixels(image.height, image.width, limits)
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise TooLargeError("The picture has several frames or pages; send the one to screen by itself.")
    return Header(PICTURE_FORMATS[str(image.format)], image.height, image.width)


def _dicom(source: IO[bytes], limits: ReadLimits) -> Header:
    dataset = _dataset(source, limits)
    if getattr(dataset, "file_meta", Dataset()).get("MediaStorageSOPClassUID") == uid.MediaStorageDirectoryStorage:
        raise UnreadableUploadError("The file is a DICOM directory, not an image; send the images themselves.")
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise UnreadableUploadError("The DICOM file holds no image (no Rows or Columns); send the radiograph itself.")
    _check_pixels(rows, columns, limits)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise TooLargeError("The DICOM file has several frames; send the one to screen as an image of its own.")
    reference = clean(_value(dataset, "PatientID"), 128)
    person = None
    if reference is not None:
        sex = clean(_value(dataset, "PatientSex"), 1)
        person = Person(
            reference,
            clean(_value(dataset, "IssuerOfPatientID"), 128) or "",
            clean(_value(dataset, "PatientName"), 256),
            _date(dataset, "PatientBirthDate"),
            sex if sex in ("M", "F", "O") else None,
        )
    return Header(
        format="DICOM",
        rows=rows,
        columns=columns,
        modality=clean(_value(dataset, "Modality"), 16),
        study_instance_uid=_uid(dataset, "StudyInstanceUID"),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        accession_number=clean(_value(dataset, "AccessionNumber"), 64),
        taken_on=_date(dataset, "StudyDate") or _date(dataset, "AcquisitionDate"),
        person=person,
    )


def _dataset(source: IO[bytes], limits: ReadLimits) -> Dataset:
    head = source.read(_META_BYTES)
    source.seek(0)
    marked = head[128:132] == b"DICM"
    stop = _StopAtPixels()
    if not marked or uid.DeflatedExplicitVRLittleEndian.encode() not in head:
        dataset: Dataset = read_partial(BytesIO(source.read(_HEADER_BYTES)), stop, force=not marked)
        _check_length(stop, longer=bool(source.read(1)))
        return dataset
    # pydicom inflates a deflated file to whatever size it has; here that stops at the limit.
    if head[132:136] != b"\x02\x00\x00\x00":
        raise UnreadableUploadError("The file lacks the length of its file meta information; export it again.")
    source.seek(144 + int.from_bytes(head[140:144], "little"))
    body, size = _inflated(source, limits)
    dataset = read_dataset(BytesIO(body), is_implicit_VR=False, is_little_endian=True, stop_when=stop)
    _check_length(stop, longer=size > len(body))
    return dataset


def _inflated(source: IO[bytes], limits: ReadLimits) -> tuple[bytes, int]:
    """Inflate a file to its end; give its beginning, and its size."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    kept, size = bytearray(), 0
    packed = source.read(_CHUNK)
    while packed and not inflate.eof:
        piece = inflate.decompress(packed, _CHUNK)
        size += len(piece)
        if size > limits.max_bytes:
            raise TooLargeError("The deflated DICOM file is larger than is read once inflated; export it uncompressed.")
        kept += piece[: _HEADER_BYTES - len(kept)]
        packed = inflate.unconsumed_tail or source.read(_CHUNK)
    return bytes(kept), size


class _StopAtPixels:
    """Ends the parsing at the pixels; tells whether it came so far."""

    def __init__(self) -> None:
        self.reached, self._seen = False, 0

    def __call__(self, tag: BaseTag, _vr: str | None, _length: int) -> bool:
        self._seen += 1
        if self._seen > _MOST_ATTRIBUTES:
            raise UnreadableUploadError(
                f"The DICOM file has more than {_MOST_ATTRIBUTES} attributes before its pixels; export it again."
            )
        self.reached = tag in (0x7FE00008, 0x7FE00009, 0x7FE00010)
        return self.reached


def _check_length(stop: _StopAtPixels, *, longer: bool) -> None:
    # Whoever reads the file later parses it to its pixels, however far off they are.
    if longer and not stop.reached:
        raise UnreadableUploadError(
            f"The DICOM file has more than {_HEADER_BYTES / 2**20:g} MiB before its pixels; export it again."
        )


def _check_pixels(rows: int, columns: int, limits: ReadLimits) -> None:
    if rows * columns > limits.max_pixels:
        raise _too_many_pixels(limits)
    check_shape(_NAMED, rows, columns, limits)


def _too_many_pixels(limits: ReadLimits) -> TooLargeError:
    return TooLargeError(
        f"The image has more than {limits.max_pixels / 1e6:g} megapixels; export it at the detector's own size."
    )


def _value(dataset: Dataset, keyword: str) -> object:
    try:
        return dataset.get(keyword)
    except Exception:
        # A malformed value is as good as none; which error it raises depends on its kind.
        return None


def _uid(dataset: Dataset, keyword: str) -> str | None:
    value = str(_value(dataset, keyword) or "").strip()
    # Components with leading zeros are not allowed (DICOM PS3.5 section 9.1), and yet devices write them.
    return value if len(value) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", value) else None


def _date(dataset: Dataset, keyword: str) -> date | None:
    try:
        return datetime.strptime(str(_value(dataset, keyword) or "").strip()[:8], "%Y%m%d").date()
    except ValueError:
        return None
