"""From the name of a table to its files."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from cxrscreen.data.manifest import Manifest
from cxrscreen.evaluate.reproduce.asked import Made, write_asked
from cxrscreen.evaluate.reproduce.cascade import TABLES
from cxrscreen.evaluate.reproduce.figure import curve_figure, left_out_figure, sweep_figure
from cxrscreen.evaluate.reproduce.incremental import curve, curve_table, sweep, sweep_table
from cxrscreen.evaluate.reproduce.left_out import left_out, left_out_table
from cxrscreen.evaluate.reproduce.recipe import ReproduceRecipe
from cxrscreen.evaluate.reproduce.runs import Runs
from cxrscreen.evaluate.reproduce.table import Origin, Table
from cxrscreen.systems.bundle import Bundle

_REPEATED = ("lambda-sweep", "learning-curve")
NAMES = (*TABLES, *_REPEATED, "leave-one-out")
"""What can be asked for, in the order of ``all``: later ones use trainings of earlier ones."""


def reproduce(
    name: str,
    recipe: ReproduceRecipe,
    work: Path,
    out: Path,
    *,
    make: tuple[Bundle, Manifest] | None = None,
    command: str = "",
) -> dict[str, Path]:
    """Make tables of the cascade paper again and write them.

    Parameters
    ----------
    name
        One of :data:`NAMES`, or ``"all"``.
    recipe
        Settings and seeds.
    work
        Folder of the trainings; finished ones are not repeated, a stopped one goes on.
    out
        Folder for ``cascade-NAME.md``, ``.json`` and, where there is a figure, ``.png`` and ``.svg``.
    make
        Bundle (stage 1) and images with which missing trainings are made; None: only finished ones are read.
    command
        What a reader types to get ``name``, for the page.

    Returns
    -------
    dict
        Path by file name.

    Raises
    ------
    CxrscreenError
        If there is no such table, or ``make`` is None and a training is missing.
    RecipeError
        If the work folder holds trainings of another recipe or of other images, or a training diverges.
    ManifestError
        If the images do not allow a table.
    """
    runs = Runs(work, recipe, make)

    def made(each: str, own: str) -> Made:
        runs.begin()
        table, figure = _made(each, runs)
        return table, {} if figure is None else {f"cascade-{table.figure}": figure}, _origin(runs, each, own)

    return write_asked(name, NAMES, "the cascade", command, out, made)


def _made(name: str, runs: Runs) -> tuple[Table, Figure | None]:
    if name == "lambda-sweep":
        found = sweep(runs)
        return sweep_table(found, runs.recipe.new_cases), sweep_figure(found)
    if name == "learning-curve":
        points = curve(runs)
        return curve_table(points), curve_figure(points)
    if name == "leave-one-out":
        unseen = left_out(runs)
        return left_out_table(unseen), left_out_figure(unseen)
    return TABLES[name](runs), None


def _origin(runs: Runs, name: str, command: str) -> Origin:
    repeated: Sequence[int] = runs.recipe.repeats if name in _REPEATED else runs.recipe.seeds
    about = runs.about
    return Origin(command, about.bundle, about.recipe_sha256, about.images_sha256, tuple(repeated))
