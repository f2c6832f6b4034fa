"""Tables VI to IX of Oh et al. 2020 as printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CLASSES: Final = ("normal", "tuberculosis", "bacterial", "viral", "covid19")
"""The paper's classes in its order; labels of the manifest."""
CLASS_TITLES: Final = {
    "normal": "Normal",
    "tuberculosis": "Tuberculosis",
    "bacterial": "Bacterial",
    "viral": "Viral",
    "covid19": "COVID-19",
    "nodule": "Nodule",
}

UNDER_SEGMENTED: Final = {
    "normal": "0 of 191",
    "tuberculosis": "2 of 57",
    "bacterial": "7 of 54",
    "viral": "5 of 200 (viral or COVID-19)",
    "covid19": "5 of 200 (viral or COVID-19)",
}
"""Images in which over a quarter of the lungs was not segmented, as the paper counts them (section V-F3)."""


@dataclass(frozen=True)
class PrintedTable:
    """A table of the paper.

    Parameters
    ----------
    name
        ``"table6"`` and so on.
    number
        The paper's, Roman.
    title
        What it shows.
    marker
        Column of the measurements.
    without_supine
        Whether AP supine radiographs are left out.
    mean, std
        By class: over its images.
    stars
        By pair of classes, the earlier in `CLASSES` first.
    """

    name: str
    number: str
    title: str
    marker: str
    without_supine: bool
    mean: Mapping[str, float]
    std: Mapping[str, float]
    stars: Mapping[tuple[str, str], str]


def _printed(
    name: str, number: str, title: str, marker: str, rows: str, *, without_supine: bool = False
) -> PrintedTable:
    """Read rows of ``mean std stars...``, a line for each class and a star entry for each class before it."""
    mean, std, marks = {}, {}, {}
    for index, (own, line) in enumerate(zip(CLASSES, rows.split(";"), strict=True)):
        first, second, *entries = line.split()
        mean[own], std[own] = float(first), float(second)
        marks.update({(other, own): mark for other, mark in zip(CLASSES[:index], entries, strict=True)})
    return PrintedTable(name, number, title, marker, without_supine, mean, std, marks)


PRINTED: Final = (
    _printed(
        "table6",
        "VI",
        "Mean grey value of the lungs",
        "lung_mean",
        ".540 .055; .523 .043 *; .558 .054 - ***; .509 .047 ** - ***; .506 .051 *** ** *** -",
    ),
    _printed(
        "table7",
        "VII",
        "Standard deviation of the grey values of the lungs",
        "lung_std",
        ".139 .017; .136 .016 -; .145 .019 * **; .165 .022 *** *** ***; .163 .022 *** *** *** -",
    ),
    _printed(
        "table8",
        "VIII",
        "Standard deviation of the grey values of the lungs, without AP supine radiographs",
        "lung_std",
        ".139 .017; .136 .016 -; .143 .020 - -; .163 .025 *** *** **; .161 .022 *** *** *** -",
        without_supine=True,
    ),
    _printed(
        "table9",
        "IX",
        "Cardiothoracic ratio",
        "ctr",
        ".446 .051; .476 .078 *; .472 .074 - -; .502 .064 *** * -; .499 .086 *** *** * -",
    ),
)
"""As printed; the paper gives neither intervals nor exact p values nor the number of patients behind a row."""
