"""The catalogue of DICOM instances: what searches find, made of each file's header."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import pydicom
import structlog
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from cxrscreen.dicom_node.instance import is_uid
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.service.context import Context
from cxrscreen.service.dicom_retrieve import syntax_of
from cxrscreen.service.header import clean
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.exchange import Instance
from cxrscreen.service.store.files import StoredFile
from cxrscreen.service.store.models import Image

_LOG = structlog.get_logger(__name__)

_BULK: Final = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN")
"""Kinds of value that are left out of the catalogue: bulk data and sequences."""
_LONGEST_VALUE: Final = 4096
_AT_ONCE: Final = 200


def list_image(session: Session, context: Context, image: Image) -> bool:
    """Put a received DICOM image into the catalogue.

    Parameters
    ----------
    session
        One that writes; the image is in it.
    context
        Where its file is.
    image
        One of another format, or without sound identifiers, or whose SOP instance UID is known, is passed over.

    Returns
    -------
    bool
        Whether it is new there.
    """
    if image.format != "DICOM" or image.sop_instance_uid is None or _known(session, image.sop_instance_uid):
        return False
    try:
        with without_warnings():
            dataset = pydicom.dcmread(context.files.path(image.sha256), stop_before_pixels=True, force=True)
            entry = entry_of(dataset, StoredFile(image.sha256, image.size_bytes), image.id, context.now())
    except Exception as error:
        # A header that cannot be read to its end is no reason to refuse the image; the screening says what is wrong.
        _LOG.warning("image not catalogued", image=image.id, error=type(error).__name__)
        return False
    if entry is None:
        return False
    session.add(entry)
    session.flush()
    return True


def list_unlisted(context: Context) -> int:
    """Catalogue images that came before there was a catalogue; return how many."""
    count, after = 0, ""
    while True:
        with context.database.writing() as session:
            listed = select(Instance.id).where(Instance.sop_instance_uid == Image.sop_instance_uid).exists()
            wanted = select(Image).where(
                Image.format == "DICOM", Image.sop_instance_uid.is_not(None), Image.id > after, ~listed
            )
            images = session.scalars(wanted.order_by(Image.id).limit(_AT_ONCE)).all()
            count += sum(list_image(session, context, image) for image in images)
        if len(images) < _AT_ONCE:
            return count
        after = images[-1].id


def entry_of(
    dataset: Dataset, stored: StoredFile, image_id: str, now: datetime, result_id: str | None = None
) -> Instance | None:
    """Make an instance's row.

    Parameters
    ----------
    dataset
        Its attributes; pixels are not needed.
    stored
        Its file.
    image_id, result_id
        What it is, or was made of.
    now
        The moment.

    Returns
    -------
    Instance or None
        None where one of its four identifiers is missing or malformed.
    """
    keywords = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    uids = [str(dataset.get(keyword) or "").strip() for keyword in keywords]
    if not all(is_uid(value) for value in uids):
        return None
    sop_class, sop_instance, study, series = uids
    return Instance(
        id=new_id(),
        image_id=image_id,
        result_id=result_id,
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        study_instance_uid=study,
        series_instance_uid=series,
        transfer_syntax_uid=syntax_of(dataset)[:64],
        modality=_text(dataset, "Modality", 16),
        series_number=_number(dataset, "SeriesNumber"),
        instance_number=_number(dataset, "InstanceNumber"),
        patient_id=_text(dataset, "PatientID", 128),
        patient_name=_text(dataset, "PatientName", 256),
        study_date=_digits(dataset, "StudyDate", 8),
        study_time=_digits(dataset, "StudyTime", 6),
        accession_number=_text(dataset, "AccessionNumber", 64),
        study_id=_text(dataset, "StudyID", 64),
        referring_physician=_text(dataset, "ReferringPhysicianName", 256),
        header=plain_header(dataset),
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        listed_at=now,
    )


def plain_header(dataset: Dataset) -> dict[str, Any]:
    """Return the outermost public attributes, without bulk data and sequences (DICOM JSON model, PS3.18 annex F).

    What cannot be written as JSON is left out.
    """
    chosen = Dataset()
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
            if not (element.tag.is_private or element.VR in _BULK or len(str(element.value)) > _LONGEST_VALUE):
                chosen.add(element)
        except Exception as error:
            # What one malformed value raises is of no family, and the others are not worse for it.
            _LOG.debug("attribute left out", error=type(error).__name__)
    found: dict[str, Any] = chosen.to_json_dict(suppress_invalid_tags=True)
    found = {tag: element for tag, element in found.items() if _is_finite(element)}
    if "00080005" in found:
        # The text has been decoded; JSON is UTF-8.
        found["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    return found


def _known(session: Session, sop_instance_uid: str) -> bool:
    return session.scalar(select(Instance.id).where(Instance.sop_instance_uid == sop_instance_uid)) is not None


def _is_finite(element: Mapping[str, Any]) -> bool:
    return all(not isinstance(value, float) or math.isfinite(value) for value in element.get("Value", ()))


def _text(dataset: Dataset, keyword: str, length: int) -> str | None:
    try:
        return clean(dataset.get(keyword), length)
    except Exception:
        # A malformed value is as good as none; which error it raises depends on its kind.
        return None


def _number(dataset: Dataset, keyword: str) -> int | None:
    try:
        number = int(str(dataset.get(keyword)))
    except Exception:
        # As above.
        return None
    return number if abs(number) < 2**31 else None


def _digits(dataset: Dataset, keyword: str, length: int) -> str | None:
    found = re.match(rf"[0-9]{{1,{length}}}", _text(dataset, keyword, length) or "")
    return found[0] if found else None
