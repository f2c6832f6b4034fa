"""From the name of a table or figure of the COMiT-Net paper to its files."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from cxrscreen.data.manifest import Manifest
from cxrscreen.evaluate.reproduce.asked import Made, write_asked
from cxrscreen.evaluate.reproduce.comit_net.classification import table4, table5
from cxrscreen.evaluate.reproduce.comit_net.curves import curves, curves_figure, figure9_table
from cxrscreen.evaluate.reproduce.comit_net.embedding import embedded, figure11, figure11_table, neighbours
from cxrscreen.evaluate.reproduce.comit_net.external import external_table
from cxrscreen.evaluate.reproduce.comit_net.heat import figure12_table, heat_figure, mean_heats
from cxrscreen.evaluate.reproduce.comit_net.recipe import Variants
from cxrscreen.evaluate.reproduce.comit_net.regions import disease_table, lungs_table
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.comit_net.spread import (
    enough_seeds,
    figure8_skipped,
    figure8_table,
    spread_figure,
    spreads,
)
from cxrscreen.evaluate.reproduce.table import Origin, Table

Drawn = tuple[Table, Figure | None]


def _figure8(runs: ComitRuns) -> Drawn:
    found = spreads(runs)
    return figure8_table(found), spread_figure(found)


def _figure9(runs: ComitRuns) -> Drawn:
    found = curves(runs)
    table = replace(figure9_table(found), answer=runs.variants.seeds_never_trained_on())
    return table, curves_figure(found, runs.variants.on_embedding)


def _figure11(runs: ComitRuns) -> Drawn:
    images = embedded(runs)
    return figure11_table(neighbours(images)), figure11(images)


def _figure12(runs: ComitRuns) -> Drawn:
    found = mean_heats(runs)
    return figure12_table(found), heat_figure(found)


MAKERS: Mapping[str, Callable[[ComitRuns], Drawn]] = {
    "table4": lambda runs: (table4(runs), None),
    "table5": lambda runs: (table5(runs), None),
    "lungs": lambda runs: (lungs_table(runs), None),
    "disease": lambda runs: (disease_table(runs), None),
    "external": lambda runs: (external_table(runs), None),
    "figure8": _figure8,
    "figure9": _figure9,
    "figure11": _figure11,
    "figure12": _figure12,
}
_FIRST_SEED = ("figure11", "figure12")
NAMES = tuple(MAKERS)
"""What can be asked for, in the order of ``all``; later ones use trainings of earlier ones."""


def reproduce_comit_net(
    name: str, variants: Variants, work: Path, out: Path, *, manifest: Manifest | None = None, command: str = ""
) -> dict[str, Path]:
    """Make tables and figures of the COMiT-Net paper again and write them.

    Parameters
    ----------
    name
        One of :data:`NAMES`, or ``"all"``, which says in place of Fig. 8 that it needs more seeds where the recipe has
        one.
    variants
        The recipes.
    work
        Folder of the trainings; finished ones are not repeated, a stopped one goes on.
    out
        Folder for ``comit-net-NAME.md``, ``.json`` and, for the figures, ``.png`` and ``.svg``.
    manifest
        Images with which missing trainings are made; None: only finished ones are read.
    command
        What a reader types to get ``name``, for the page.

    Returns
    -------
    dict
        Path by file name.

    Raises
    ------
    CxrscreenError
        If there is no such table, or ``manifest`` is None and a training is missing.
    RecipeError
        If the work folder holds trainings of another recipe or of other images, or a figure needs more of the recipe.
    ManifestError
        If the images do not allow a table.
    """
    runs = ComitRuns(work, variants, manifest)

    def make(each: str, own: str) -> Made:
        skipped = name == "all" and each == "figure8" and not enough_seeds(variants)
        table, figure = (figure8_skipped(), None) if skipped else MAKERS[each](runs)
        table = replace(table, differs=(variants.length, *table.differs))
        about = runs.about
        origin = Origin(own, "", about.recipe_sha256, about.images_sha256, seeds_of(each, variants))
        return table, {} if figure is None else {table.stem: figure}, origin

    return write_asked(name, NAMES, "COMiT-Net", command, out, make)


def seeds_of(name: str, variants: Variants) -> tuple[int, ...]:
    """Seeds of the trainings that a table or figure is of."""
    if name in _FIRST_SEED:
        return variants.seeds()[:1]
    return variants.seeds(left_out=name == "external")
