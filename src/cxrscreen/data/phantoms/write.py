"""Phantoms as files: PNG, DICOM (Digital X-Ray, for presentation) and palette masks."""

import zlib
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from cxrscreen.data.masks import HEART, palette_image
from cxrscreen.data.phantoms.render import Phantom
from cxrscreen.data.phantoms.spec import PhantomError

TransferSyntax = Literal[
    "ExplicitVRLittleEndian",
    "ImplicitVRLittleEndian",
    "DeflatedExplicitVRLittleEndian",
    "RLELossless",
    "JPEGLSLossless",
    "JPEG2000Lossless",
    "JPEGBaseline8Bit",
]
Photometric = Literal["MONOCHROME2", "MONOCHROME1"]

_SYNTAXES: dict[str, uid.UID] = {
    "ExplicitVRLittleEndian": uid.ExplicitVRLittleEndian,
    "ImplicitVRLittleEndian": uid.ImplicitVRLittleEndian,
    "DeflatedExplicitVRLittleEndian": uid.DeflatedExplicitVRLittleEndian,
    "RLELossless": uid.RLELossless,
    "JPEGLSLossless": uid.JPEGLSLossless,
    "JPEG2000Lossless": uid.JPEG2000Lossless,
    "JPEGBaseline8Bit": uid.JPEGBaseline8Bit,
}
# Named, because GDCM, which pydicom would try first, aborts the process on an odd number of 8-bit pixels.
_ENCODERS = {"RLELossless": "pydicom", "JPEGLSLossless": "pyjpegls", "JPEG2000Lossless": "pylibjpeg"}
_DATE, _TIME = "20200102", "120000"


def write_png(phantom: Phantom, path: Path, *, bits: Literal[8, 16] = 8) -> None:
    """Write the picture as a grey PNG.

    Parameters
    ----------
    phantom
        What to write.
    path
        The file; its folder must exist.
    bits
        Bits per pixel, 8 or 16.

    Raises
    ------
    PhantomError
        If the depth is neither 8 nor 16, or the file cannot be written.
    """
    if bits not in (8, 16):
        raise PhantomError(f"A phantom PNG has 8 or 16 bits per pixel, not {bits}.")
    done, encoded = cv2.imencode(".png", quantised(phantom.pixels, bits), [cv2.IMWRITE_PNG_COMPRESSION, 7])
    if not done:
        raise PhantomError(f"The phantom could not be encoded as PNG for {path.name}.")
    _save(path, encoded.tobytes())


def write_mask(phantom: Phantom, path: Path) -> None:
    """Write lungs and heart as a palette PNG: 0 background, 1 right lung, 2 left lung, 3 heart.

    Raises
    ------
    PhantomError
        If the file cannot be written.
    """
    index = np.where(phantom.heart, np.uint8(HEART), phantom.lungs)
    try:
        palette_image(index).save(path, format="PNG", optimize=True)
    except OSError as error:
        raise PhantomError(f"{path} could not be written: {error.strerror or error}.") from error


def write_dicom(
    phantom: Phantom,
    path: Path,
    *,
    transfer_syntax: TransferSyntax = "ExplicitVRLittleEndian",
    photometric: Photometric = "MONOCHROME2",
    bits: int = 12,
    patient_id: str | None = None,
    image_number: int = 1,
) -> None:
    """Write the picture as a DICOM Digital X-Ray image for presentation; the same arguments give the same bytes.

    Parameters
    ----------
    phantom
        What to write.
    path
        The file; its folder must exist.
    transfer_syntax
        How the pixels are stored; ``"JPEGBaseline8Bit"`` is lossy and needs 8 bits, the others lose nothing.
    photometric
        ``"MONOCHROME1"`` stores bright = low, so that a viewer shows the same picture.
    bits
        Bits stored, 8 to 16.
    patient_id
        Patient's ID; None for ``PHANTOM-<seed>``.
    image_number
        Instance number, part of the image's UID: from 1.

    Raises
    ------
    PhantomError
        If an argument is outside its values, or the file cannot be written.
    """
    dataset = dicom_dataset(
        phantom,
        transfer_syntax=transfer_syntax,
        photometric=photometric,
        bits=bits,
        patient_id=patient_id,
        image_number=image_number,
    )
    try:
        dataset.save_as(path, enforce_file_format=True)
    except OSError as error:
        raise PhantomError(f"{path} could not be written: {error.strerror or error}.") from error


def dicom_dataset(
    phantom: Phantom,
    *,
    transfer_syntax: TransferSyntax = "ExplicitVRLittleEndian",
    photometric: Photometric = "MONOCHROME2",
    bits: int = 12,
    patient_id: str | None = None,
    image_number: int = 1,
) -> Dataset:
    """Make the dataset that `write_dicom` saves, with its file meta information.

    Returns
    -------
    pydicom.dataset.Dataset
        A DX Image Storage - For Presentation instance; every UID derives from the spec.

    Raises
    ------
    PhantomError
        If an argument is outside its values.
    """
    _check(transfer_syntax, photometric, bits)
    patient_id = patient_id or f"PHANTOM-{phantom.spec.seed}"
    how = f"{transfer_syntax} {photometric} {bits} {image_number}"
    dataset = Dataset()
    _identify(dataset, phantom, patient_id, how, image_number)
    _describe_acquisition(dataset, phantom)
    _describe_pixels(dataset, phantom, photometric, bits)

    stored = quantised(phantom.pixels, bits, negative=photometric == "MONOCHROME1")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationClassUID = uid.generate_uid(entropy_srcs=["cxrscreen phantoms"])
    meta.ImplementationVersionName = "CXRSCREEN"
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta = meta
    raw = stored.tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    syntax = _SYNTAXES[transfer_syntax]
    if transfer_syntax == "JPEGBaseline8Bit":
        _, jpeg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 95])
        dataset.PixelData = encapsulate([jpeg.tobytes()])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
        dataset.LossyImageCompressionRatio = f"{stored.size / len(jpeg):.2f}"
    elif syntax.is_encapsulated:
        dataset.compress(syntax, encoding_plugin=_ENCODERS[transfer_syntax], generate_instance_uid=False)
    meta.TransferSyntaxUID = syntax
    return dataset


