"""DICOM files -> grey values: what is accepted, what is refused, and the facts of the header."""

import logging
import math
import re
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_file_meta_info, read_partial
from pydicom.pixels.processing import apply_color_lut
from pydicom.tag import BaseTag

from cxrscreen.imaging.decoded import COLOUR_WARNING, Decoded, is_coloured, luminance
from cxrscreen.imaging.limits import ReadLimits, check_shape, refusal
from cxrscreen.imaging.lookup import grey_table
from cxrscreen.imaging.radiograph import Provenance, ViewPosition
from cxrscreen.imaging.transfer import decode_frame

# pydicom logs whole tracebacks, and header values that may name a patient; a refusal says what a person needs.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

PROJECTION_MODALITIES = frozenset({"DX", "CR", "DR", "RG"})
"""Modalities of plain radiographs: digital, computed (``DR`` is a common misnomer of the former), on film."""
DOUBTFUL_MODALITIES = frozenset({"", "OT", "SC", "RF"})
"""Not stated, other, secondary capture, fluoroscopy unit: read, with a warning."""

PHOTOMETRIC_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
PHOTOMETRIC_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR"})

PLAUSIBLE_SPACING_MM = (0.02, 5.0)
"""Pixel spacings outside are taken as a mistake of the header."""

OWN_EQUIPMENT = ("cxrscreen", "cxrscreen screening")
"""Manufacturer and model name of the objects that the report writes: heat maps and outlines, no radiographs."""

_CHEST_BODY_PARTS = frozenset(
    {"", "CHEST", "THORAX", "LUNG", "TORAX", "PORT CHEST", "CHEST_PORT", "RIBS", "RIB", "HEART"}
)
_VIEW_MEANINGS: dict[str, ViewPosition] = {
    "posteroanterior": "PA",
    "anteroposterior": "AP",
    "lateral": "lateral",
    "leftlateral": "lateral",
    "rightlateral": "lateral",
}
_FIRST_OF_PIXELS, _LAST_OF_PIXELS = 0x7FE00001, 0x7FE00010
"""Attributes of group 7FE0: tables of offsets, and the pixels of any type."""
_PIXEL_KINDS, _UNDEFINED = ("OB", "OD", "OF", "OV", "OW"), 0xFFFFFFFF
_HEADER_BYTES, _MOST_ATTRIBUTES = 16 * 2**20, 20_000
"""Longest header before the pixels, and most attributes, nested ones not counted; radiographs have some hundred."""
_EXPORT = "export the chest radiograph itself as a DX or CR image"
_RECOPY = "copy or export it again"


def is_dicom(content: bytes) -> bool:
    """Whether a file's content is DICOM: the ``DICM`` mark, or a data set that starts without it.

    Parameters
    ----------
    content
        The file.

    Returns
    -------
    bool
        True also for a damaged file that starts as DICOM does.
    """
    # Without the mark a data set starts with an element of group 0008 (or 0002), little endian, of a low number.
    bare = len(content) > 8 and content[:2] in (b"\x02\x00", b"\x08\x00") and content[3] == 0
    return content[128:132] == b"DICM" or bare


def read_dicom(path: Path, content: bytes, limits: ReadLimits) -> Decoded:
    """Read a DICOM projection radiograph.

    Parameters
    ----------
    path
        The file, for messages and provenance.
    content
        Its bytes.
    limits
        Bounds on its size.

    Returns
    -------
    Decoded
        Grey values after modality LUT, VOI LUT or window and photometric interpretation, in this order (see
        `grey_table` for files without a window); padding is air. Colour is turned into luminance.

    Raises
    ------
    UnreadableImageError
        If the file is damaged, truncated, holds no image, several frames, an image of another modality, more than
        16 bits, an encoding that cannot be decoded here, breaks the limits, or is a result that cxrscreen made.

    Notes
    -----
    Source: DICOM PS3.3 C.7.6.3, C.8.11. The pixel spacing is ``PixelSpacing`` (calibrated), else
    ``ImagerPixelSpacing`` (at the detector), else ``NominalScannedPixelSpacing`` (film).
    """
    dataset = _parse(path, content, limits)
    _refuse_other_objects(path, dataset)
    _complete_pixel_module(path, dataset)
    check_shape(path, int(dataset.Rows), int(dataset.Columns), limits)
    transfer_syntax = uid.UID(dataset.file_meta.TransferSyntaxUID)
    warnings = _header_warnings(dataset)
    # Decoding rewrites colour; the header's own word is kept for the record.
    photometric = str(dataset.PhotometricInterpretation)
    frame = decode_frame(path, dataset, transfer_syntax)
    background: NDArray[np.bool_] | None = None
    if photometric in PHOTOMETRIC_GREY:
        pixels, background, more = _grey(dataset, frame, native=not transfer_syntax.is_encapsulated)
        warnings += more
    else:
        colours = _colours(dataset, frame)
        pixels = luminance(colours)
        warnings += [COLOUR_WARNING] if is_coloured(colours) else []
    return Decoded(
        pixels=pixels,
        background=background,
        provenance=Provenance(
            path=path,
            format="DICOM",
            transfer_syntax=transfer_syntax.name,
            photometric=photometric,
            bits=int(dataset.BitsStored),
            original_shape=(int(dataset.Rows), int(dataset.Columns)),
            sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
            study_instance_uid=_uid(dataset, "StudyInstanceUID"),
            series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
            modality=_code(dataset, "Modality") or None,
        ),
        pixel_spacing_mm=pixel_spacing(dataset),
        view_position=view_position(dataset),
        warnings=tuple(warnings),
    )


