"""``cxrscreen train``: from a recipe and a manifest to a measured bundle."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe, for example recipes/cascade-cpu.yaml.")],
    *,
    data: Annotated[Path, typer.Option("--data", help="Folder with manifest.csv and the images it names.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for the bundle.")],
    work: Annotated[
        Path | None,
        typer.Option("--work", help="Folder for checkpoints; a stopped run goes on there. Default: OUT.work"),
    ] = None,
    measure: Annotated[
        bool, typer.Option(help="Choose operating points on the validation part and measure the test part.")
    ] = True,
) -> None:
    """Train a system and write its bundle, with its operating points and measured results in the card.

    A run that was stopped goes on from its last checkpoint when the same command is given again; one that was stopped
    while measuring measures again.
    """
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.errors import CxrscreenError
    from cxrscreen.evaluate.card import measure_bundle
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.bundle import open_bundle

    try:
        from cxrscreen.systems.cascade.export import check_out, write_bundle
        from cxrscreen.systems.cascade.recipe import CascadeRecipe
        from cxrscreen.systems.cascade.training import train_cascade
        from cxrscreen.train.recipe import load_recipe
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Training needs {error.name}, which is not installed: install cxrscreen[train]."
        ) from error

    errors = Console(stderr=True)
    settings = load_recipe(recipe, CascadeRecipe)
    manifest = load_manifest(data)
    if not ((out / "card.yaml").is_file() and open_bundle(out).card.recipe == settings.model_dump(mode="json")):
        check_out(out)
        write_bundle(
            settings, manifest, train_cascade(settings, manifest, work or out.with_name(f"{out.name}.work")), out
        )
    if measure:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=errors) as progress:
            task = progress.add_task("Measuring", total=None)
            measure_bundle(
                out,
                manifest,
                read,
                lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
            )
    errors.print(f"{open_bundle(out).card.bundle_id} written to {escape(str(out))}.", soft_wrap=True, highlight=False)
