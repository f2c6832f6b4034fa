"""Pictures of a result as Secondary Capture images, for viewers that show nothing else."""

from datetime import datetime
from typing import Final

import numpy as np
from highdicom import PhotometricInterpretationValues
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.dicom.codes import concept
from cxrscreen.report.dicom.identity import MANUFACTURER, MODEL, identify, keep_loss, stamp
from cxrscreen.report.dicom.source import Source
from cxrscreen.report.figures import grey_picture, lung_picture, mask_picture, partly_looked_at, saliency_picture
from cxrscreen.report.frame import with_colour_bar, with_lung_legend
from cxrscreen.report.wording import FINDING_LABELS
from cxrscreen.systems.contract import Screening

LEAST_WIDTH: Final = 640
"""Columns below which the statement of use would not fit in one line under the picture."""


def captures(radiograph: Radiograph, screening: Screening, source: Source, made: datetime) -> tuple[Dataset, ...]:
    """Make a Secondary Capture of the lungs and of each heat map, the statement of use burned in.

    Parameters
    ----------
    radiograph, screening
        What was read and what was found.
    source
        The image they belong to.
    made
        When.

    Returns
    -------
    tuple of Dataset
        Secondary Capture Image Storage, RGB, 8 bits: the lungs, then the maps in the screening's order.
    """
    found = []
    for number, (title, picture) in enumerate(pictures(radiograph, screening), 1):
        identity = identify("capture", source.sop_instance_uid, screening, number)
        capture = SCImage.from_ref_dataset(
            source.header,
            pixel_array=picture,
            photometric_interpretation=PhotometricInterpretationValues.RGB,
            bits_allocated=8,
            coordinate_system="PATIENT",
            series_instance_uid=identity.series_uid,
            series_number=identity.series_number,
            sop_instance_uid=identity.instance_uid,
            instance_number=identity.instance_number,
            manufacturer=MANUFACTURER,
            patient_orientation=("L", "F"),
            transfer_syntax_uid=uid.ExplicitVRLittleEndian,
            manufacturer_model_name=MODEL,
            software_versions=__version__,
            device_serial_number=screening.bundle,
            series_description=identity.series_description,
        )
        # The image it shows; a capture has no frame of reference and is not for measuring.
        reference = Dataset()
        reference.ReferencedSOPClassUID = source.header.SOPClassUID
        reference.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
        reference.PurposeOfReferenceCodeSequence = [concept(codes.DCM.SourceImageForImageProcessingOperation)]
        capture.SourceImageSequence = [reference]
        capture.ImageComments = f"{title}. {RESEARCH_USE}"
        # The writer asks for an orientation; only the image's own is true, which may be none.
        capture.PatientOrientation = source.header.PatientOrientation
        capture.BodyPartExamined = "CHEST"
        # The attribute speaks of text that identifies the patient, and there can be as much as in the image itself.
        if source.header.get("BurnedInAnnotation"):
            capture.BurnedInAnnotation = source.header.BurnedInAnnotation
        capture.ImageType = ["DERIVED", "SECONDARY"]
        capture.DerivationDescription = "Radiograph with results drawn on it"
        keep_loss(capture, source.header)
        stamp(capture, made)
        capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = capture.ContentDate, capture.ContentTime
        found.append(capture)
    return tuple(found)


def pictures(radiograph: Radiograph, screening: Screening) -> tuple[tuple[str, NDArray[np.uint8]], ...]:
    """Draw the lungs and each heat map on the radiograph, framed, with the answer and the statement of use.

    Returns
    -------
    tuple
        Pairs of a title and uint8 (h, w, 3), R, G, B.
    """
    grey = grey_picture(radiograph.pixels)
    mask = mask_picture(screening.lung_mask, grey.shape)
    answer = answer_line(screening)
    drawn = [("Lungs found", with_lung_legend(_widened(lung_picture(grey, mask)), "Lungs found", answer))]
    for saliency in screening.saliency:
        picture = saliency_picture(grey, saliency.values, mask, kind=saliency.kind, looked_at=saliency.looked_at)
        framed = with_colour_bar(
            _widened(picture), saliency.title, answer, kind=saliency.kind, hatching=partly_looked_at(saliency)
        )
        drawn.append((saliency.title, framed))
    return tuple(drawn)


def answer_line(screening: Screening) -> str:
    """Say in one line what was answered, with every probability beside its threshold."""
    if screening.status == "refused" or screening.finding is None:
        reasons = ", ".join(concern.code for concern in screening.verdict.concerns if concern.severity == "refuse")
        return f"Refused, no result: {reasons}"
    stages = "; ".join(
        f"{stage.name} {stage.probability:.2f} ({'>=' if stage.positive else '<'} {stage.threshold:.2f})"
        for stage in screening.stages
        if stage.probability is not None
    )
    return f"{FINDING_LABELS[screening.finding]}. {stages}"


def _widened(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put black at both sides of a narrow picture."""
    lacking = max(0, LEAST_WIDTH - picture.shape[1])
    return np.pad(picture, ((0, 0), (lacking // 2, lacking - lacking // 2), (0, 0)))
