"""Figure 1's and Actualmed's COVID-19 sets, which the COVID-Net team publishes in one form -> rows."""

import re
from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering
from cxrscreen.data.public_sources.patients import age_columns, sex_of, view_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import files_by_stem, read_published, rows_of

_LABELS = {"covid-19": "covid19", "pneumonia": "pneumonia", "no finding": "normal"}
_SUFFIXES = (".jpg", ".jpeg", ".png")
_COLUMNS = ("patientid", "sex", "age", "finding", "view", "modality")
_TERMS = "for research only, says the readme; no licence is named"
_COMMIT = "none; the commit of the git repository stands for its content (git rev-parse HEAD)"


def label_of(finding: str) -> str:
    """Label of a finding; an empty one says nothing."""
    return _LABELS.get(finding.lower(), "other" if finding else "unknown")


def patient_of(name: str) -> str:
    """Patient of a name of Figure 1: a letter after the number counts the images of one."""
    return re.sub(r"(?<=\d)[a-z]$", "", name)


def read_figure1(folder: Path, into: Gathering) -> None:
    """Read ``metadata.csv``, whose patientid is the image's name, and the folder ``images``."""
    root = into.root_of(folder, "metadata.csv")
    images = files_by_stem(root / "images", _SUFFIXES)
    for row in rows_of(read_published(root / "metadata.csv", _COLUMNS)):
        name = row["patientid"]
        _add(into, name, images.get(name, root / "images" / f"{name}.jpg"), patient_of(name), row, "")


def read_actualmed(folder: Path, into: Gathering) -> None:
    """Read ``metadata.csv`` and the folder ``images``."""
    root = into.root_of(folder, "metadata.csv")
    for row in rows_of(read_published(root / "metadata.csv", (*_COLUMNS, "imagename", "notes"))):
        level = {"COVID-19": "level 3: compatible with COVID-19", "No finding": "level 1: COVID-19 excluded"}
        note = f"{level.get(row['finding'], 'level 2: inconclusive')}, by a radiologist, without a test"
        _add(into, Path(row["imagename"]).stem, root / "images" / row["imagename"], row["patientid"], row, note)


def _add(into: Gathering, name: str, image: Path, patient: str, row: dict[str, str], note: str) -> None:
    if row["modality"] != "X-ray":
        into.leave_out("no radiograph (another modality)")
        return
    into.add(
        name,
        image,
        label_of(row["finding"]),
        patient=patient,
        finding=row["finding"],
        view=view_of(row["view"]),
        sex=sex_of(row["sex"]),
        **age_columns(row["age"]),
        notes=note,
    )


FIGURE1 = Source(
    name="figure1",
    title="Figure 1 COVID-19 chest X-ray dataset",
    home="https://github.com/agchung/Figure1-COVID-chestxray-dataset",
    terms=_TERMS,
    citation="A. G. Chung et al. Figure 1 COVID-19 Chest X-ray Dataset Initiative. GitHub, 2020.",
    size="55 images (35 COVID-19, 3 no finding, 2 pneumonia, 15 without a finding)",
    fetch=("git clone https://github.com/agchung/Figure1-COVID-chestxray-dataset",),
    layout=("metadata.csv", "images/COVID-00001.jpg and so on (some .png)"),
    labels=("COVID-19 -> covid19; No finding -> normal; Pneumonia -> pneumonia; empty -> unknown",),
    faults=(
        "Photographs of screens among them, with glare and tints; the column artifacts/distortion tells.",
        "Sent in by physicians on a social network; labels are theirs, tests are named for some.",
        "An empty finding is no negative one: cases still waiting for their test are among them.",
        "Ages are bounds or decades for some (50+, early 40s): these are left empty.",
        "Three controls give no specificity.",
    ),
    checksums=_COMMIT,
    read=read_figure1,
)
ACTUALMED = Source(
    name="actualmed",
    title="Actualmed COVID-19 chest X-ray dataset",
    home="https://github.com/agchung/Actualmed-COVID-chestxray-dataset",
    terms=_TERMS,
    citation="A. G. Chung et al. Actualmed COVID-19 Chest X-ray Dataset Initiative. GitHub, 2020.",
    size="238 images of 215 patients (58 COVID-19, 127 no finding, 53 inconclusive)",
    fetch=("git clone https://github.com/agchung/Actualmed-COVID-chestxray-dataset",),
    layout=("metadata.csv", "images/CR.1.2.840....png, images/DX.1.2.840....png"),
    labels=("COVID-19 (level 3) -> covid19; No finding (level 1) -> normal; empty (level 2) -> unknown",),
    faults=(
        "Labels are a radiologist's reading of the image in three levels, not a test: a classifier is measured against "
        "another reader.",
        "Level 1 says that COVID-19 is excluded; that the lungs are normal is the publisher's word for it.",
        "COVID-19 are mostly AP, no finding mostly PA: the view tells the classes apart.",
        "The date of an image stands in its name and in the notes of the publisher's table.",
    ),
    checksums=_COMMIT,
    read=read_actualmed,
)
