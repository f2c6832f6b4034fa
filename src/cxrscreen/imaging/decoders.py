"""What this install can decode, tried out on small built-in frames."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, features
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from cxrscreen.imaging.limits import ReadLimits
from cxrscreen.imaging.picture import read_picture
from cxrscreen.imaging.transfer import available_plugins, decode_frame

Check = Literal["decodes", "plugin present", "fails", "missing"]
"""``"decodes"``: a frame came back right; ``"plugin present"``: nothing here can make a frame to try it with."""

_SIDE = 16
_LOSSY_ERROR = 4.0
"""Largest mean error, in grey values of 255, that a lossy format may make of the built-in ramp."""

# The 16 x 16 ramp 0, 16, 32 ... of 12 bits as a lossless JPEG (first-order prediction), made with GDCM.
_LOSSLESS_JPEG = base64.b64decode(
    "/9j/wwALEAAQABABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABQkQ/9oACAEBAAEAAMgggggggggggggghQBBBBBBBBBBBBBBBCgCCCCCCCCCCCCC"
    "CCFAEEEEEEEEEEEEEEEKAIIIIIIIIIIIIIIIUAQQQQQQQQQQQQQQQoAgggggggggggggghQBBBBBBBBBBBBBBBCgCCCCCCCCCCCCCCCFAEEEEEEEEE"
    "EEEEEEKAIIIIIIIIIIIIIIIUAQQQQQQQQQQQQQQQoAgggggggggggggghQBBBBBBBBBBBBBBBCgCCCCCCCCCCCCCCCFAEEEEEEEEEEEEEEEP/Z"
)


@dataclass(frozen=True)
class Decodable:
    """One picture format or DICOM transfer syntax.

    Parameters
    ----------
    name
        The format's or transfer syntax' name, and what of it is read where that is not all.
    uid
        DICOM UID; None for pictures.
    decoders
        Installed decoders, in the order they are asked.
    check
        What the trial gave.
    required
        Whether cxrscreen promises to read it.
    """

    name: str
    uid: str | None
    decoders: tuple[str, ...]
    check: Check
    required: bool

    @property
    def works(self) -> bool:
        """Whether it can be read here, as far as can be told."""
        return self.check in ("decodes", "plugin present")


def decodable() -> list[Decodable]:
    """Try every picture format and transfer syntax the reader knows.

    Returns
    -------
    list of Decodable
        Pictures first, then transfer syntaxes in the order of their UIDs; nothing is raised.
    """
    return [_try_picture(*row) for row in _PICTURES] + [_try_transfer_syntax(uid.UID(row)) for row in _ENCODERS]


def _ramp(dtype: type[np.uint8] | type[np.uint16], side: int = 4 * _SIDE) -> NDArray[np.unsignedinteger]:
    """Make a ramp of 256 steps in equal blocks, of 8 or 12 bits."""
    steps = np.arange(_SIDE * _SIDE).reshape(_SIDE, _SIDE)
    steps = np.kron(steps, np.ones((side // _SIDE, side // _SIDE), dtype=steps.dtype))
    return (steps if dtype is np.uint8 else steps * 16).astype(dtype)


def _dataset(frame: NDArray[np.integer], transfer_syntax: uid.UID) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    dataset = Dataset()
    dataset.file_meta, dataset.preamble = meta, bytes(128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *frame.shape, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated = 8 * frame.dtype.itemsize
    dataset.BitsStored = 8 if dataset.BitsAllocated == 8 else 12
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = frame.tobytes()
    return dataset


def _native(transfer_syntax: uid.UID) -> Dataset:
    frame = _ramp(np.uint16)
    return _dataset(frame if transfer_syntax.is_little_endian else frame.astype(">u2"), transfer_syntax)


def _compressed(transfer_syntax: uid.UID) -> Dataset:
    dataset = _dataset(_ramp(np.uint16), uid.ExplicitVRLittleEndian)
    near = {"jls_error": 2} if transfer_syntax == uid.JPEGLSNearLossless else {}
    ratio = {"j2k_cr": [2]} if transfer_syntax == uid.JPEG2000 else {}
    dataset.compress(transfer_syntax, **near, **ratio)  # type: ignore[arg-type]
    return dataset


def _pillow_jpeg(transfer_syntax: uid.UID) -> Dataset:
    stream = io.BytesIO()
    Image.fromarray(_ramp(np.uint8)).save(stream, format="JPEG", quality=95)
    dataset = _dataset(_ramp(np.uint8), transfer_syntax)
    dataset.PixelData = encapsulate([stream.getvalue()])
    return dataset


def _lossless_jpeg(transfer_syntax: uid.UID) -> Dataset:
    dataset = _dataset(_ramp(np.uint16, _SIDE), transfer_syntax)
    dataset.PixelData = encapsulate([_LOSSLESS_JPEG])
    return dataset


_ENCODERS: dict[str, Callable[[uid.UID], Dataset] | None] = {
    uid.ImplicitVRLittleEndian: _native,
    uid.ExplicitVRLittleEndian: _native,
    uid.DeflatedExplicitVRLittleEndian: _native,
    uid.ExplicitVRBigEndian: _native,
    uid.JPEGBaseline8Bit: _pillow_jpeg,
    uid.JPEGExtended12Bit: _pillow_jpeg,
    uid.JPEGLossless: _lossless_jpeg,
    uid.JPEGLosslessSV1: _lossless_jpeg,
    uid.JPEGLSLossless: _compressed,
    uid.JPEGLSNearLossless: _compressed,
    uid.JPEG2000Lossless: _compressed,
    uid.JPEG2000: _compressed,
    uid.HTJ2KLossless: None,
    uid.HTJ2KLosslessRPCL: None,
    uid.HTJ2K: None,
    uid.RLELossless: _compressed,
}
"""Transfer syntaxes the reader knows, with what makes a frame to try them; None where no encoder exists here."""
_NOTES = {uid.JPEGExtended12Bit: ", 8 bit only"}
"""What of a transfer syntax is read, where that is not all of it: no decoder here takes 12 bits of JPEG Extended."""
_LOSSY = frozenset({uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000})

# Name, Pillow's format and options, depth, decoder.
_PICTURES: tuple[tuple[str, str, int, str], ...] = (
    ("PNG, 8 bit", "PNG", 8, "zlib"),
    ("PNG, 16 bit", "PNG", 16, "zlib"),
    ("JPEG", "JPEG", 8, "jpg"),
    ("WebP", "WEBP", 8, "webp"),
    ("TIFF, 8 bit", "TIFF", 8, "libtiff"),
    ("TIFF, 16 bit", "TIFF", 16, "libtiff"),
)


def _try_picture(name: str, picture_format: str, bits: int, feature: str) -> Decodable:
    if not features.check(feature):
        return Decodable(name, None, (), "missing", required=True)
    frame = _ramp(np.uint8) if bits == 8 else _ramp(np.uint16)
    stream = io.BytesIO()
    try:
        Image.fromarray(frame).save(stream, format=picture_format, lossless=picture_format == "WEBP", quality=95)
        decoded = read_picture(Path("built-in frame"), stream.getvalue(), ReadLimits(min_side=1))
    except Exception:
        # Whatever a codec raises, the answer is the same: it fails here.
        return Decodable(name, None, ("pillow",), "fails", required=True)
    error = np.abs(decoded.pixels * 255.0 - frame / (255 if bits == 8 else 4095) * 255.0).mean()
    close = error <= (_LOSSY_ERROR if picture_format == "JPEG" else 0.25)
    return Decodable(name, None, ("pillow",), "decodes" if close else "fails", required=True)


def _try_transfer_syntax(transfer_syntax: uid.UID) -> Decodable:
    encode = _ENCODERS[transfer_syntax]
    required = encode is not None
    plugins = available_plugins(transfer_syntax) if transfer_syntax.is_encapsulated else ("pydicom",)
    check: Check = "missing"
    if plugins:
        check = "plugin present" if encode is None else _try_frame(transfer_syntax, encode)
    name = transfer_syntax.name + _NOTES.get(transfer_syntax, "")
    return Decodable(name, str(transfer_syntax), plugins, check, required)


def _try_frame(transfer_syntax: uid.UID, encode: Callable[[uid.UID], Dataset]) -> Check:
    try:
        stream = io.BytesIO()
        encode(transfer_syntax).save_as(stream, enforce_file_format=True)
        stream.seek(0)
        dataset = pydicom.dcmread(stream)
        frame = decode_frame(Path("built-in frame"), dataset, transfer_syntax)
    except Exception:
        # Whatever a codec raises, the answer is the same: it fails here.
        return "fails"
    scale = 1.0 if dataset.BitsAllocated == 8 else 1.0 / 16.0
    error = np.abs(frame * scale - _ramp(np.uint8, frame.shape[0])).mean()
    return "decodes" if error <= (_LOSSY_ERROR if transfer_syntax in _LOSSY else 0.0) else "fails"
