"""Who labelled the public collections, and how COVID-19 was shown: what their authors state, by source."""

UNKNOWN_SOURCE = ("not known to this software", "not known; ask whoever gathered the images")
"""For a source that stands in no list."""

LABELLED_BY: dict[str, tuple[str, str]] = {
    "cohen": (
        "authors of case reports and articles, gathered by the collection",
        "as stated by each case, RT-PCR in part",
    ),
    "hannover": ("the treating hospital", "as stated by the hospital; no test result per image in the manifest"),
    "armiro": ("authors of public case reports", "as stated by each case; no test result per image"),
    "nih": ("text mining of radiology reports", "none: images from before 2020"),
    "shenzhen": ("the hospital's clinical reading", "none: images from before 2020"),
    "montgomery": ("a tuberculosis programme's clinical reading", "none: images from before 2020"),
    "jsrt": ("radiologists, nodules with computed tomography", "none: images from before 2020"),
    "kermany": ("two physicians, the test part also a third", "none: images from before 2020"),
    "radiography-covid": (
        "the collections it was gathered from",
        "as stated by those collections; no test result per image",
    ),
    "radiography-normal": ("radiologists of a challenge and text mining of reports", "none: images from before 2020"),
}
"""By source: who gave the label, and what shows COVID-19."""


def labelled_by(source: str) -> tuple[str, str]:
    """Who labelled a source, and how COVID-19 was shown; `UNKNOWN_SOURCE` for one that stands in no list."""
    return LABELLED_BY.get(source, UNKNOWN_SOURCE)
