"""``cxrscreen train``: from a recipe and a manifest to a measured bundle."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe of a system, for example recipes/cascade-lite.yaml.")],
    *,
    data: Annotated[Path, typer.Option("--data", help="Folder with manifest.csv and the images it names.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for the bundle.")],
    work: Annotated[
        Path | None,
        typer.Option("--work", help="Folder for checkpoints; a stopped run goes on there. Default: OUT.work"),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="The system that the recipe must be for. Default: the recipe's.")
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
    from cxrscreen.evaluate.card import measure_bundle
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.bundle import open_bundle
    from cxrscreen.systems.trainers import trainer_for

    train_bundle = trainer_for(recipe, system)
    errors = Console(stderr=True)
    manifest = load_manifest(data)
    train_bundle(recipe, manifest, work or out.with_name(f"{out.name}.work"), out)
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
