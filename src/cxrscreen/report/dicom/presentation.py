"""The outlines of what was segmented as a Grayscale Softcopy Presentation State: drawn by a viewer, over the image."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Final

import cv2
import numpy as np
from highdicom import PresentationLUTShapeValues, PresentationLUTTransformation
from highdicom.color import CIELabColor
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    TextJustificationValues,
    TextObject,
)
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr
from skimage.color import rgb2lab

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.report.dicom.identity import MANUFACTURER, MODEL, identify, stamp
from cxrscreen.report.dicom.segmentation import Region
from cxrscreen.report.dicom.source import Source
from cxrscreen.report.figures import RIGHT_LUNG
from cxrscreen.systems.contract import Screening

TOLERANCE: Final = 0.0005
"""How far an outline may run beside the edge of its mask, as a share of the image's longer side."""
_LEAST_SHARE: Final = 0.0005
"""Of the image: smaller pieces are not outlined."""
_TEXT_BOX: Final = (0.0, 0.95, 1.0, 1.0)
_MODALITY: Final = ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "RescaleType")
_WINDOW: Final = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")


def presentation_state(
    regions: Sequence[Region], screening: Screening, source: Source, made: datetime, answer: str
) -> Dataset | None:
    """Make the presentation state.

    Parameters
    ----------
    regions
        What is outlined.
    screening
        Names the bundle and, with the image, the UIDs.
    source
        The image, whose own grey values are kept.
    made
        When.
    answer
        One line that is shown below the image, before the statement of use.

    Returns
    -------
    Dataset or None
        Grayscale Softcopy Presentation State Storage; None of an image in colour, or without a region.

    Notes
    -----
    Source: DICOM PS3.3 A.33.1.
    """
    if not regions or int(source.header.get("SamplesPerPixel") or 1) != 1:
        return None
    identity = identify("presentation", source.sop_instance_uid, screening)
    image, greys = _apart(source.header)
    layer = GraphicLayer("CXRSCREEN", 1, "Outlines by software, research use only", _colour(RIGHT_LUNG))
    outlines = [
        GraphicObject(GraphicTypeValues.POLYLINE, points, AnnotationUnitsValues.PIXEL)
        for region in regions
        for points in outlines_of(region.mask)
    ]
    note = TextObject(
        _ascii(f"{answer} {RESEARCH_USE}"),
        AnnotationUnitsValues.DISPLAY,
        bounding_box=_TEXT_BOX,
        text_justification=TextJustificationValues.LEFT,
    )
    inverse = str(source.header.get("PhotometricInterpretation")) == "MONOCHROME1"
    shape = PresentationLUTShapeValues.INVERSE if inverse else PresentationLUTShapeValues.IDENTITY
    state = GrayscaleSoftcopyPresentationState(
        referenced_images=[image],
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
        graphic_layers=[layer],
        graphic_annotations=[GraphicAnnotation([image], layer, graphic_objects=outlines, text_objects=[note])],
        presentation_lut_transformation=PresentationLUTTransformation(presentation_lut_shape=shape),
        series_description=identity.series_description,
    )
    _keep_greys(state, greys)
    # An unpaired part of the body; without it the side would have to be said.
    state.BodyPartExamined = "CHEST"
    stamp(state, made)
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    return state


def outlines_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """Trace the pieces of a mask.

    Parameters
    ----------
    mask
        bool (H, W).

    Returns
    -------
    tuple of numpy.ndarray
        Of each piece a closed line, float64 (N, 2): column and row, (0.5, 0.5) the middle of the first pixel, the last
        point the first one again. Specks are left out.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    lines = []
    for contour in found:
        if cv2.contourArea(contour) < _LEAST_SHARE * mask.size:
            continue
        plain = cv2.approxPolyDP(contour, max(0.5, TOLERANCE * max(mask.shape)), True)[:, 0].astype(np.float64)
        # DICOM's pixel coordinates begin at the corner of the first pixel, whose middle is (0.5, 0.5).
        lines.append(np.vstack([plain, plain[:1]]) + 0.5)
    return tuple(lines)


def _apart(header: Dataset) -> tuple[Dataset, Mapping[str, DataElement]]:
    """Part a copy of a header from what makes grey values of stored ones.

    highdicom would copy the latter, but fails where a header says it twice, as many detectors do, or by half.
    """
    image, greys = deepcopy(header), Dataset()
    for keyword in (*_MODALITY, *_WINDOW, "VOILUTSequence"):
        if keyword in image:
            greys.add(image[keyword])
            del image[keyword]
    # Whether the numbers in a table have a sign stands beside the pixels.
    signed = Dataset()
    signed.PixelRepresentation = header.get("PixelRepresentation") or 0
    correct_ambiguous_vr(greys, header.original_encoding[1] is not False, [signed])
    return image, {element.keyword: element for element in greys if not element.is_empty}


def _keep_greys(state: Dataset, greys: Mapping[str, DataElement]) -> None:
    """Give a state the modality LUT and VOI LUTs of its image, without which viewers take none (PS3.4 N.2.1)."""
    if "ModalityLUTSequence" in greys:
        state.add(greys["ModalityLUTSequence"])
    elif "RescaleSlope" in greys or "RescaleIntercept" in greys:
        state.RescaleSlope, state.RescaleIntercept, state.RescaleType = "1", "0", "US"
        state.update({greys[keyword].tag: greys[keyword] for keyword in _MODALITY[1:] if keyword in greys})
    item = Dataset()
    if _is_window(greys):
        item.update({greys[keyword].tag: greys[keyword] for keyword in _WINDOW if keyword in greys})
    if "VOILUTSequence" in greys:
        item.add(greys["VOILUTSequence"])
    if item:
        state.SoftcopyVOILUTSequence = [item]


def _is_window(greys: Mapping[str, DataElement]) -> bool:
    centers, widths = (_numbers(greys.get(keyword)) for keyword in _WINDOW[:2])
    return bool(widths) and len(centers) == len(widths) and min(widths) > 0


def _numbers(element: DataElement | None) -> list[float]:
    if element is None:
        return []
    try:
        return [float(value) for value in (element.value if element.VM > 1 else [element.value])]
    except (TypeError, ValueError):
        return []


def _colour(rgb: tuple[int, int, int]) -> CIELabColor:
    lightness, a, b = rgb2lab(np.array(rgb, np.float64) / 255)
    return CIELabColor(float(lightness), float(a), float(b))


def _ascii(text: str) -> str:
    # Patient names set the character set of the object, which may have no such characters.
    return text.encode("ascii", "replace").decode()
