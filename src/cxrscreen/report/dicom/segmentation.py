"""Lungs, heart and disease as a binary DICOM Segmentation over the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence, PixelMeasuresSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from skimage.color import rgb2lab

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.report.dicom.codes import concept
from cxrscreen.report.dicom.identity import MANUFACTURER, MODEL, derived_uid, identify, stamp
from cxrscreen.report.dicom.source import DicomObjectError, Source
from cxrscreen.report.figures import LEFT_LUNG, RIGHT_LUNG
from cxrscreen.systems.contract import Screening

DISEASE_MAP: Final = "disease"
"""Name of the map that is a segmentation: a score of disease at each place."""
DISEASE_THRESHOLD: Final = 0.5
"""Score from which a place counts as diseased (COMiT-Net paper, section 4.1)."""

_HEART_COLOUR: Final = (204, 121, 167)
_DISEASE_COLOUR: Final = (213, 94, 0)


@dataclass(frozen=True, eq=False)
class Region:
    """One segment.

    Parameters
    ----------
    label
        In plain words.
    mask
        bool (H, W) at the image's own size.
    kind
        What it is.
    side
        Right, left or None.
    colour
        R, G, B in which a viewer may show it.
    abnormal
        True for disease, False for anatomy.
    """

    label: str
    mask: NDArray[np.bool_]
    kind: Code
    side: Code | None
    colour: tuple[int, int, int]
    abnormal: bool = False


def regions_of(screening: Screening) -> tuple[Region, ...]:
    """List what was segmented, without what is empty.

    Parameters
    ----------
    screening
        Gives the lungs, the heart where its system segments it, and the diseased region where one of its maps is that;
        no other map says where a disease is.
    """
    lung, organ = codes.SCT.Lung, screening.lung_mask
    found = [
        Region("Right lung", organ == 1, lung, codes.SCT.Right, RIGHT_LUNG),
        Region("Left lung", organ == 2, lung, codes.SCT.Left, LEFT_LUNG),
    ]
    if screening.heart_mask is not None:
        found.append(Region("Heart", screening.heart_mask, codes.SCT.Heart, None, _HEART_COLOUR))
    for saliency in screening.saliency:
        if saliency.name == DISEASE_MAP:
            mask = saliency.values >= DISEASE_THRESHOLD
            kind = codes.SCT.MorphologicallyAbnormalStructure
            found.append(Region("Diseased region (estimate)", mask, kind, None, _DISEASE_COLOUR, abnormal=True))
    return tuple(region for region in found if region.mask.any())


def segmentation(regions: Sequence[Region], screening: Screening, source: Source, made: datetime) -> Dataset | None:
    """Make the Segmentation.

    Parameters
    ----------
    regions
        From :func:`regions_of`; segment numbers follow their order, from 1, and so do the frames.
    screening
        Names the bundle and, with the image, the UIDs.
    source
        The image.
    made
        When.

    Returns
    -------
    Dataset or None
        Segmentation Storage, BINARY, one frame a segment, pixel for pixel over the image; None without a region.

    Raises
    ------
    DicomObjectError
        If a mask has another size than the image.
    """
    if not regions:
        return None
    if any(region.mask.shape != source.shape for region in regions):
        raise DicomObjectError("A mask and the image differ in size; give masks at the image's own size.")
    identity = identify("segmentation", source.sop_instance_uid, screening)
    made_of = Segmentation(
        source_images=[source.header],
        pixel_array=np.stack([region.mask for region in regions], axis=-1).astype(np.uint8)[None],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_described(number, region, screening) for number, region in enumerate(regions, 1)],
        series_instance_uid=identity.series_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.instance_uid,
        instance_number=identity.instance_number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number=screening.bundle,
        content_label="CXRSCREEN",
        content_description=RESEARCH_USE[:64],
        pixel_measures=PixelMeasuresSequence((1.0, 1.0), None),
        series_description=identity.series_description,
    )
    # Optional where each frame names its image, whose spacing then holds; readers want a slice thickness in it.
    del made_of.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    # Without a patient coordinate system this is what tells a viewer which way up the frames are.
    made_of.PatientOrientation = source.header.PatientOrientation
    for item, region in zip(made_of.SegmentSequence, regions, strict=True):
        if region.side is not None:
            item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [concept(region.side)]
    organisation = derived_uid("dimensions", identity.instance_uid)
    made_of.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for index in made_of.DimensionIndexSequence:
        index.DimensionOrganizationUID = organisation
    stamp(made_of, made)
    return made_of


def algorithm_of(screening: Screening) -> AlgorithmIdentificationSequence:
    """Identify what made a region or a map: the bundle, its version, and this package."""
    name, _, version = screening.bundle.partition("@")
    family = codes.DCM.ArtificialIntelligence
    return AlgorithmIdentificationSequence(name, family, version or "unknown", source=f"{MODEL} {__version__}")


def _described(number: int, region: Region, screening: Screening) -> SegmentDescription:
    category = codes.SCT.MorphologicallyAbnormalStructure if region.abnormal else codes.SCT.AnatomicalStructure
    lightness, a, b = rgb2lab(np.array(region.colour, np.float64) / 255)
    return SegmentDescription(
        segment_number=number,
        segment_label=region.label,
        segmented_property_category=category,
        segmented_property_type=region.kind,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm_of(screening),
        anatomic_regions=[codes.SCT.Lung] if region.abnormal else None,
        display_color=CIELabColor(float(lightness), float(a), float(b)),
    )
