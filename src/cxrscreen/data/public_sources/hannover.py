"""COVID-19 Image Repository of the Hannover Medical School (ml-workgroup) -> rows."""

from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering
from cxrscreen.data.public_sources.patients import age_columns, sex_of, view_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import read_published, rows_of

_COLUMNS = ("patient_id", "image_id", "sex", "age", "admission_offset", "modality", "projection")


def days_since(offset: str) -> str:
    """Days since admission from the table's admission_offset, which counts from the image to the admission."""
    try:
        days = -round(float(offset))
    except (ValueError, OverflowError):
        return ""
    return str(days)


def read(folder: Path, into: Gathering) -> None:
    """Read ``data.csv`` and the folder ``png``."""
    root = into.root_of(folder, "data.csv")
    for row in rows_of(read_published(root / "data.csv", _COLUMNS)):
        if row["modality"] not in ("CR", "DX"):
            into.leave_out("no radiograph (modality neither CR nor DX)")
            continue
        offset = days_since(row["admission_offset"])
        into.add(
            row["image_id"],
            root / "png" / f"{row['image_id']}.png",
            "covid19",
            patient=row["patient_id"],
            finding="COVID-19",
            view=view_of(row["projection"]),
            sex=sex_of(row["sex"]),
            **age_columns(row["age"]),
            offset_days=offset,
            offset_reference="admission" if offset else "",
        )


HANNOVER = Source(
    name="hannover",
    title="COVID-19 Image Repository, Hannover Medical School",
    home="https://github.com/ml-workgroup/covid-19-image-repository",
    terms="CC BY 3.0",
    citation="H. B. Winther et al. Dataset: COVID-19 Image Repository. doi:10.6084/m9.figshare.12275009, 2020.",
    size="some 240 images, most patients with several, PNG",
    fetch=("git clone https://github.com/ml-workgroup/covid-19-image-repository",),
    layout=("data.csv", "png/<image_id>.png"),
    labels=("every image -> covid19: the repository holds patients with COVID-19 only",),
    faults=(
        "One hospital, no controls; most images are portable AP of intensive care, many of one patient.",
        "admission_offset counts from the image to the admission (negative: the image is later); it is turned over.",
        "Cohen's collection holds copies, cropped and with less contrast, with offsets of its own.",
        "A label of COVID-19 is the patient's, up to two months after admission.",
    ),
    checksums="none; the commit of the git repository stands for its content (git rev-parse HEAD)",
    read=read,
)
