"""Saliency maps as one DICOM Parametric Map over the image, a frame each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from highdicom import SOPClass
from highdicom.pm import RealWorldValueMapping
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.report.dicom.codes import COVERAGE, concept, map_code
from cxrscreen.report.dicom.identity import MANUFACTURER, MODEL, Identity, derived_uid, identify, keep_loss, stamp
from cxrscreen.report.dicom.source import DicomObjectError, Source
from cxrscreen.report.figures import partly_looked_at
from cxrscreen.systems.contract import SaliencyMap, Screening


@dataclass(frozen=True)
class Coding:
    """How the values of maps are stored: in equal steps, the first of them 0.

    Parameters
    ----------
    lowest
        Value that is stored as 0.
    top
        Stored value of 1.0.
    """

    lowest: float
    top: int

    @property
    def step(self) -> float:
        """What one stored value is worth."""
        return (1 - self.lowest) / self.top

    @property
    def zero(self) -> int:
        """Stored value of 0.0."""
        return round(-self.lowest / self.step)


EVERYWHERE: Final = Coding(0.0, 65535)
"""Where all maps know every place; to within 1 / 131070."""
PARTLY: Final = Coding(-1.0, 65534)
"""Where a map knows nothing of some places: those are stored as 0, which is -1.0; the others to within 1 / 65534."""

_AXES: Final = {
    "L": (1.0, 0.0, 0.0),
    "R": (-1.0, 0.0, 0.0),
    "P": (0.0, 1.0, 0.0),
    "A": (0.0, -1.0, 0.0),
    "H": (0.0, 0.0, 1.0),
    "F": (0.0, 0.0, -1.0),
}
"""Patient axes (DICOM PS3.3 C.7.6.2.1.1) by the letters of a patient orientation."""


def parametric_map(screening: Screening, source: Source, made: datetime) -> Dataset | None:
    """Make the Parametric Map of a screening's saliency maps.

    The standard wants a place in space for every parametric map, and a projection radiograph has none. So the map gets
    a frame of reference of its own, with its first pixel at the origin and its axes along the image's patient
    orientation: that says nothing of where the patient was. What holds it to the image is the reference in each frame,
    with the locations of the pixels preserved.

    Parameters
    ----------
    screening
        With its maps.
    source
        The image.
    made
        When.

    Returns
    -------
    Dataset or None
        Parametric Map Storage, 16-bit unsigned, one frame a map in the screening's order, pixel for pixel over the
        image; the real world value mapping gives back the map in [0, 1], and -1 for places that nobody looked at,
        which are pixel padding. None without maps.

    Raises
    ------
    DicomObjectError
        If a map has another size than the image.

    Notes
    -----
    Source: DICOM PS3.3 A.75 (Parametric Map IOD), C.8.32 and C.7.5.1.1.2 (Pixel Padding Value). Padding is mapped too,
    although it is no value: readers such as highdicom refuse a frame with stored values outside the mapping.
    """
    maps = screening.saliency
    if not maps:
        return None
    if any(saliency.values.shape != source.shape for saliency in maps):
        raise DicomObjectError("A heat map and the image differ in size; give maps at the image's own size.")
    identity = identify("maps", source.sop_instance_uid, screening)
    result = _begun(identity, screening, source)
    result.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]
    result.FrameOfReferenceUID = derived_uid("frame of reference", identity.instance_uid)
    result.PositionReferenceIndicator = ""
    result.ContentLabel, result.ContentDescription = "CXRSCREEN", RESEARCH_USE[:64]
    result.ContentCreatorName = ""
    result.PatientOrientation = source.header.PatientOrientation
    result.BurnedInAnnotation, result.RecognizableVisualFeatures = "NO", "NO"
    result.LossyImageCompression, result.PresentationLUTShape = "00", "IDENTITY"
    keep_loss(result, source.header)
    result.AcquisitionContextSequence = []
    coding = PARTLY if any(map(partly_looked_at, maps)) else EVERYWHERE
    _put_pixels(result, maps, coding)
    _put_dimensions(result, derived_uid("dimensions", identity.instance_uid))
    result.SharedFunctionalGroupsSequence = [_shared(source, result.ImageType, coding)]
    result.PerFrameFunctionalGroupsSequence = [
        _per_frame(number, saliency, source.header, coding) for number, saliency in enumerate(maps, 1)
    ]
    result.ReferencedSeriesSequence = [
        _item(SeriesInstanceUID=source.header.SeriesInstanceUID, ReferencedInstanceSequence=[_reference(source.header)])
    ]
    stamp(result, made)
    return result


def _begun(identity: Identity, screening: Screening, source: Source) -> Dataset:
    """Patient and study of the image, and the new series and instance."""
    header = source.header
    begun = SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=identity.series_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.instance_uid,
        sop_class_uid=uid.ParametricMapStorage,
        instance_number=identity.instance_number,
        modality="OT",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=uid.ExplicitVRLittleEndian,
        patient_id=header.PatientID,
        patient_name=header.PatientName,
        patient_birth_date=header.PatientBirthDate,
        patient_sex=header.PatientSex,
        accession_number=header.AccessionNumber,
        study_id=header.StudyID,
        study_date=header.StudyDate,
        study_time=header.StudyTime,
        referring_physician_name=header.ReferringPhysicianName,
        content_qualification="RESEARCH",
        series_description=identity.series_description,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number=screening.bundle,
        specific_character_set=header.get("SpecificCharacterSet"),
    )
    begun.copy_patient_and_study_information(header)
    return begun


def _put_pixels(result: Dataset, maps: Sequence[SaliencyMap], coding: Coding) -> None:
    stored = np.stack([_stored(saliency, coding) for saliency in maps])
    result.NumberOfFrames, result.Rows, result.Columns = stored.shape
    result.SamplesPerPixel, result.PhotometricInterpretation = 1, "MONOCHROME2"
    result.BitsAllocated = result.BitsStored = 16
    result.HighBit, result.PixelRepresentation = 15, 0
    if coding is PARTLY:
        result.PixelPaddingValue = 0
        result["PixelPaddingValue"].VR = "US"
    result.PixelData = stored.tobytes()
    result["PixelData"].VR = "OW"


def _stored(saliency: SaliencyMap, coding: Coding) -> NDArray[np.uint16]:
    values = saliency.values.astype(np.float64)
    if saliency.looked_at is not None:
        values = np.where(saliency.looked_at, values, coding.lowest)
    return np.rint((values - coding.lowest) / (1 - coding.lowest) * coding.top).astype("<u2")


def _put_dimensions(result: Dataset, organisation: uid.UID) -> None:
    """One dimension: the frames differ in which map they show."""
    result.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=organisation)]
    result.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=organisation,
            DimensionIndexPointer=Tag("LUTLabel"),
            FunctionalGroupPointer=Tag("RealWorldValueMappingSequence"),
            DimensionDescriptionLabel="Map",
        )
    ]


def _shared(source: Source, image_type: list[str], coding: Coding) -> Dataset:
    width = coding.top - coding.zero
    shared = _item(
        ParametricMapFrameTypeSequence=[_item(FrameType=image_type)],
        FrameVOILUTSequence=[_item(WindowCenter=str(coding.zero + width / 2), WindowWidth=str(width))],
        PixelValueTransformationSequence=[_item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")],
        FrameAnatomySequence=[
            _item(FrameLaterality="B", AnatomicRegionSequence=[concept(codes.SCT.Chest)]),
        ],
    )
    measures = _item()
    if source.pixel_spacing_mm is not None:
        measures.PixelSpacing = [f"{value:.6g}" for value in source.pixel_spacing_mm]
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=axes_of(source.header.PatientOrientation))]
    return shared


def axes_of(orientation: Sequence[str]) -> list[float]:
    """Return the direction cosines of rows and columns by the image's patient orientation.

    Parameters
    ----------
    orientation
        For example ``["L", "F"]``; only the first letter of each counts.

    Returns
    -------
    list of float
        Six cosines; those of an upright frontal view where the orientation is missing or no pair of axes.
    """
    upright = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
    if len(orientation) != 2:
        return upright
    rows, columns = (_AXES.get(str(value)[:1]) for value in orientation)
    if rows is None or columns is None or np.dot(rows, columns) != 0:
        return upright
    return [*rows, *columns]


def _per_frame(number: int, saliency: SaliencyMap, header: Dataset, coding: Coding) -> Dataset:
    mapping = RealWorldValueMapping(
        lut_label=saliency.name[:16],
        lut_explanation=saliency.title[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(0, coding.top),
        slope=coding.step,
        intercept=coding.lowest,
        quantity_definition=map_code(saliency),
    )
    description, derived = "Saliency map of a network's answer for the source image", codes.DCM.Saliency
    if saliency.kind == "coverage":
        description, derived = "How often the system looked at each place of the source image", COVERAGE
    derivation = _item(
        DerivationDescription=description,
        DerivationCodeSequence=[concept(derived)],
        SourceImageSequence=[
            _item(
                **{element.keyword: element.value for element in _reference(header)},
                PurposeOfReferenceCodeSequence=[concept(codes.DCM.SourceImageForImageProcessingOperation)],
                SpatialLocationsPreserved="YES",
            )
        ],
    )
    return _item(
        FrameContentSequence=[_item(DimensionIndexValues=[number])],
        PlanePositionSequence=[_item(ImagePositionPatient=[0.0, 0.0, 0.0])],
        RealWorldValueMappingSequence=[mapping],
        DerivationImageSequence=[derivation],
    )


def _reference(header: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
