"""PadChest -> rows."""

from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering
from cxrscreen.data.public_sources.patients import age_columns, sex_of, view_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.spanish_reports import EXCLUDED, findings_of, label_of
from cxrscreen.data.public_sources.tables import read_published, rows_of

_TABLES = "PADCHEST_chest_x_ray_images_labels_160K*.csv*"
_COLUMNS = (
    "ImageID",
    "ImageDir",
    "StudyDate_DICOM",
    "PatientID",
    "PatientBirth",
    "PatientSex_DICOM",
    "Projection",
    "Pediatric",
    "MethodLabel",
    "Labels",
)
_VIEWS = ("PA", "AP", "AP_horizontal", "L")


def age_at(study: str, born: str) -> str:
    """Age in whole years from the study's date (YYYYMMDD) and the year of birth (``1950`` or ``1950.0``).

    The year is all that is published, so the age may be one too high; empty where either is missing.
    """
    year = born.removesuffix(".0")
    if not (study[:4].isdigit() and len(study) >= 8 and year.isdigit() and len(year) == 4):
        return ""
    return str(int(study[:4]) - int(year))


def read(folder: Path, into: Gathering) -> None:
    """Read the table of labels, plain or gzipped; images lie in the numbered folders that it names."""
    root = into.root_of(folder, _TABLES)
    table = read_published(sorted(root.glob(_TABLES))[0], _COLUMNS)
    for row in rows_of(table):
        if row["Projection"] not in _VIEWS:
            into.leave_out("no frontal or lateral chest (projection COSTAL, EXCLUDE or none)")
            continue
        findings = findings_of(row["Labels"])
        if findings is None:
            into.leave_out("its list of labels cannot be read")
            continue
        if EXCLUDED in findings:
            into.leave_out("its report's label is exclude")
            continue
        columns = age_columns(age_at(row["StudyDate_DICOM"], row["PatientBirth"]))
        if row["Pediatric"] in ("PED", "No"):
            columns["pediatric"] = "true" if row["Pediatric"] == "PED" else "false"
        into.add(
            Path(row["ImageID"]).stem,
            _image(root, row["ImageDir"], row["ImageID"]),
            label_of(findings),
            patient=row["PatientID"],
            finding="|".join(findings),
            view=view_of(row["Projection"]),
            sex=sex_of(row["PatientSex_DICOM"]),
            **columns,
            notes="labels of the report by a program" if row["MethodLabel"] == "RNN_model" else "",
        )


def _image(root: Path, folder: str, name: str) -> Path:
    """In its numbered folder, or beside the table, where the archives were unpacked into one folder."""
    numbered = root / folder.removesuffix(".0") / name
    return numbered if numbered.is_file() else root / name


PADCHEST = Source(
    name="padchest",
    title="PadChest",
    home="https://bimcv.cipf.es/bimcv-projects/padchest/",
    terms="on registration with BIMCV, which shows its agreement before the download",
    citation="A. Bustos, A. Pertusa, J.-M. Salinas, M. de la Iglesia-Vaya. PadChest: A large chest x-ray image dataset "
    "with multi-label annotated reports. Medical Image Analysis 66:101797, 2020.",
    size="160,868 images of 67,000 patients, 16-bit PNG, about 1 TB in 50 archives",
    fetch=(
        "Register at the home page; download 0.zip, 1.zip and so on, and the table "
        "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz.",
        'for archive in *.zip; do unzip -q "$archive" -d "${archive%.zip}"; done',
    ),
    layout=("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv (or .csv.gz)", "0/*.png, 1/*.png and so on"),
    labels=(
        "normal alone -> normal; COVID 19 -> covid19; tuberculosis -> tuberculosis (not its sequelae); viral pneumonia "
        "-> viral; pneumonia, atypical pneumonia -> pneumonia; nodule(s) -> nodule; all else -> other",
        "no label, or only unchanged or suboptimal study -> unknown",
    ),
    faults=(
        "27 % of the reports were labelled by physicians, the rest by a program (notes says which).",
        "unchanged compares with an image that need not be there; suboptimal study is a judgement on the image.",
        "Images labelled exclude and rib views are left out; a few PNG files are damaged (use --verify).",
        "The year of birth is all that is published: ages may be one year too high.",
        "One hospital from 2009 to 2017: all of it before COVID-19, and images of BIMCV-COVID19 come from the same "
        "region's scanners.",
    ),
    read=read,
)
