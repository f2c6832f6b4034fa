"""CheXpert -> rows."""

from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering
from cxrscreen.data.public_sources.patients import age_columns, sex_of, view_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import read_published, rows_of

FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""Columns of the tables; 1 present, 0 absent, -1 uncertain, empty not mentioned."""

_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)


def label_of(marks: dict[str, str]) -> tuple[str, str]:
    """Label and finding of a row.

    Pneumonia called present is pneumonia. Pneumonia called uncertain is unknown, whatever else there is. Else any other
    finding that is present (a device is none) is other, and No Finding is normal.

    Parameters
    ----------
    marks
        Text of :data:`FINDINGS` by name: ``1.0``, ``0.0``, ``-1.0`` or empty.

    Returns
    -------
    tuple of str
        Label; what is present and what is uncertain, joined by ``|``.
    """
    values = {name: _number(marks.get(name, "")) for name in FINDINGS}
    present = [name for name in FINDINGS if values[name] == 1]
    unsure = [name for name in FINDINGS if values[name] == -1]
    finding = "|".join((*present, *(f"{name} (uncertain)" for name in unsure)))
    if "Pneumonia" in present:
        return "pneumonia", finding
    if "Pneumonia" in unsure:
        return "unknown", finding
    if set(present) - {"No Finding", "Support Devices"}:
        return "other", finding
    return ("normal" if "No Finding" in present and not unsure else "unknown"), finding


def read(folder: Path, into: Gathering) -> None:
    """Read ``train.csv`` and ``valid.csv``, of the full or the small edition."""
    root = into.root_of(folder, "train.csv")
    for part in ("train.csv", "valid.csv"):
        if part == "valid.csv" and not (root / part).is_file():
            into.say("valid.csv is not there: only train.csv was read.")
            continue
        for row in rows_of(read_published(root / part, _COLUMNS)):
            # The path starts with the edition's folder, which a person may have renamed.
            inside = Path(*Path(row["Path"]).parts[1:])
            if not inside.name:
                into.leave_out("its row in the table names no image")
                continue
            label, finding = label_of(row)
            into.add(
                inside.with_suffix("").as_posix(),
                root / inside,
                label,
                patient=next((name for name in inside.parts if name.startswith("patient")), ""),
                finding=finding,
                view="L" if row["Frontal/Lateral"] == "Lateral" else view_of(row["AP/PA"]),
                sex=sex_of(row["Sex"]),
                **age_columns(row["Age"]),
                notes="read by radiologists" if part == "valid.csv" else "",
            )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


CHEXPERT = Source(
    name="chexpert",
    title="CheXpert",
    home="https://stanfordmlgroup.github.io/competitions/chexpert/",
    terms="Stanford's research use agreement, accepted on registration; no commercial use, no redistribution",
    citation="J. Irvin et al. CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert "
    "Comparison. AAAI 2019.",
    size="224,316 images of 65,240 patients; about 439 GB, or 11 GB in the small edition",
    fetch=(
        "Register at the home page; download CheXpert-v1.0 (or CheXpert-v1.0-small) and unpack it.",
        "unzip CheXpert-v1.0-small.zip",
    ),
    layout=("train.csv", "valid.csv", "train/patient00001/study1/view1_frontal.jpg and so on", "valid/"),
    labels=(
        "Pneumonia 1 -> pneumonia; Pneumonia -1 (uncertain) -> unknown, not a guess; any other finding 1 -> other "
        "(Support Devices is none); No Finding 1 -> normal; nothing mentioned -> unknown",
    ),
    faults=(
        "Labels of train.csv were read from reports by a program; empty means not mentioned, not absent.",
        "-1 is uncertain; papers differ in whether they count it as present, absent or neither.",
        "Pneumonia is rarely named in reports that describe an opacity: other holds many images with Lung Opacity.",
        "Ages run from 0 to 90; 0, which no such patient can be, is left empty.",
        "Lateral views are among the images (view L).",
    ),
    read=read,
)
