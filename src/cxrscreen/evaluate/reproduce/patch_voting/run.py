"""From the name of a table of the patch-voting paper to its files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from cxrscreen.data.manifest import Manifest
from cxrscreen.evaluate.reproduce.asked import Made, write_asked
from cxrscreen.evaluate.reproduce.patch_voting.covid_net import table12
from cxrscreen.evaluate.reproduce.patch_voting.figure import shares_figure
from cxrscreen.evaluate.reproduce.patch_voting.recipe import Variants
from cxrscreen.evaluate.reproduce.patch_voting.runs import PatchRuns
from cxrscreen.evaluate.reproduce.patch_voting.segmentation import table5, table13, table15
from cxrscreen.evaluate.reproduce.patch_voting.votes import (
    figure12,
    figure12_table,
    table10,
    table14,
    table16,
    table17,
)
from cxrscreen.evaluate.reproduce.table import Origin, Table

TABLES: Mapping[str, Callable[[PatchRuns], Table]] = {
    "table5": table5,
    "table10": table10,
    "table12": table12,
    "table13": table13,
    "table14": table14,
    "table15": table15,
    "table16": table16,
    "table17": table17,
}
NAMES = (*TABLES, "figure12")
"""What can be asked for, in the order of ``all``. Tables VI to IX are those of ``cxrscreen biomarkers``."""


def reproduce_patch_voting(
    name: str, variants: Variants, work: Path, out: Path, *, manifest: Manifest | None = None, command: str = ""
) -> dict[str, Path]:
    """Make tables of the patch-voting paper again and write them.

    Parameters
    ----------
    name
        One of :data:`NAMES`, or ``"all"``.
    variants
        The recipes.
    work
        Folder of the trainings; finished ones are not repeated, a stopped one goes on.
    out
        Folder for ``patch-voting-NAME.md``, ``.json`` and, for the figure, ``.png`` and ``.svg``.
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
        If the work folder holds trainings of another recipe or of other images.
    ManifestError
        If the images do not allow a table.
    """
    runs = PatchRuns(work, variants, manifest)

    def make(each: str, own: str) -> Made:
        points = figure12(runs) if each == "figure12" else ()
        table = figure12_table(points) if each == "figure12" else TABLES[each](runs)
        about = runs.about
        origin = Origin(own, "", about.recipe_sha256, about.images_sha256, (variants.own.seed,))
        return table, {table.stem: shares_figure(points)} if points else {}, origin

    return write_asked(name, NAMES, "patch voting", command, out, make)
