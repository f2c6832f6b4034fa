"""The Montgomery County and the Shenzhen set (tuberculosis and normal) -> rows and masks."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.public_sources.gathering import MISSING_FILE, Gathering
from cxrscreen.data.public_sources.lung_halves import at_size, image_size, joined, read_binary, split_file
from cxrscreen.data.public_sources.patients import age_columns, sex_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import text_of

_LABELS = {"0": "normal", "1": "tuberculosis"}
_HOME = "https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/"
_TERMS = "public, for research, with citation and acknowledgement of the US National Library of Medicine"
_CITATION = (
    "S. Jaeger, S. Candemir, S. Antani, Y.-X. J. Wang, P.-X. Lu, G. Thoma. Two public chest X-ray datasets for "
    "computer-aided screening of pulmonary diseases. Quant. Imaging Med. Surg. 4(6):475-477, 2014"
)
_MASK_FOLDERS = ("mask/mask", "mask", "masks")

MaskReader = Callable[[Path, Path], tuple[NDArray[np.uint8], bool] | None]
"""Takes the folder and an image; gives its mask and whether that tells the lungs apart, or None."""


def reading_of(text: str) -> dict[str, str]:
    """Sex, age and finding of a clinical reading, in either set's form.

    Montgomery writes ``Patient's Sex: F``, ``Patient's Age: 027Y``, then the finding; Shenzhen ``male 45yrs`` (also
    ``femal``, ``16month``, ``Female, 28yrs``), then the finding.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    sex, age, said = "", "", []
    for line in lines:
        if found := re.match(r"patient.s sex\s*:\s*(\w*)", line, re.IGNORECASE):
            sex = sex_of(found[1])
        elif found := re.match(r"patient.s age\s*:\s*(\w*)", line, re.IGNORECASE):
            age = found[1]
        elif found := re.match(r"(male|femal|female)\s*,?\s*(\d+\s*[a-z]*)\.?\s*(.*)", line, re.IGNORECASE):
            sex, age = sex_of(found[1]), found[2]
            said += [found[3]] if found[3] else []
        else:
            said.append(line)
    return {"sex": sex, "finding": " ".join(said), **age_columns(age)}


def read_montgomery(folder: Path, into: Gathering) -> None:
    """Read ``CXR_png``, ``ClinicalReadings`` and ``ManualMask``."""
    root = into.root_of(folder, "CXR_png/MCUCXR_*.png")
    _read(root, "MCUCXR", into, _halves, of_others="PA")


def read_shenzhen(folder: Path, into: Gathering) -> None:
    """Read ``CXR_png``, ``ClinicalReadings`` and Stirenko's masks in ``mask``."""
    root = into.root_of(folder, "CXR_png/CHNCXR_*.png")
    _read(root, "CHNCXR", into, _whole, of_others="unknown")


def _read(root: Path, prefix: str, into: Gathering, mask_of: MaskReader, *, of_others: str) -> None:
    # The view of everybody whose reading gives no adult's age.
    readings = root / "ClinicalReadings"
    if not readings.is_dir():
        into.say("ClinicalReadings is not there: ages, sexes and findings are unknown.")
    images = sorted((root / "CXR_png").glob(f"{prefix}_*.png"))
    for image in images:
        name, _, suffix = image.stem.rpartition("_")
        if suffix not in _LABELS:
            into.leave_out("its name ends neither in _0 nor in _1")
            continue
        columns = reading_of(text_of(readings / f"{image.stem}.txt"))
        columns["finding"] = columns["finding"] or _LABELS[suffix]
        view = "PA" if columns["pediatric"] == "false" else of_others
        image_id = into.add(image.stem, image, _LABELS[suffix], patient=name, view=view, **columns)
        into.lung_mask(image_id, mask_of(root, image), "human")
    there = {image.stem for image in images}
    into.leave_out(MISSING_FILE, sum(file.stem not in there for file in readings.glob(f"{prefix}_*.txt")))
    without = sum(not row["lung_mask"] for row in into.rows)
    if without:
        into.say(f"{without} images have no lung mask.")


def _halves(root: Path, image: Path) -> tuple[NDArray[np.uint8], bool] | None:
    files = [root / "ManualMask" / side / image.name for side in ("leftMask", "rightMask")]
    one, other = (read_binary(file) for file in files)
    shape = image_size(image)
    if one is None or other is None or shape is None:
        return None
    return joined(at_size(one, shape), at_size(other, shape)), True


def _whole(root: Path, image: Path) -> tuple[NDArray[np.uint8], bool] | None:
    files = [root / folder / f"{image.stem}_mask.png" for folder in _MASK_FOLDERS]
    return split_file(next((file for file in files if file.is_file()), files[0]), image)


MONTGOMERY = Source(
    name="montgomery",
    title="Montgomery County chest X-ray set (tuberculosis)",
    home=_HOME + "Montgomery-County-CXR-Set/",
    terms=_TERMS,
    citation=f"{_CITATION}; masks: S. Candemir et al. IEEE TMI 33(2):577-590, 2014.",
    size="138 images (80 normal, 58 tuberculosis), PNG of 4892 x 4020 or 4020 x 4892",
    fetch=("Download the folder MontgomerySet from the home page, whole.",),
    layout=("CXR_png/MCUCXR_0001_0.png", "ClinicalReadings/MCUCXR_0001_0.txt", "ManualMask/leftMask, rightMask"),
    labels=("_0 in the name -> normal; _1 -> tuberculosis (a reader's call of signs of it, no culture)",),
    faults=(
        "One clinic's screening programme; normal and tuberculosis only.",
        "Black bars at the borders tell these images from all others.",
        "The masks leave the heart out; which of leftMask and rightMask is which is read from their position.",
    ),
    read=read_montgomery,
)
SHENZHEN = Source(
    name="shenzhen",
    title="Shenzhen hospital chest X-ray set (tuberculosis)",
    home=_HOME + "Shenzhen-Hospital-CXR-Set/",
    terms=_TERMS,
    citation=f"{_CITATION}; masks: S. Stirenko et al. IEEE ELNANO 2018, arXiv:1803.01199.",
    size="662 images (326 normal, 336 tuberculosis), PNG of about 3000 x 3000; 566 masks",
    fetch=(
        "Download the folder ChinaSet_AllFiles (or Shenzhen-Hospital-CXR-Set) from the home page, whole.",
        "Masks: kaggle datasets download yoctoman/shcxr-lung-mask && unzip shcxr-lung-mask.zip, beside CXR_png.",
    ),
    layout=("CXR_png/CHNCXR_0001_0.png", "ClinicalReadings/CHNCXR_0001_0.txt", "mask/CHNCXR_0001_0_mask.png"),
    labels=("_0 in the name -> normal; _1 -> tuberculosis (a reader's call of signs of it, no culture)",),
    faults=(
        "Children are among the patients; ages in months and days are given for some.",
        "AP views of children are among the images, which of them is not told: view is PA where the reading gives an "
        "adult's age, else unknown.",
        "About 100 images have no mask; masks that do not part the lungs are marked (lung_mask_sides false).",
        "Readings are free text with typing errors; the label comes from the file's name alone.",
    ),
    read=read_shenzhen,
)
