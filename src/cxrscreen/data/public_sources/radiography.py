"""COVID-19 Radiography Database -> rows and masks."""

from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering
from cxrscreen.data.public_sources.lung_halves import split_file
from cxrscreen.data.public_sources.source import Source

CLASSES = {"COVID": "covid19", "Lung_Opacity": "pneumonia", "Normal": "normal", "Viral Pneumonia": "viral"}
"""Folder of a class and its label."""
LAST_ADULT_NORMAL = 8851
"""Normal images up to this number come from RSNA, later ones from Kermany's children."""


def childhood_of(kind: str, stem: str) -> str:
    """Column ``pediatric`` of an image: parts taken from Kermany show children, of others nothing is said.

    Parameters
    ----------
    kind
        Folder of the class.
    stem
        Name such as ``Normal-8852``.
    """
    number = stem.rpartition("-")[2]
    later = kind == "Normal" and number.isdigit() and int(number) > LAST_ADULT_NORMAL
    return "true" if kind == "Viral Pneumonia" or later else "unknown"


def read(folder: Path, into: Gathering) -> None:
    """Read the four folders of images, and their masks, which are brought to the images' size."""
    root = into.root_of(folder, "COVID/images")
    for kind, label in CLASSES.items():
        if not (root / kind / "images").is_dir():
            into.say(f"{kind}/images is not there: that class was not read.")
            continue
        for image in sorted((root / kind / "images").glob("*.png")):
            image_id = into.add(
                image.stem,
                image,
                label,
                finding=kind,
                pediatric=childhood_of(kind, image.stem),
                notes="squashed to a square by its publisher",
            )
            into.lung_mask(image_id, split_file(root / kind / "masks" / image.name, image), "automatic")


RADIOGRAPHY = Source(
    name="radiography",
    title="COVID-19 Radiography Database",
    home="https://www.kaggle.com/tawsifurrahman/covid19-radiography-database",
    terms="for research, with citation; gathered from several sources with terms of their own",
    citation="M. E. H. Chowdhury et al. IEEE Access 8:132665-132676, 2020; T. Rahman et al. Comput. Biol. Med. "
    "132:104319, 2021.",
    size="21,165 PNG of 299 x 299 (3,616 COVID, 6,012 Lung_Opacity, 10,192 Normal, 1,345 Viral Pneumonia)",
    fetch=(
        "kaggle datasets download tawsifurrahman/covid19-radiography-database && "
        "unzip covid19-radiography-database.zip",
    ),
    layout=(
        "COVID/images/COVID-1.png, COVID/masks/COVID-1.png",
        "Lung_Opacity/, Normal/, Viral Pneumonia/ likewise",
    ),
    labels=("COVID -> covid19; Lung_Opacity -> pneumonia; Normal -> normal; Viral Pneumonia -> viral",),
    faults=(
        "No patient ids at all: two images of a patient, and a split that parts them, cannot be told.",
        "Mixed origins: COVID from BIMCV, Hannover, SIRM, COVID-CXNet and others; Lung_Opacity and Normal 1 to 8,851 "
        "from RSNA; later Normal and all Viral Pneumonia from Kermany's children.",
        "So class, age and source go together: a classifier can tell ages and sources apart instead.",
        "Images were squashed to squares; the masks are a network's, checked by nobody that is named.",
        "The workbooks *.metadata.xlsx name the origin of each image; they are not read.",
        "Search for near-duplicates against every other source before a split.",
    ),
    read=read,
)