def pixel_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Row and column spacing in mm: calibrated, else at the detector, else of the scanned film.

    Parameters
    ----------
    dataset
        The file's header.

    Returns
    -------
    tuple of float or None
        None where the header names none, or one outside ``PLAUSIBLE_SPACING_MM``.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        try:
            row, column = (float(value) for value in dataset.get(keyword) or ())
        except (TypeError, ValueError):
            continue
        low, high = PLAUSIBLE_SPACING_MM
        if all(math.isfinite(value) and low <= value <= high for value in (row, column)):
            return row, column
    return None


def view_position(dataset: Dataset) -> ViewPosition:
    """Projection of the radiograph, from View Position, else from the View Code Sequence.

    Parameters
    ----------
    dataset
        The file's header.

    Returns
    -------
    {"PA", "AP", "lateral", "unknown"}
        Oblique and decubitus views are ``"unknown"``.
    """
    words = set(re.split(r"[^A-Z]+", str(dataset.get("ViewPosition") or "").upper()))
    if words & {"LL", "RL", "L", "LAT", "LATERAL", "LLAT", "RLAT"}:
        return "lateral"
    if "PA" in words:
        return "PA"
    if "AP" in words:
        return "AP"
    codes = dataset.get("ViewCodeSequence") or ()
    meaning = re.sub(r"[^a-z]", "", str(codes[0].get("CodeMeaning") or "").lower()) if codes else ""
    return _VIEW_MEANINGS.get(meaning, "unknown")


def _parse(path: Path, content: bytes, limits: ReadLimits) -> FileDataset:
    marked = content[128:132] == b"DICM"
    inflated = _inflated(path, content, limits) if marked else None
    source = _Header(content if inflated is None else inflated)
    try:
        if inflated is None:
            dataset = read_partial(source, source.ends, force=not marked)
        else:
            body = read_dataset(source, is_implicit_VR=False, is_little_endian=True, stop_when=source.ends)
            meta = read_file_meta_info(path)
            dataset = FileDataset(source, body, file_meta=meta, is_implicit_VR=False, is_little_endian=True)
    except _HeaderTooLongError:
        raise refusal(path, "has a header of many times the usual length", _RECOPY) from None
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        if not little:
            raise refusal(path, "does not name its transfer syntax", _RECOPY)
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    return dataset


class _HeaderTooLongError(Exception):
    """More header than is parsed."""


class _Header(BytesIO):
    """A file that is parsed to the end of its pixels, and whose header is bounded, nested sequences and all.

    An empty attribute takes the parser fifty times the room that it takes in the file.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._attributes, self._at_pixels = 0, False

    def ends(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        """Whether the header and the pixels lie before this attribute of the file itself."""
        self._attributes += 1
        if self._attributes > _MOST_ATTRIBUTES:
            raise _HeaderTooLongError
        # What is nested is no pixels, whatever it is called.
        bare = vr in _PIXEL_KINDS or (vr != "SQ" and length != _UNDEFINED)
        self._at_pixels = tag >= _FIRST_OF_PIXELS and bare
        return bool(tag > _LAST_OF_PIXELS)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, in the header only so far."""
        if not self._at_pixels and self.tell() > _HEADER_BYTES:
            raise _HeaderTooLongError
        return super().read(size)


def _inflated(path: Path, content: bytes, limits: ReadLimits) -> bytes | None:
    """Inflate a deflated data set within bounds, for pydicom inflates whatever size it is; None of any other file."""
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return None
    if "FileMetaInformationGroupLength" not in meta:
        raise refusal(path, "lacks the length of its file meta information", _RECOPY)
    start = 132 + 12 + int(meta.FileMetaInformationGroupLength)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflate.decompress(content[start:], limits.max_bytes)
    if inflate.unconsumed_tail:
        raise refusal(path, "inflates to more than the largest file size that is read", "export it uncompressed")
    if not inflate.eof:
        raise refusal(path, "is truncated", _RECOPY)
    return body


