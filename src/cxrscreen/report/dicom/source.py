"""The image the results refer to: a DICOM file's header, or, for a picture, a Secondary Capture made of it."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from pydicom import uid
from pydicom.charset import STAND_ALONE_ENCODINGS
from pydicom.datadict import dictionary_VM
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DA, TM

from cxrscreen.errors import CxrscreenError
from cxrscreen.imaging.legible import drop_illegible
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.report.dicom.identity import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION, MANUFACTURER, derived_uid
from cxrscreen.report.wording import shown_name

_ESSENTIAL: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MAY_BE_EMPTY: Final = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientOrientation",
)
_NUMBERS: Final = {"PixelSpacing": 2, "ImagerPixelSpacing": 2, "LossyImageCompressionRatio": None}
"""Numbers that results repeat, and how many there must be; None: any count."""
_SEXES: Final = frozenset({"", "M", "F", "O"})
_AXIS: Final = re.compile(r"[APRLHF]{1,3}")
_REGISTERED: Final = re.compile(r"ISO.?(?:2022)?.?IR.?(\d{1,3})")
_ONE_BYTE: Final = frozenset(["6", "13", "100", "101", "109", "110", "126", "127", "138", "144", "148", "166", "203"])
_TWO_BYTES: Final = frozenset({"87", "159"})
"""Character sets by ISO-IR number that highdicom writes; it lacks 149 (Korean) and 58 (Chinese)."""
_UTF_8: Final = "ISO_IR 192"


class DicomObjectError(CxrscreenError):
    """A result that cannot be made a DICOM object."""


@dataclass(frozen=True, eq=False)
class Source:
    """The image that results refer to.

    Parameters
    ----------
    header
        Its attributes without pixels, with patient, study, series and SOP instance.
    shape
        Rows and columns, those of the radiograph and of every mask and map.
    pixel_spacing_mm
        Row and column spacing, or None where it is not known.
    made
        The whole instance where it was made of a picture, to be stored with the results; None for a DICOM file.
    """

    header: Dataset
    shape: tuple[int, int]
    pixel_spacing_mm: tuple[float, float] | None
    made: Dataset | None = None

    @property
    def sop_instance_uid(self) -> str:
        """UID of the image."""
        return str(self.header.SOPInstanceUID)

    @property
    def study_instance_uid(self) -> str:
        """UID of its study."""
        return str(self.header.StudyInstanceUID)


def source_of(path: Path, radiograph: Radiograph) -> Source:
    """Describe the image of a radiograph for the objects that refer to it.

    Parameters
    ----------
    path
        The file the radiograph was read from.
    radiograph
        What was read; of a picture, a Secondary Capture instance is made of its pixels, whose UIDs derive from them,
        in a study of its own without a patient.

    Returns
    -------
    Source
        Attributes that an object must have, even empty, are there.

    Raises
    ------
    DicomObjectError
        If the header lacks an identifier, or the radiograph has another size than the file.
    """
    if radiograph.provenance.format != "DICOM":
        made = secondary_capture_of(radiograph)
        return Source(_without_pixels(made), radiograph.shape, radiograph.pixel_spacing_mm, made)
    try:
        with without_warnings():
            header = _completed(pydicom.dcmread(path, stop_before_pixels=True, force=True))
    except CxrscreenError:
        raise
    except Exception as error:
        # damaged headers raise whatever their values lead to, and values must not reach a message
        raise DicomObjectError(
            f"The header of {shown_name(path)} cannot be used for results ({type(error).__name__}); export it again."
        ) from error
    lacking = [keyword for keyword in _ESSENTIAL if not header.get(keyword)]
    if lacking:
        raise DicomObjectError(
            f"{shown_name(path)} lacks {lacking[0]}, to which results refer; export it from the archive again."
        )
    if (int(header.Rows), int(header.Columns)) != radiograph.shape:
        raise DicomObjectError(f"{shown_name(path)} and its radiograph differ in size; screen the file itself.")
    return Source(header, radiograph.shape, radiograph.pixel_spacing_mm)


def secondary_capture_of(radiograph: Radiograph) -> Dataset:
    """Make a Secondary Capture instance of a picture, so that results have something to refer to.

    Parameters
    ----------
    radiograph
        Read from a PNG, JPEG, WebP or TIFF file.

    Returns
    -------
    Dataset
        SC Image Storage, MONOCHROME2, 8 or 16 bits as the picture had, Explicit VR Little Endian; patient empty. Of a
        JPEG file it says that the picture was compressed with loss.
    """
    bits = 16 if (radiograph.provenance.bits or 8) > 8 else 8
    stored = np.rint(radiograph.pixels.astype(np.float64) * (2**bits - 1)).astype(f"<u{bits // 8}")
    digest = hashlib.sha256(stored.tobytes() + repr(stored.shape).encode()).hexdigest()
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = derived_uid("picture", digest)
    dataset.SeriesInstanceUID = derived_uid("picture series", digest)
    dataset.StudyInstanceUID = derived_uid("picture study", digest)
    for keyword in _MAY_BE_EMPTY:
        setattr(dataset, keyword, "")
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.Manufacturer = MANUFACTURER
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.BodyPartExamined = "CHEST"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    if radiograph.provenance.format == "JPEG":
        # A WebP or TIFF may be without loss, which is not known here: then nothing is said.
        dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    raw = stored.tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
    dataset.file_meta, dataset.preamble = meta, bytes(128)
    return dataset


def _completed(header: Dataset) -> Dataset:
    """Put right what the writers refuse although archives are full of it, or leave it empty."""
    # Reads every value under the character set that it came with; inside sequences they would else be copied as bytes.
    drop_illegible(header)
    _put_character_set(header)
    for element in header:
        if element.VR in ("DA", "TM"):
            element.value = _moment(element.value, element.VR)
        elif element.VR in ("PN", "UI") and isinstance(element.value, MultiValue) and _single(element):
            element.value = element.value[0]
    for keyword, count in _NUMBERS.items():
        if keyword in header and not _are_numbers(header[keyword].value, count):
            del header[keyword]
    for keyword in _MAY_BE_EMPTY:
        if header.get(keyword) is None:
            setattr(header, keyword, "")
    # "U" and the like are common and not allowed; an object with it would be refused
    if str(header.PatientSex) not in _SEXES:
        header.PatientSex = ""
    header.PatientOrientation = _orientation(header.PatientOrientation)
    return header


def _single(element: DataElement) -> bool:
    return not element.tag.is_private and dictionary_VM(element.tag) == "1"


def _are_numbers(value: object, count: int | None) -> bool:
    given = list(value) if isinstance(value, MultiValue) else [value]
    try:
        found = [float(str(one)) for one in given]
    except ValueError:
        return False
    return all(math.isfinite(one) for one in found) and count in (None, len(found))


def _put_character_set(header: Dataset) -> None:
    """Name the character set as highdicom takes it."""
    given = header.get("SpecificCharacterSet")
    if not given:
        return
    written = _character_set([given] if isinstance(given, str) else given)
    if written == given:
        return
    if written:
        header.SpecificCharacterSet = written
    else:
        del header.SpecificCharacterSet


def _character_set(given: Sequence[str]) -> str | list[str]:
    """Write a character set as the standard wants it (PS3.3 C.12.1.1.2); empty: the default repertoire."""
    names = [name.strip() for name in given]
    if names[0] in STAND_ALONE_ENCODINGS:
        return names[0]
    numbers = []
    for name in names:
        if name in STAND_ALONE_ENCODINGS:
            continue
        registered = _REGISTERED.fullmatch(name)
        # an empty first value is the default repertoire, with code extensions (PS3.5 H.3.1)
        numbers.append("6" if not name else registered[1] if registered else "")
    if not set(numbers) <= _ONE_BYTE | _TWO_BYTES:
        return _UTF_8
    if numbers[0] in _TWO_BYTES:
        numbers.insert(0, "6")
    if len(numbers) > 1:
        return [f"ISO 2022 IR {number}" for number in numbers]
    return "" if numbers[0] == "6" else f"ISO_IR {numbers[0]}"


def _moment(value: object, kind: str) -> str | list[str]:
    """Write dates or times as the standard has them, the forms of ACR-NEMA too; empty where one is none."""
    given = list(value) if isinstance(value, MultiValue) else [value]
    written = []
    for one in given:
        text = str(one or "").strip()
        text = text.replace(".", "") if kind == "DA" else text.replace(":", "").rstrip(".")
        try:
            (DA if kind == "DA" else TM)(text)
        except ValueError:
            return ""
        written.append(text)
    return written if len(written) > 1 else written[0]


def _orientation(value: object) -> list[str] | str:
    """Keep an orientation that says where rows and columns go, and no half of one."""
    axes = [str(axis) for axis in value] if isinstance(value, MultiValue) else []
    return axes if len(axes) == 2 and all(_AXIS.fullmatch(axis) for axis in axes) else ""


def _without_pixels(instance: Dataset) -> Dataset:
    header = Dataset()
    header.file_meta = instance.file_meta
    header.update({element.tag: element for element in instance if element.keyword != "PixelData"})
    return header
