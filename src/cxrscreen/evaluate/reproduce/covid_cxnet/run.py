"""From the name of a table of the COVID-CXNet paper to its files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from cxrscreen.data.manifest import Manifest
from cxrscreen.evaluate.reproduce.asked import Made, write_asked
from cxrscreen.evaluate.reproduce.covid_cxnet.curves import (
    learning_curve,
    learning_curve_figure,
    learning_curve_table,
    training_curves,
)
from cxrscreen.evaluate.reproduce.covid_cxnet.left_out import left_out, left_out_figure, left_out_table
from cxrscreen.evaluate.reproduce.covid_cxnet.models import paediatric_bias, table1, table2, table3, table4, table5
from cxrscreen.evaluate.reproduce.covid_cxnet.recipe import CxNetReproduceRecipe
from cxrscreen.evaluate.reproduce.covid_cxnet.regions import burned_in_text, roi
from cxrscreen.evaluate.reproduce.covid_cxnet.runs import CxNetRuns
from cxrscreen.evaluate.reproduce.covid_cxnet.transfer import imagenet
from cxrscreen.evaluate.reproduce.covid_cxnet.wording import SYSTEM
from cxrscreen.evaluate.reproduce.table import Origin, Table

TABLES: Mapping[str, Callable[[CxNetRuns], Table]] = {
    "table1": table1,
    "table2": table2,
    "paediatric-bias": paediatric_bias,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "roi": roi,
    "burned-in-text": burned_in_text,
    "imagenet": imagenet,
}
NAMES = (*TABLES, "learning-curve", "training-curves", "leave-one-out")
"""What can be asked for, in the order of ``all``: later ones use trainings of earlier ones."""


def reproduce_covid_cxnet(
    name: str,
    recipe: CxNetReproduceRecipe,
    work: Path,
    out: Path,
    *,
    manifest: Manifest | None = None,
    command: str = "",
) -> dict[str, Path]:
    """Make tables of the COVID-CXNet paper again and write them.

    Parameters
    ----------
    name
        One of :data:`NAMES`, or ``"all"``.
    recipe
        Settings.
    work
        Folder of the trainings; finished ones are not repeated, a stopped one goes on.
    out
        Folder for ``covid-cxnet-NAME.md``, ``.json`` and, where there are figures, ``.png`` and ``.svg``.
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
    runs = CxNetRuns(work, recipe, manifest)

    def make(each: str, own: str) -> Made:
        table, figures = _made(each, runs)
        about = runs.about
        seeds = recipe.seeds if each == "table5" else (recipe.own.seed,)
        origin = Origin(own, "", about.recipe_sha256, about.images_sha256, seeds)
        return table, {f"{SYSTEM}-{stem}": figure for stem, figure in figures.items()}, origin

    return write_asked(name, NAMES, "COVID-CXNet", command, out, make)


def _made(name: str, runs: CxNetRuns) -> tuple[Table, Mapping[str, Figure]]:
    if name == "learning-curve":
        points = learning_curve(runs)
        return learning_curve_table(points), {name: learning_curve_figure(points)}
    if name == "training-curves":
        return training_curves(runs)
    if name == "leave-one-out":
        unseen = left_out(runs)
        return left_out_table(unseen), {name: left_out_figure(unseen)}
    return TABLES[name](runs), {}