def quantised(
    pixels: NDArray[np.float32], bits: int, *, negative: bool = False
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Round pixels in [0, 1] to integers: uint8 up to 8 bits, else uint16; ``negative`` swaps bright and dark."""
    top = (1 << bits) - 1
    levels = np.rint(pixels.astype(np.float64) * top)
    if negative:
        levels = top - levels
    return levels.astype(np.uint8) if bits <= 8 else levels.astype(np.uint16)


def _check(transfer_syntax: str, photometric: str, bits: int) -> None:
    """Refuse what DX or the encoders do not allow."""
    if transfer_syntax not in _SYNTAXES:
        raise PhantomError(f"Unknown transfer syntax {transfer_syntax!r}: use one of {', '.join(_SYNTAXES)}.")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise PhantomError(f"Unknown photometric interpretation {photometric!r}: use MONOCHROME1 or MONOCHROME2.")
    if not 8 <= bits <= 16:
        raise PhantomError(f"A phantom DICOM stores 8 to 16 bits, not {bits}.")
    if transfer_syntax == "JPEGBaseline8Bit" and bits != 8:
        raise PhantomError(f"JPEG Baseline holds 8 bits, not {bits}: ask for bits=8 or another transfer syntax.")


def _identify(dataset: Dataset, phantom: Phantom, patient_id: str, how: str, image_number: int) -> None:
    """Patient, study, series and instance."""
    print_of_spec = f"{zlib.crc32(repr(phantom.spec).encode()):08x}"
    anatomy = phantom.spec.anatomy
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = uid.generate_uid(entropy_srcs=["image", patient_id, print_of_spec, how])
    dataset.StudyInstanceUID = uid.generate_uid(entropy_srcs=["study", patient_id])
    dataset.SeriesInstanceUID = uid.generate_uid(entropy_srcs=["series", patient_id, phantom.view])
    dataset.PatientName = "PHANTOM^SYNTHETIC"
    dataset.PatientID = patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = anatomy.sex
    dataset.PatientAge = f"{anatomy.age:03d}Y"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = _DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = _TIME
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = str(phantom.spec.seed)[:16]
    dataset.StudyDescription = "Synthetic chest phantom"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = image_number
    dataset.Modality = "DX"
    dataset.Manufacturer = "cxrscreen"
    dataset.ManufacturerModelName = "phantoms"


def _describe_acquisition(dataset: Dataset, phantom: Phantom) -> None:
    """Anatomy, positioning and detector."""
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = phantom.view
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = Sequence([_code("816094009", "SCT", "Chest")])
    view = _code("399348003", "SCT", "antero-posterior")
    if phantom.view == "PA":
        view = _code("272479007", "SCT", "postero-anterior")
    view.ViewModifierCodeSequence = Sequence([])
    dataset.ViewCodeSequence = Sequence([view])
    dataset.AcquisitionContextSequence = Sequence([])
    dataset.PositionerType = ""
    dataset.DetectorType = "DIRECT"
    dataset.KVP = "120"
    row, column = (f"{value:.6f}" for value in phantom.pixel_spacing_mm)
    dataset.ImagerPixelSpacing = [row, column]
    dataset.PixelSpacing = [row, column]
    dataset.PixelSpacingCalibrationType = "GEOMETRY"
    dataset.PixelSpacingCalibrationDescription = "Synthetic, no magnification"


def _describe_pixels(dataset: Dataset, phantom: Phantom, photometric: str, bits: int) -> None:
    """Image pixel and DX image attributes."""
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = photometric
    dataset.Rows, dataset.Columns = phantom.pixels.shape
    dataset.BitsAllocated = 8 if bits == 8 else 16
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    # Grey follows attenuation: low stored values are much exposure in MONOCHROME2, little in MONOCHROME1.
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1 if photometric == "MONOCHROME2" else 1
    dataset.RescaleIntercept = "0"
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "US"
    dataset.PresentationLUTShape = "IDENTITY" if photometric == "MONOCHROME2" else "INVERSE"
    dataset.WindowCenter = str(1 << (bits - 1))
    dataset.WindowWidth = str(1 << bits)
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "YES" if bool(phantom.text.any()) else "NO"
    dataset.DerivationDescription = "Rendered by cxrscreen from numbers; shows no person"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    """One coded concept."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def _save(path: Path, data: bytes) -> None:
    """Write bytes, with one sentence where that fails."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise PhantomError(f"{path} could not be written: {error.strerror or error}.") from error
