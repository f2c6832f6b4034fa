"""Who made an object and which object it is: identifiers that come out the same whenever the same result is written."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydicom.dataset import Dataset
from pydicom.uid import UID

from cxrscreen import __version__
from cxrscreen.imaging.dicom import OWN_EQUIPMENT
from cxrscreen.systems.contract import Screening

Kind = Literal["report", "segmentation", "maps", "capture", "presentation"]
"""The objects made of a screening."""

MANUFACTURER, MODEL = OWN_EQUIPMENT
IMPLEMENTATION_VERSION: Final = f"CXRSCREEN_{__version__}"[:16]

_SERIES: Final[dict[Kind, tuple[int, str]]] = {
    "report": (9101, "cxrscreen report (research use only)"),
    "segmentation": (9102, "cxrscreen segmentation (research use only)"),
    "maps": (9103, "cxrscreen heat maps (research use only)"),
    "capture": (9104, "cxrscreen pictures (research use only)"),
    "presentation": (9105, "cxrscreen outlines (research use only)"),
}
_ROOT: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:cxrscreen:dicom")


def derived_uid(*parts: str) -> UID:
    """Return the UID that belongs to these words, always the same one.

    Parameters
    ----------
    parts
        What the UID stands for; their order counts.

    Returns
    -------
    UID
        ``2.25.`` and a name-based UUID (DICOM PS3.5 annex B.2; RFC 9562 version 5).
    """
    # the length before each part keeps ("ab", "c") apart from ("a", "bc")
    name = "".join(f"{len(part)}:{part}" for part in parts)
    return UID(f"2.25.{uuid.uuid5(_ROOT, name).int}")


IMPLEMENTATION_CLASS: Final = derived_uid("implementation", "cxrscreen")


def asked(screening: Screening) -> str:
    """Say in one string what was asked and under which settings, without what came out.

    Two screenings of one image with one bundle under the same settings are the same result even where a sum was
    rounded differently, so no measured value is part of this.
    """
    points = ",".join(f"{stage.name}/{stage.operating_point}/{stage.threshold!r}" for stage in screening.stages)
    maps = ",".join(saliency.name for saliency in screening.saliency)
    verdict = f"{screening.verdict.policy}/{screening.verdict.overridden}"
    return ";".join((screening.bundle, __version__, screening.status, verdict, points, maps))


@dataclass(frozen=True)
class Identity:
    """The identifiers of one object and its series.

    Parameters
    ----------
    series_uid, series_number, series_description
        Of the series, one for each image and kind of object.
    instance_uid, instance_number
        Of the object.
    """

    series_uid: UID
    series_number: int
    series_description: str
    instance_uid: UID
    instance_number: int


def identify(kind: Kind, source_uid: str, screening: Screening, instance_number: int = 1) -> Identity:
    """Return the identifiers of an object made of a screening.

    Parameters
    ----------
    kind
        What object.
    source_uid
        SOP instance UID of the image screened.
    screening
        Its result; see :func:`asked` for what of it counts.
    instance_number
        From 1, among the objects of this kind.
    """
    number, description = _SERIES[kind]
    parts = (kind, source_uid, asked(screening))
    return Identity(
        series_uid=derived_uid("series", *parts),
        series_number=number,
        series_description=description,
        instance_uid=derived_uid("instance", *parts, str(instance_number)),
        instance_number=instance_number,
    )


def stamp(dataset: Dataset, made: datetime) -> None:
    """Set when an object was made, and who wrote the file, in place."""
    day, clock = made.strftime("%Y%m%d"), made.strftime("%H%M%S.%f")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = day, clock
    dataset.ContentDate, dataset.ContentTime = day, clock
    dataset.SeriesDate, dataset.SeriesTime = day, clock
    for equipment in dataset.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = day + clock
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION


def keep_loss(dataset: Dataset, header: Dataset) -> None:
    """Say of a picture that its source was compressed with loss, in place: that never wears off (PS3.3 C.7.6.1.1.5)."""
    if header.get("LossyImageCompression") != "01":
        return
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in header:
            setattr(dataset, keyword, header[keyword].value)
