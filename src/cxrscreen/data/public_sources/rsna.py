"""RSNA Pneumonia Detection Challenge 2018 -> rows and boxes."""

import json
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from cxrscreen.data.public_sources.gathering import Gathering, SourceError
from cxrscreen.data.public_sources.patients import age_columns, sex_of, view_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import read_published, rows_of

_CLASSES = {"Normal": "normal", "Lung Opacity": "pneumonia", "No Lung Opacity / Not Normal": "other"}
_MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
_HEADER = ["PatientSex", "PatientAge", "ViewPosition"]


def label_of(read_class: str) -> str:
    """Label of a class of ``stage_2_detailed_class_info.csv``; a word that is none of the three is unknown."""
    return _CLASSES.get(read_class, "unknown")


def read(folder: Path, into: Gathering) -> None:
    """Read the stage 2 tables, the DICOM headers for sex, age and view, and the map to NIH images where it is there."""
    root = into.root_of(folder, "stage_2_train_labels.csv")
    boxes = read_published(root / "stage_2_train_labels.csv", ("patientId", "x", "y", "width", "height", "Target"))
    classes = read_published(root / "stage_2_detailed_class_info.csv", ("patientId", "class"))
    nih = _nih_images(root, into)
    ids: dict[str, str] = {}
    for row in rows_of(classes.drop_duplicates("patientId")):
        name = row["patientId"]
        image = root / "stage_2_train_images" / f"{name}.dcm"
        original = nih.get(name, "")
        image_id = into.add(
            name,
            image,
            label_of(row["class"]),
            patient=f"nih-{original[:8]}" if original else "",
            finding=row["class"],
            **_header(image),
            copy_of=f"nih/{original}" if original else "",
        )
        if image_id is not None:
            ids[name] = image_id
    for row in rows_of(boxes[boxes["Target"] == "1"]):
        if row["patientId"] in ids:
            into.box(ids[row["patientId"]], "Lung Opacity", *(row[column] for column in ("x", "y", "width", "height")))
    into.leave_out("stage 2 test image, without a label", len(list((root / "stage_2_test_images").glob("*.dcm"))))


def _nih_images(root: Path, into: Gathering) -> dict[str, str]:
    """NIH image (without the suffix) by challenge image."""
    file = root / _MAPPING
    if not file.is_file():
        into.say(
            f"{_MAPPING} is not there: nobody's patient is known, and one patient has several images; fetch it before "
            "a split is made."
        )
        return {}
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return {entry["subset_img_id"]: Path(entry["img_id"]).stem for entry in entries if entry.get("subset_img_id")}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"{_MAPPING} is not the publisher's list of images: fetch it again.") from error


def _header(image: Path) -> dict[str, str]:
    try:
        header = pydicom.dcmread(image, stop_before_pixels=True, specific_tags=list(_HEADER))
    except (OSError, InvalidDicomError):
        return {}
    sex, age, view = (str(header.get(tag, "")) for tag in _HEADER)
    return {"sex": sex_of(sex), "view": view_of(view), **age_columns(age)}


RSNA = Source(
    name="rsna",
    title="RSNA Pneumonia Detection Challenge 2018",
    home="https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
    terms="the challenge's rules, accepted at download; the images are the NIH's",
    citation="G. Shih et al. Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert "
    "Annotations of Possible Pneumonia. Radiology: AI 1(1):e180041, 2019.",
    size="26,684 labelled DICOM images (8,851 normal, 11,821 not normal, 6,012 opacity), 3,000 others, 3.5 GB",
    fetch=(
        "kaggle competitions download -c rsna-pneumonia-detection-challenge && "
        "unzip rsna-pneumonia-detection-challenge.zip -d rsna",
        f"curl -o rsna/{_MAPPING} https://s3.amazonaws.com/east1.public.rsna.org/AI/2018/{_MAPPING}",
    ),
    layout=(
        "stage_2_train_labels.csv",
        "stage_2_detailed_class_info.csv",
        "stage_2_train_images/*.dcm",
        f"{_MAPPING} (which NIH image each one is; needed for patients)",
    ),
    labels=(
        "Normal -> normal; Lung Opacity -> pneumonia (an opacity suspicious of it; no test); No Lung Opacity / Not "
        "Normal -> other",
        "The boxes of Lung Opacity go to boxes.csv beside the manifest.",
    ),
    faults=(
        "patientId names an image, not a patient: only the map to NIH images tells patients apart.",
        "All images are NIH ChestX-ray14's (column copy_of): a model that saw those has seen these.",
        "Some ages in the headers are above 110 and are left empty.",
        "COVIDx takes its normal and pneumonia images from here, the Radiography Database its Normal 1 to 8,851.",
    ),
    read=read,
)
