"""Kermany's children, and CoronaHack, which is Kermany's and Cohen's images under one table -> rows."""

import re
from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import read_published, rows_of

_SUFFIXES = (".jpeg", ".jpg", ".png")
_KINDS = {"bacteria": "bacterial", "virus": "viral", "normal": "normal"}
_CORONAHACK_TABLE = "Chest_xray_Corona_Metadata.csv"
_VIRUSES = {"covid-19": "covid19", "sars": "viral", "streptococcus": "bacterial", "ards": "other"}


def name_of(stem: str) -> tuple[str, str] | None:
    """Patient and kind (bacteria, virus, normal) from a file's name; None where it is not one of Kermany's.

    Version 2 writes ``person23_bacteria_94``, ``IM-0115-0001``, ``NORMAL2-IM-0383-0001`` (some with another -0001);
    version 3 ``BACTERIA-1008087-0001``. The person's number counts for both kinds, which may join two children, and
    parts none.
    """
    if match := re.match(r"(person\d+)_(bacteria|virus)_", stem):
        return match[1], match[2]
    if match := re.match(r"((?:NORMAL2-)?IM-\d+)-", stem):
        return match[1], "normal"
    if match := re.match(r"(BACTERIA|VIRUS|NORMAL)-(\d+)-", stem):
        return match[2], match[1].lower()
    return None


def read(folder: Path, into: Gathering) -> None:
    """Read the folders NORMAL and PNEUMONIA of train, test and val."""
    root = into.root_of(folder, "train/NORMAL")
    for part in ("train", "test", "val"):
        for kind in ("NORMAL", "PNEUMONIA"):
            for image in sorted((root / part / kind).glob("*")):
                if image.suffix.lower() not in _SUFFIXES or image.name.startswith("."):
                    continue
                named = name_of(image.stem)
                if named is None or (named[1] == "normal") != (kind == "NORMAL"):
                    into.leave_out("its name and its folder say different things")
                    continue
                patient, said = named
                into.add(
                    image.stem,
                    image,
                    _KINDS[said],
                    patient=patient,
                    finding=said,
                    view="AP",
                    pediatric="true",
                    notes=f"{part} folder",
                )


def coronahack_label(label: str, kind: str, virus: str) -> str:
    """Label of CoronaHack's three columns: Label, Label_1_Virus_category, Label_2_Virus_category."""
    if label.lower() == "normal":
        return "normal"
    if virus.lower() in _VIRUSES:
        return _VIRUSES[virus.lower()]
    if kind.lower() in ("bacteria", "virus"):
        return _KINDS[kind.lower()]
    # The table itself spells it so.
    return "pneumonia" if label.lower() in ("pnemonia", "pneumonia") and not kind else "other" if kind else "unknown"


def read_coronahack(folder: Path, into: Gathering) -> None:
    """Read ``Chest_xray_Corona_Metadata.csv`` and the images in the two folders that it names."""
    root = into.root_of(folder, _CORONAHACK_TABLE)
    columns = ("X_ray_image_name", "Label", "Dataset_type", "Label_2_Virus_category", "Label_1_Virus_category")
    # The archive repeats the folder's name.
    inner = root / "Coronahack-Chest-XRay-Dataset" / "Coronahack-Chest-XRay-Dataset"
    images = inner if inner.is_dir() else root / "Coronahack-Chest-XRay-Dataset"
    for row in rows_of(read_published(root / _CORONAHACK_TABLE, columns)):
        stem, part = Path(row["X_ray_image_name"]).stem, row["Dataset_type"].lower()
        label, virus, kind = row["Label"], row["Label_2_Virus_category"], row["Label_1_Virus_category"]
        named = name_of(stem)
        into.add(
            stem,
            images / part / row["X_ray_image_name"],
            coronahack_label(label, kind, virus),
            patient=named[0] if named else "",
            finding="|".join(filter(None, (label, kind, virus))),
            view="AP" if named else "unknown",
            pediatric="true" if named else "unknown",
            copy_of=f"kermany/{stem}" if named else f"cohen/{stem}",
            notes=f"{part} folder",
        )


KERMANY = Source(
    name="kermany",
    title="Pediatric chest X-rays of Kermany and others",
    home="https://data.mendeley.com/datasets/rscbjbr9sj/2",
    terms="CC BY 4.0",
    citation="D. Kermany, K. Zhang, M. Goldbaum. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for "
    "Classification. Mendeley Data v2, doi:10.17632/rscbjbr9sj.2; Cell 172:1122-1131, 2018.",
    size="5,856 JPEG (1,583 normal, 4,273 pneumonia), 1.2 GB",
    fetch=("Download ChestXRay2017.zip from the home page.", "unzip ChestXRay2017.zip"),
    layout=("train/NORMAL, train/PNEUMONIA, test/ and (in Kaggle's edition) val/ likewise",),
    labels=("NORMAL -> normal; PNEUMONIA with bacteria in the name -> bacterial, with virus -> viral",),
    faults=(
        "Children of 1 to 5 years from one centre, AP: in any set with adults the label goes with age.",
        "Ages and sexes of single children are not told.",
        "person numbers are the only trace of patients; one number may be two children. The publisher's parts are not "
        "known to share no patient: split anew.",
        "Kaggle's val folder has 16 images: too few for anything.",
        "The Radiography Database and CoronaHack hold copies.",
    ),
    read=read,
)
CORONAHACK = Source(
    name="coronahack",
    title="CoronaHack chest X-ray dataset",
    home="https://www.kaggle.com/praveengovi/coronahack-chest-xraydataset",
    terms="those of its two sources, kermany and cohen",
    citation="Praveen Govi. CoronaHack - Chest X-Ray-Dataset. Kaggle, 2020; and the sources kermany and cohen.",
    size="about 5,900 images",
    fetch=(
        "kaggle datasets download praveengovi/coronahack-chest-xraydataset && unzip coronahack-chest-xraydataset.zip",
    ),
    layout=(
        _CORONAHACK_TABLE,
        "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset/train/, test/",
    ),
    labels=(
        "Normal -> normal; COVID-19 -> covid19; SARS -> viral; Streptococcus -> bacterial; ARDS -> other; else "
        "bacteria -> bacterial, Virus -> viral, Stress-Smoking -> other",
    ),
    faults=(
        "Nothing in it is its own: Kermany's children, and an early state of Cohen's collection (column copy_of).",
        "COVID-19 are adults, all others nearly all children: age alone separates the classes.",
        "Patients of the images from Cohen are not told.",
    ),
    read=read_coronahack,
)
