"""NIH ChestX-ray14 -> rows and boxes."""

from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering
from cxrscreen.data.public_sources.patients import age_columns, sex_of, view_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import files_by_stem, read_published, rows_of

_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position")
# The publisher's header holds commas within brackets, so that a column's name is cut in two.
_BOX_COLUMNS = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
_WIDTH, _HEIGHT = "OriginalImage[Width", "Height]"


def label_of(findings: str) -> str:
    """Label of findings joined by ``|``: No Finding is normal, Pneumonia comes before Nodule before all else."""
    found = {part.strip() for part in findings.split("|")} - {""}
    if not found:
        return "unknown"
    if found == {"No Finding"}:
        return "normal"
    return "pneumonia" if "Pneumonia" in found else "nodule" if "Nodule" in found else "other"


def read(folder: Path, into: Gathering) -> None:
    """Read ``Data_Entry_2017_v2020.csv`` (or the first edition) and ``BBox_List_2017.csv``."""
    root = into.root_of(folder, *_TABLES)
    name = next(name for name in _TABLES if (root / name).is_file())
    table = read_published(root / name, _COLUMNS)
    if name != _TABLES[0]:
        into.say(f"{name} is the first edition: {_TABLES[0]} corrects ages and sizes.")
    images = files_by_stem(root, (".png",))
    for row in rows_of(table):
        stem = Path(row["Image Index"]).stem
        into.add(
            stem,
            images.get(stem, root / "images" / row["Image Index"]),
            label_of(row["Finding Labels"]),
            patient=row["Patient ID"] and row["Patient ID"].zfill(8),
            finding=row["Finding Labels"],
            view=view_of(row["View Position"]),
            sex=sex_of(row.get("Patient Gender") or row.get("Patient Sex", "")),
            **age_columns(row["Patient Age"]),
            original_width=row.get(_WIDTH, ""),
            original_height=row.get(_HEIGHT, ""),
        )
    _boxes(root, into)


def _boxes(root: Path, into: Gathering) -> None:
    file = root / "BBox_List_2017.csv"
    if not file.is_file():
        into.say("No boxes: BBox_List_2017.csv is not there.")
        return
    there = {row["image_id"] for row in into.rows}
    for row in rows_of(read_published(file, _BOX_COLUMNS)):
        image_id = f"{into.source}/{Path(row['Image Index']).stem}"
        if image_id in there:
            into.box(image_id, row["Finding Label"], *(row[column] for column in _BOX_COLUMNS[2:]))


NIH = Source(
    name="nih",
    title="NIH ChestX-ray14",
    home="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    terms="unrestricted use; link, citation and acknowledgement of the NIH Clinical Center asked for",
    citation="X. Wang et al. ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised "
    "Classification and Localization of Common Thorax Diseases. CVPR 2017, 3462-3471.",
    size="112,120 images of 30,805 patients, 1024 x 1024 PNG, about 45 GB",
    fetch=(
        "Open the home page and download images/images_001.tar.gz to images_012.tar.gz, Data_Entry_2017_v2020.csv, "
        "BBox_List_2017.csv (batch_download_zips.py beside them fetches the archives).",
        'for archive in images_*.tar.gz; do tar -xzf "$archive"; done',
    ),
    layout=("Data_Entry_2017_v2020.csv", "BBox_List_2017.csv", "images/ (or images_001/images/ and so on)"),
    labels=(
        "No Finding -> normal; Pneumonia -> pneumonia; Nodule -> nodule; any other finding -> other",
        "finding keeps all of them, joined by |",
    ),
    faults=(
        "Labels were mined from reports by a program; radiologists who read the images disagree with many.",
        "A finding is that of one report: later images of a patient often show the same, with drains and tubes.",
        "The first edition has ages up to 414; ages above 110 are left empty.",
        "8-bit copies without the DICOM header; some are rotated, inverted, or no frontal chest.",
        "RSNA, COVIDx and the Radiography Database hold copies of these images.",
    ),
    read=read,
)
