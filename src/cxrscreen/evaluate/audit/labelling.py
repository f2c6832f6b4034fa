"""Who labelled the public collections, and how COVID-19 was shown: what their authors state, by source."""

UNKNOWN_SOURCE = ("not known to this software", "not known; ask whoever gathered the images")
"""For a source that stands in no list."""

_GATHERED = ("the collections it was gathered from", "as stated by those collections; no test result per image")

LABELLED_BY: dict[str, tuple[str, str]] = {
    "cohen": (
        "authors of case reports and articles, gathered by the collection",
        "as stated by each case, RT-PCR in part",
    ),
    "figure1": (
        "physicians who sent the images to a social network",
        "as stated by each of them, a test named for some; no test result per image",
    ),
    "actualmed": ("a radiologist, in three levels", "the reading of the image alone, no test"),
    "bimcv-positive": (
        "tests (RT-PCR, IgM, IgG) around the image; a program's reading of the report where they decide nothing",
        "a positive test less than 14 days away, none negative nearer; by the report where no test could be set to it",
    ),
    "bimcv-negative": (
        "a program's reading of radiology reports",
        "the report alone: the patients' tests were negative",
    ),
    "covidx": _GATHERED,
    "coronahack": (
        "two physicians (children), authors of case reports and articles (COVID-19)",
        "as stated by each case, RT-PCR in part",
    ),
    "hannover": ("the treating hospital", "as stated by the hospital; no test result per image in the manifest"),
    "armiro": ("authors of public case reports", "as stated by each case; no test result per image"),
    "nih": ("text mining of radiology reports", "none: images from before 2020"),
    "rsna": ("radiologists of a challenge", "none: images from before 2020"),
    "chexpert": (
        "a program's reading of radiology reports, the validation part by radiologists",
        "none: images from before 2020",
    ),
    "padchest": (
        "physicians from 27 % of the reports, a program from the others",
        "none: images from before 2020",
    ),
    "shenzhen": ("the hospital's clinical reading", "none: images from before 2020"),
    "montgomery": ("a tuberculosis programme's clinical reading", "none: images from before 2020"),
    "jsrt": ("radiologists, nodules with computed tomography", "none: images from before 2020"),
    "kermany": ("two physicians, the test part also a third", "none: images from before 2020"),
    "radiography": _GATHERED,
    "radiography-covid": _GATHERED,
    "radiography-normal": ("radiologists of a challenge and text mining of reports", "none: images from before 2020"),
}
"""By source: who gave the label, and what shows COVID-19."""


def labelled_by(source: str) -> tuple[str, str]:
    """Who labelled a source, and how COVID-19 was shown; `UNKNOWN_SOURCE` for one that stands in no list."""
    return LABELLED_BY.get(source, UNKNOWN_SOURCE)
