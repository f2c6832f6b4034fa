"""Instances as others ask for them: whole in a transfer syntax, their attributes as JSON, their frames, bulk data."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_partial
from pydicom.pixels.utils import pixel_array

from cxrscreen.imaging.silence import without_warnings
from cxrscreen.service.problems import NotFoundError, ServiceError

OCTETS: Final = "application/octet-stream"
_CHUNK: Final = 2**20
_PIXELS: Final = 0x7FE00010
_INLINE_BYTES: Final = 1024
"""Binary values up to this length are in the JSON itself."""
_BULK: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_FRAME_TYPES: Final = {
    uid.JPEGBaseline8Bit: "image/jpeg",
    uid.JPEGExtended12Bit: "image/jpeg",
    uid.JPEGLossless: "image/jpeg",
    uid.JPEGLosslessSV1: "image/jpeg",
    uid.JPEGLSLossless: "image/jls",
    uid.JPEGLSNearLossless: "image/jls",
    uid.JPEG2000Lossless: "image/jp2",
    uid.JPEG2000: "image/jp2",
    uid.HTJ2KLossless: "image/jphc",
    uid.HTJ2KLosslessRPCL: "image/jphc",
    uid.HTJ2K: "image/jphc",
    uid.RLELossless: "image/dicom-rle",
}
"""Media type of a compressed frame (PS3.18 table 8.7.3-2)."""


class NotAcceptableError(ServiceError):
    """Something that cannot be given in a form which the client takes."""

    status = HTTPStatus.NOT_ACCEPTABLE


@dataclass(frozen=True)
class Accepted:
    """What a client takes.

    Parameters
    ----------
    media_type
        For example ``"application/octet-stream"``; ``"*/*"`` for anything.
    transfer_syntax
        ``"*"``: as it is stored. None: not said, which means Explicit VR Little Endian (PS3.18 section 8.7.3).
    """

    media_type: str
    transfer_syntax: str | None = None


def whole(path: Path, stored: str, wanted: str | None) -> Iterator[bytes]:
    """Give an instance as a DICOM file.

    Parameters
    ----------
    path
        Its file.
    stored
        Its transfer syntax.
    wanted
        See :class:`Accepted`.

    Raises
    ------
    NotAcceptableError
        If it is wanted in a syntax into which nothing is compressed here, or cannot be decompressed.
    """
    as_stored = wanted == "*" or (wanted or uid.ExplicitVRLittleEndian) == stored
    if as_stored and _is_file(path):
        return _chunks(path)
    if not as_stored and wanted not in (None, uid.ExplicitVRLittleEndian):
        raise NotAcceptableError("The instance is not given in that transfer syntax; ask for it as it is stored (*).")
    try:
        with without_warnings():
            dataset = _read(path)
            if uid.UID(stored).is_encapsulated:
                dataset.decompress(generate_instance_uid=False)
            dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
            content = io.BytesIO()
            dataset.save_as(content, implicit_vr=False, little_endian=True, enforce_file_format=True)
    except Exception as error:
        # What a damaged file raises is of no family, and the text may hold a part of it.
        raise NotAcceptableError(
            f"The instance cannot be decompressed ({type(error).__name__}); ask for it as it is stored (*)."
        ) from None
    return iter((content.getvalue(),))


def metadata(path: Path, address: str) -> dict[str, Any]:
    """Give an instance's attributes in the DICOM JSON model, its bulk data by address.

    Parameters
    ----------
    path
        Its file.
    address
        Its own; bulk data are at ``address/bulkdata/<place>``, where a place is the tags and item numbers that lead
        to a value.
    """
    with without_warnings():
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        places = {id(element): place for place, element in _bulk(dataset)}
        written: dict[str, Any] = dataset.to_json_dict(
            bulk_data_threshold=_INLINE_BYTES,
            bulk_data_element_handler=lambda element: f"{address}/bulkdata/{places[id(element)]}",
            suppress_invalid_tags=True,
        )
    _name_special_numbers(written)
    if "00080005" in written:
        written["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    if "Rows" in dataset:
        written["7FE00010"] = {"vr": "OW", "BulkDataURI": f"{address}/bulkdata/7FE00010"}
    return written


def bulk_data(path: Path, place: str) -> bytes:
    """Give a binary value.

    Raises
    ------
    NotFoundError
        If there is none at that place.
    """
    try:
        with without_warnings():
            dataset = _read(path)
            for item_tag, number in zip(*[iter(place.split("-")[:-1])] * 2, strict=True):
                dataset = dataset[int(item_tag, 16)].value[int(number)]
            element = dataset[int(place.rsplit("-", 1)[-1], 16)]
            if element.VR not in _BULK:
                raise KeyError(place)
            return bytes(element.value)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        raise NotFoundError("The instance has no bulk data there; take the address from its metadata.") from None


def frames(path: Path, numbers: Sequence[int], accepted: Sequence[Accepted]) -> tuple[str, list[bytes]]:
    """Give frames.

    Parameters
    ----------
    path
        The instance's file.
    numbers
        From 1.
    accepted
        What the client takes.

    Returns
    -------
    media_type, frames
        Compressed ones as they are stored where the client takes them so, else the bare pixel values, little endian;
        frames of one bit a pixel are packed, the first pixel in the lowest bit.

    Raises
    ------
    NotFoundError
        If there is no such frame.
    NotAcceptableError
        If none of what the client takes can be given.
    """
    try:
        with without_warnings():
            return _frames(path, numbers, accepted)
    except ServiceError:
        raise
    except Exception as error:
        # As above: of no family.
        raise NotAcceptableError(
            f"The frame cannot be decompressed ({type(error).__name__}); ask for it as it is stored."
        ) from None


def syntax_of(dataset: Dataset) -> str:
    """Return the transfer syntax of what was read; one that is not named shows in how it was read."""
    native = uid.ImplicitVRLittleEndian if dataset.original_encoding[0] else uid.ExplicitVRLittleEndian
    return str(getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID") or native)


def _frames(path: Path, numbers: Sequence[int], accepted: Sequence[Accepted]) -> tuple[str, list[bytes]]:
    dataset = _read(path)
    if "PixelData" not in dataset:
        raise NotFoundError("The instance has no frames; ask for the instance itself.")
    count = int(dataset.get("NumberOfFrames") or 1)
    if not all(1 <= number <= count for number in numbers):
        raise NotFoundError(f"The instance has {count} frames; ask for one of them.")
    syntax = uid.UID(syntax_of(dataset))
    packed = _FRAME_TYPES.get(syntax)
    for one in accepted:
        if packed is not None and _takes(one, packed) and one.transfer_syntax in ("*", syntax):
            return f"{packed}; transfer-syntax={syntax}", _packed(dataset, numbers, count)
        if _takes(one, OCTETS) and one.transfer_syntax in (None, "*", uid.ExplicitVRLittleEndian):
            return f"{OCTETS}; transfer-syntax={uid.ExplicitVRLittleEndian}", _bare(dataset, path, numbers)
        if packed is not None and one.transfer_syntax is None and one.media_type == packed:
            return f"{packed}; transfer-syntax={syntax}", _packed(dataset, numbers, count)
    raise NotAcceptableError("Frames are given as they are stored (transfer-syntax=*), or as application/octet-stream.")


def _takes(accepted: Accepted, media_type: str) -> bool:
    kind = media_type.partition("/")[0]
    if accepted.transfer_syntax == "*" and accepted.media_type == OCTETS:
        # Viewers ask so for whatever is stored.
        return True
    return accepted.media_type in ("*/*", f"{kind}/*", media_type)


def _packed(dataset: Dataset, numbers: Sequence[int], count: int) -> list[bytes]:
    every = list(generate_frames(dataset.PixelData, number_of_frames=count))
    return [every[number - 1] for number in numbers]


def _bare(dataset: Dataset, path: Path, numbers: Sequence[int]) -> list[bytes]:
    syntax = uid.UID(syntax_of(dataset))
    if not syntax.is_encapsulated and syntax.is_little_endian and dataset.BitsAllocated >= 8:
        size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
        return [dataset.PixelData[(number - 1) * size : number * size] for number in numbers]
    found = []
    for number in numbers:
        pixels = pixel_array(path, index=number - 1, raw=True)
        if dataset.BitsAllocated == 1:
            found.append(np.packbits(pixels.astype(bool), bitorder="little").tobytes())
        else:
            found.append(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes())
    return found


def _name_special_numbers(written: dict[str, Any]) -> None:
    """Write what is no finite number as text, in place, for JSON has no number for it (PS3.18 section F.2.5)."""
    for element in written.values():
        values = element.get("Value", [])
        for position, value in enumerate(values):
            if isinstance(value, dict) and element["vr"] == "SQ":
                _name_special_numbers(value)
            elif isinstance(value, float) and not math.isfinite(value):
                values[position] = "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _bulk(dataset: Dataset, before: str = "") -> Iterator[tuple[str, Any]]:
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:
            # A malformed value, which raises whatever its kind leads to, is left out of the metadata too.
            continue
        place = f"{before}{element.tag:08X}"
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from _bulk(item, f"{place}-{number}-")
        elif element.VR in _BULK:
            yield place, element


def _read(path: Path) -> FileDataset:
    """Read a file to the end of its pixels; behind them are padding and signatures of what is then another file."""
    with path.open("rb") as content:
        return read_partial(content, lambda tag, _vr, _length: tag > _PIXELS, force=True)


def _is_file(path: Path) -> bool:
    """Whether it is a DICOM file, not a bare data set, which goes out as one."""
    with path.open("rb") as content:
        return content.read(132)[128:] == b"DICM"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            yield chunk
