"""The result as a Comprehensive SR: measurements and answers in codes, after template TID 1500."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.report.dicom import codes as own
from cxrscreen.report.dicom.identity import MANUFACTURER, MODEL, derived_uid, identify, stamp
from cxrscreen.report.dicom.segmentation import Region
from cxrscreen.report.dicom.source import Source
from cxrscreen.report.wording import LIMITS, TRIAGE_LABELS
from cxrscreen.systems.contract import Screening, Stage
from cxrscreen.systems.triage import suggest

_ONE: Final = codes.UCUM.NoUnits
_ASCII: Final = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "…": "..."})
Group = MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations


def structured_report(
    screening: Screening,
    source: Source,
    made: datetime,
    *,
    cardiothoracic_ratio: float | None = None,
    regions: Sequence[Region] = (),
    segmentation: Dataset | None = None,
    warnings: Sequence[str] | None = None,
) -> Dataset:
    """Make the structured report of a screening.

    Parameters
    ----------
    screening
        What was found, or why the radiograph was refused.
    source
        The image.
    made
        When.
    cardiothoracic_ratio
        Where heart and lungs were segmented.
    regions, segmentation
        The Segmentation and what is in it, so that areas refer to their segments.
    warnings
        Sentences for the reader; None: those of the screening.

    Returns
    -------
    Dataset
        Comprehensive SR Storage: complete, preliminary, unverified.

    Notes
    -----
    Source: DICOM PS3.16 TID 1500 (with 1410 and 1501), PS3.3 A.35.3.
    """
    identity = identify("report", source.sop_instance_uid, screening)
    groups: list[Group] = [_answer(screening, source)]
    groups += [_decision(stage, screening, source) for stage in screening.stages]
    if cardiothoracic_ratio is not None:
        groups.append(_heart(cardiothoracic_ratio, screening, source))
    if segmentation is not None:
        groups += [_area(number, region, segmentation, screening, source) for number, region in enumerate(regions, 1)]
    content = MeasurementReport(
        observation_context=_observer(screening),
        procedure_reported=own.CHEST_RADIOGRAPHY,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    said = screening.warnings if warnings is None else tuple(warnings)
    items = content[0].ContentSequence
    # Before any figure, so that a viewer that lists the items in order shows it first.
    items.insert(len(items) - 1, _text(own.RESEARCH_STATEMENT, RESEARCH_USE))
    items.extend(_texts(screening, said))
    report = ComprehensiveSR(
        evidence=[source.header] if segmentation is None else [source.header, segmentation],
        content=content[0],
        series_instance_uid=identity.series_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.instance_uid,
        instance_number=identity.instance_number,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number=screening.bundle,
        series_description=identity.series_description,
    )
    scheme = CodingSchemeIdentificationItem(
        own.SCHEME, name=own.SCHEME_NAME, uid=derived_uid("coding scheme"), responsible_organization=MANUFACTURER
    )
    report.CodingSchemeIdentificationSequence = [scheme]
    stamp(report, made)
    return report


def _observer(screening: Screening) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", screening.bundle),
        name=screening.bundle,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL,
        serial_number=__version__,
    )
    return ObservationContext(observer_device_context=ObserverContext(own.concept(codes.DCM.Device), device))


def _answer(screening: Screening, source: Source) -> Group:
    answer = own.REFUSED if screening.finding is None else own.FINDING_CODES[screening.finding]
    quality = own.GOOD if screening.quality == "good" else own.LIMITED
    measured = [Measurement(own.LUNG_SHARE, round(screening.lung_area_fraction, 4), _ONE)]
    if screening.triage_score is not None:
        measured.insert(0, Measurement(own.TRIAGE_SCORE, round(screening.triage_score, 4), _ONE))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking("answer", source, screening),
        finding_type=codes.DCM.Finding,
        algorithm_id=_algorithm(screening),
        finding_sites=[FindingSite(codes.SCT.Chest)],
        measurements=measured,
        qualitative_evaluations=[
            QualitativeEvaluation(own.ANSWER, answer),
            QualitativeEvaluation(own.QUALITY, quality),
        ],
        source_images=[_image(source)],
    )


def _decision(stage: Stage, screening: Screening, source: Source) -> Group:
    measured = [Measurement(own.THRESHOLD, round(stage.threshold, 4), _ONE)]
    if stage.probability is not None:
        measured.insert(0, Measurement(own.PROBABILITY, round(stage.probability, 4), _ONE))
    decision: Code = own.NOT_ASKED
    if screening.status == "refused":
        decision = own.REFUSED
    elif stage.positive is not None:
        decision = codes.SCT.Positive if stage.positive else codes.SCT.Negative
    point = f"operating point: {stage.operating_point}"
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(stage.name, source, screening),
        finding_type=own.stage_code(stage.name),
        algorithm_id=_algorithm(screening, f"decision: {stage.title}", point),
        finding_sites=[FindingSite(codes.SCT.Lung)],
        measurements=measured,
        qualitative_evaluations=[QualitativeEvaluation(own.DECISION, decision)],
        source_images=[_image(source)],
    )


def _heart(ratio: float, screening: Screening, source: Source) -> Group:
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking("ctr", source, screening),
        finding_type=own.CARDIOTHORACIC_RATIO,
        algorithm_id=_algorithm(screening),
        finding_sites=[FindingSite(codes.SCT.Heart)],
        measurements=[Measurement(own.CARDIOTHORACIC_RATIO, round(ratio, 4), codes.UCUM.Ratio)],
        source_images=[_image(source)],
    )


def _area(number: int, region: Region, segmentation: Dataset, screening: Screening, source: Source) -> Group:
    """Area of a segment at the detector, where the pixel spacing is known."""
    measured = []
    if source.pixel_spacing_mm is not None:
        area = float(region.mask.sum()) * source.pixel_spacing_mm[0] * source.pixel_spacing_mm[1]
        measured.append(Measurement(codes.SCT.Area, round(area, 1), codes.UCUM.SquareMillimeter))
    image = SourceImageForSegmentation(str(source.header.SOPClassUID), source.sop_instance_uid)
    segment = ReferencedSegmentationFrame(
        str(segmentation.SOPClassUID), str(segmentation.SOPInstanceUID), number, number, image
    )
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(f"segment {number}", source, screening, region.label),
        referenced_segment=segment,
        finding_type=region.kind,
        finding_category=(
            codes.SCT.MorphologicallyAbnormalStructure if region.abnormal else codes.SCT.AnatomicalStructure
        ),
        algorithm_id=_algorithm(screening),
        finding_sites=[FindingSite(codes.SCT.Lung if region.abnormal else region.kind, laterality=region.side)],
        measurements=measured or None,
    )
    # One of the two may be there, and the template asks for the frame; each segment has one.
    for item in group[0].ContentSequence:
        for reference in item.get("ReferencedSOPSequence", []):
            if "ReferencedFrameNumber" in reference and "ReferencedSegmentNumber" in reference:
                del reference.ReferencedSegmentNumber
    return group


def _texts(screening: Screening, warnings: Sequence[str]) -> list[TextContentItem]:
    suggestion = suggest(screening)
    title, meaning = TRIAGE_LABELS[suggestion.action]
    limits = " ".join(f"{claim} {explained}" for claim, explained in LIMITS)
    pairs = [(own.WARNING, sentence) for sentence in warnings]
    pairs.append((codes.DCM.Comment, f"Suggested order of work: {title}. {meaning} {suggestion.reason}"))
    pairs.append((codes.DCM.Comment, limits))
    return [_text(name, text) for name, text in pairs]


def _text(name: Code, text: str) -> TextContentItem:
    # Patient names set the character set of the object, which may have no typographic quotes.
    plain = text.translate(_ASCII).encode("ascii", "replace").decode()
    return TextContentItem(name, plain, RelationshipTypeValues.CONTAINS)


def _algorithm(screening: Screening, *parameters: str) -> AlgorithmIdentification:
    name, _, version = screening.bundle.partition("@")
    return AlgorithmIdentification(
        name=name,
        version=version or "unknown",
        parameters=[f"{MODEL} {__version__}", *parameters],
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=MANUFACTURER,
    )


def _tracking(name: str, source: Source, screening: Screening, label: str | None = None) -> TrackingIdentifier:
    uid = derived_uid("tracking", name, source.sop_instance_uid, screening.bundle)
    return TrackingIdentifier(uid=uid, identifier=f"cxrscreen {label or name}")


def _image(source: Source) -> SourceImageForMeasurementGroup:
    return SourceImageForMeasurementGroup(str(source.header.SOPClassUID), source.sop_instance_uid)