def _refuse_other_objects(path: Path, dataset: FileDataset) -> None:
    modality = _code(dataset, "Modality")
    if dataset.file_meta.get("MediaStorageSOPClassUID") == uid.MediaStorageDirectoryStorage:
        raise refusal(path, "is a DICOM directory, not an image", "name the images themselves")
    made_by = tuple(str(dataset.get(keyword) or "").strip() for keyword in ("Manufacturer", "ManufacturerModelName"))
    if made_by == OWN_EQUIPMENT:
        # A heat map would be screened as a radiograph, and get results in the patient's study.
        raise refusal(path, "is a result of cxrscreen, not a radiograph", "name the radiographs themselves")
    if modality not in PROJECTION_MODALITIES | DOUBTFUL_MODALITIES:
        raise refusal(path, f"is not a projection radiograph of the chest (its modality is {modality})", _EXPORT)
    if "PixelData" not in dataset:
        if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
            raise refusal(path, "holds floating-point pixels, which no radiograph has", _EXPORT)
        raise refusal(path, "holds no pixel data", _RECOPY)
    if not dataset.PixelData:
        raise refusal(path, "holds empty pixel data", _RECOPY)
    frames = dataset.get("NumberOfFrames")
    if frames is not None and int(frames) > 1:
        raise refusal(path, f"holds {int(frames)} frames", "export the one frame to screen as an image of its own")


def _complete_pixel_module(path: Path, dataset: FileDataset) -> None:
    """Check the attributes that describe the pixels; fill in those that have only one sensible value."""
    for keyword in ("Rows", "Columns", "BitsAllocated"):
        if not isinstance(dataset.get(keyword), int):
            raise refusal(path, f"lacks the attribute {keyword}, without which no image can be read", _RECOPY)
    for keyword, value in (
        ("SamplesPerPixel", 1),
        ("BitsStored", dataset.BitsAllocated),
        ("PixelRepresentation", 0),
        ("PhotometricInterpretation", "MONOCHROME2"),
    ):
        if dataset.get(keyword) is None:
            setattr(dataset, keyword, value)
    if dataset.get("HighBit") is None:
        dataset.HighBit = dataset.BitsStored - 1
    photometric = dataset.PhotometricInterpretation
    samples = 3 if photometric in PHOTOMETRIC_COLOUR - {"PALETTE COLOR"} else 1
    if photometric not in PHOTOMETRIC_GREY | PHOTOMETRIC_COLOUR or dataset.SamplesPerPixel != samples:
        raise refusal(path, "has a photometric interpretation that is not read", _EXPORT)
    if dataset.BitsAllocated not in (8, 16):
        raise refusal(path, f"has {int(dataset.BitsAllocated)} bits a sample, where 8 or 16 are read", _EXPORT)
    stored, high = dataset.BitsStored, dataset.HighBit
    if not (1 <= stored <= high + 1 <= dataset.BitsAllocated) or dataset.PixelRepresentation not in (0, 1):
        raise refusal(path, "contradicts itself in the attributes that describe its pixels", _RECOPY)


def _header_warnings(dataset: Dataset) -> list[str]:
    warnings = []
    modality = _code(dataset, "Modality")
    if modality in DOUBTFUL_MODALITIES:
        named = f"The modality is {modality}" if modality else "The header names no modality"
        warnings.append(f"{named}, so this may not be a chest radiograph.")
    body_part = _code(dataset, "BodyPartExamined")
    if body_part not in _CHEST_BODY_PARTS and "CHEST" not in body_part:
        warnings.append("The header names another body part than the chest.")
    return warnings


def _grey(
    dataset: Dataset, frame: NDArray[np.integer], *, native: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None, list[str]]:
    if not native:
        # Decoders give whole values, aligned at the lowest bit, in an array of their own width; where they need more
        # bits than the header says are stored, the codestream is right, and cutting them would fold the grey scale.
        if dataset.PixelRepresentation == 0:
            dataset.BitsStored = max(int(dataset.BitsStored), int(frame.max()).bit_length())
        dataset.HighBit = dataset.BitsStored - 1
    patterns: NDArray[np.uint16 | np.uint8] = frame.astype(
        np.uint16 if dataset.BitsAllocated == 16 else np.uint8, copy=False
    )
    counts = np.bincount(patterns.ravel(), minlength=2 ** int(dataset.BitsAllocated))
    table = grey_table(dataset, counts)
    background = table.padding[patterns] if bool(counts[table.padding].any()) else None
    return np.take(table.grey, patterns), background, list(table.warnings)


def _colours(dataset: Dataset, frame: NDArray[np.integer]) -> NDArray[np.float32]:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        frame = apply_color_lut(frame, dataset)
        top = np.iinfo(frame.dtype).max
    else:
        top = 2 ** int(dataset.BitsStored) - 1
    return np.asarray(np.clip(frame[..., :3].astype(np.float32) / np.float32(top), 0.0, 1.0), dtype=np.float32)


def _code(dataset: Dataset, keyword: str) -> str:
    """Read a coded string, reduced to code characters, so that no free text reaches a message."""
    value = str(dataset.get(keyword) or "").strip().upper()
    return value if re.fullmatch(r"[A-Z0-9 _]{0,16}", value) else "UNREADABLE"


def _uid(dataset: Dataset, keyword: str) -> str | None:
    value = dataset.get(keyword)
    return str(value) if value else None
