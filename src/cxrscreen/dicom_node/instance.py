"""One received instance: what its header says, and whether it is one to take."""

import re
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import pydicom
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from cxrscreen.errors import CxrscreenError
from cxrscreen.imaging.dicom import DOUBTFUL_MODALITIES, PROJECTION_MODALITIES
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.imaging.transfer import available_plugins
from cxrscreen.report.dicom.identity import MANUFACTURER, MODEL

STORED_CLASSES: Final = (
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.SecondaryCaptureImageStorage,
)
"""SOP classes the node takes."""
MODALITIES: Final = PROJECTION_MODALITIES | DOUBTFUL_MODALITIES

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
INVALID_INSTANCE: Final = 0x0117
NOT_AUTHORIZED: Final = 0x0124
OUT_OF_RESOURCES: Final = 0xA700
DOES_NOT_MATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
OTHER_MODALITY: Final = 0xC010
OWN_RESULT: Final = 0xC011
NOT_DEIDENTIFIED: Final = 0xC012
TOO_LARGE: Final = 0xC013
"""Not 0xA700, which asks the sender to try again: that would never succeed."""

_HEADER_BYTES: Final = 8 * 2**20
"""As much of a file is parsed; what is looked at stands in its first kilobytes."""
_META_START: Final = 144
"""Behind the preamble, the mark and the length of the file meta information."""
_PIXELS: Final = Tag("PixelData")
_TAGS: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
)


class NotTakenError(CxrscreenError):
    """An instance that is refused.

    Parameters
    ----------
    status
        For the C-STORE response (DICOM PS3.4 B.2.3).
    sentence
        Why; fits an Error Comment of 64 characters.
    instance
        Which one, where its identifiers are sound.
    """

    def __init__(self, status: int, sentence: str, instance: "Instance | None" = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.instance = instance


@dataclass(frozen=True)
class Instance:
    """The identifiers of an instance that was taken.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid, study_instance_uid
        Valid UIDs: digits and dots, at most 64 characters, so that they can name a file.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str


def examine(content: bytes) -> Instance:
    """Read the header of an instance and decide whether to take it.

    Parameters
    ----------
    content
        A DICOM file.

    Raises
    ------
    NotTakenError
        If the header cannot be read, an identifier is missing or invalid, or it is an image of another kind, or one
        that this package made, which would come back for ever where an archive forwards everything.
    """
    try:
        with without_warnings():
            header = _header(content)
            found = {keyword: str(header.get(keyword) or "").strip() for keyword in _TAGS}
    except Exception as error:
        # what parsers raise on damaged data is of no family
        raise NotTakenError(CANNOT_UNDERSTAND, "The data set cannot be read") from error
    uids = [found[keyword] for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")]
    if not all(is_uid(value) for value in uids):
        raise NotTakenError(INVALID_INSTANCE, "SOP class, SOP instance or study UID is missing or invalid")
    instance = Instance(*uids)
    if found["Manufacturer"] == MANUFACTURER and found["ManufacturerModelName"] == MODEL:
        raise NotTakenError(OWN_RESULT, "This is a result of cxrscreen, not a radiograph to screen", instance)
    if uids[0] not in STORED_CLASSES:
        raise NotTakenError(DOES_NOT_MATCH, "The SOP class is not one that is taken", instance)
    if found["Modality"].upper() not in MODALITIES:
        raise NotTakenError(OTHER_MODALITY, "The modality is not that of a plain radiograph", instance)
    return instance


def readable_syntaxes() -> tuple[uid.UID, ...]:
    """List the transfer syntaxes that this install decodes, uncompressed ones first."""
    native = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian)
    compressed = [uid.UID(syntax) for syntax in uid.AllTransferSyntaxes if uid.UID(syntax).is_encapsulated]
    return (*native, *(syntax for syntax in compressed if available_plugins(syntax)))


def is_uid(value: str) -> bool:
    """Whether a value is a UID, so that it is safe as the name of a file (DICOM PS3.5 section 9.1)."""
    return len(value) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)+", value) is not None


def _header(content: bytes) -> Dataset:
    """Read the attributes that are looked at, in the file's first part.

    The whole of a deflated file, and what the parser makes of sequences, could be many times as large as memory.
    """
    if len(content) < _META_START or content[128:132] != b"DICM":
        raise ValueError("not a DICOM file")
    start = _META_START + int.from_bytes(content[_META_START - 4 : _META_START], "little")
    meta = read_dataset(BytesIO(content[132:start]), False, True)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return pydicom.dcmread(
            BytesIO(content[: start + _HEADER_BYTES]), stop_before_pixels=True, specific_tags=list(_TAGS)
        )
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:], _HEADER_BYTES)
    return read_dataset(
        BytesIO(inflated),
        False,
        True,
        stop_when=_at_pixels,
        specific_tags=[Tag(keyword) for keyword in _TAGS],
    )


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag >= _PIXELS)
