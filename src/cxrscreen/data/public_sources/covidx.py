"""COVIDx (COVID-Net) -> rows."""

import re
from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering, SourceError
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import text_of

_LABELS = {
    "normal": "normal",
    "pneumonia": "pneumonia",
    "covid-19": "covid19",
    "positive": "covid19",
    # Negative joins normal lungs and pneumonia of other causes.
    "negative": "unknown",
}
_LINE = re.compile(r"(\S+) (.+) (normal|pneumonia|COVID-19|positive|negative)(?: (\S+))?", re.IGNORECASE)
_ORIGINALS = {
    "cohen": "cohen",
    "fig1": "figure1",
    "actmed": "actualmed",
    "rsna": "rsna",
    "bimcv": "bimcv-positive",
}


def label_of(word: str) -> str:
    """Label of a list's word, in any case; another word is unknown."""
    return _LABELS.get(word.lower(), "unknown")


def line_of(line: str) -> tuple[str, str, str, str] | None:
    """Patient, file, the label's word and part of a line of a list; None where it is none.

    File names may hold blanks; the part (cohen, fig1, actmed, sirm, rsna, ricord, bimcv, stonybrook) is missing in the
    first lists.
    """
    match = _LINE.fullmatch(line.strip())
    return None if match is None else (match[1], match[2], match[3], (match[4] or "").lower())


def read(folder: Path, into: Gathering) -> None:
    """Read one version's lists ``train*.txt``, ``val*.txt`` (newer versions) and ``test*.txt``, and their images."""
    root = into.root_of(folder, "train*.txt")
    for part in ("train", "val", "test"):
        lists = sorted(root.glob(f"{part}*.txt"))
        if len(lists) > 1:
            raise SourceError(
                f"The folder {root.name!r} holds {lists[0].name} and {lists[1].name}: keep the lists of one version."
            )
        if not lists:
            if part != "val":
                into.say(f"There is no {part}*.txt: the {part} images were not read.")
            continue
        for text in filter(None, (line.strip() for line in text_of(lists[0]).splitlines())):
            line = line_of(text)
            if line is None:
                into.leave_out("its line in the list cannot be read")
                continue
            patient, name, said, origin = line
            into.add(
                Path(name).stem,
                root / part / name,
                label_of(said),
                patient=f"{origin or 'unknown'}-{patient}",
                finding=said,
                copy_of=f"{_ORIGINALS[origin]}/{Path(name).stem}" if origin in _ORIGINALS else "",
                notes=f"{part} list; from {origin or 'a source not named'}",
            )


COVIDX = Source(
    name="covidx",
    title="COVIDx",
    home="https://github.com/lindawangg/COVID-Net/blob/master/docs/COVIDx.md",
    terms="each part on its own source's terms; read them one by one",
    citation="L. Wang, Z. Q. Lin, A. Wong. COVID-Net: a tailored deep convolutional neural network design for "
    "detection of COVID-19 cases from chest X-ray images. Scientific Reports 10:19549, 2020.",
    size="by version: over 14,000 images in June 2020, 30,386 in CXR-3, 84,818 in CXR-4",
    fetch=(
        "git clone https://github.com/lindawangg/COVID-Net; labels/ holds the lists, docs/COVIDx.md the steps that "
        "build the images from their sources.",
        "Or the built images: kaggle datasets download andyczhao/covidx-cxr2 && unzip covidx-cxr2.zip -d covidx",
        "Put the lists of one version beside the folders train, test and, where it has one, val.",
    ),
    layout=(
        "train_COVIDx*.txt (or train.txt), train/",
        "test_COVIDx*.txt (or test.txt), test/",
        "val.txt, val/ (newer versions)",
    ),
    labels=(
        "COVID-19 and positive -> covid19; normal -> normal; pneumonia -> pneumonia",
        "negative -> unknown: it joins normal lungs and pneumonia of other causes",
    ),
    faults=(
        "A collection of collections: cohen, figure1, actualmed, rsna (that is, nih), BIMCV, RICORD, Stony Brook and "
        "the Radiography Database. Joined with any of these it doubles images; column copy_of names those of the first "
        "four and of BIMCV.",
        "COVID-19 and the others come from different sources: a classifier can tell those apart instead.",
        "Older versions have no validation list, and test images of one version are training images of another.",
        "The names of the labels differ between versions.",
        "Patient names are unique within a part only; parts may share patients.",
    ),
    read=read,
)
