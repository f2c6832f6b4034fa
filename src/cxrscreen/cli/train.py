"""``cxrscreen train``: from a recipe and a manifest to a measured bundle."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cxrscreen.progress import Bars

if TYPE_CHECKING:
    from cxrscreen.train.records import TrainingRecord


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
    record: Annotated[
        str | None,
        typer.Option(
            "--record",
            metavar="STORE",
            help="Record settings, curves and results: in a folder, or in an MLflow store by its URI.",
        ),
    ] = None,
) -> None:
    """Train a system and write its bundle, with its operating points and measured results in the card.

    A run that was stopped goes on from its last checkpoint when the same command is given again; one that was stopped
    while measuring measures again. torchrun may start it on several devices, see docs/training-at-scale.md.
    """
    from cxrscreen.train.crew import FIRST, crew_here

    crew = crew_here()
    if crew.launched and crew.rank != FIRST:
        from cxrscreen.train.follow import follow

        follow(crew)
        return
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.evaluate.card import measure_bundle
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.bundle import open_bundle
    from cxrscreen.systems.trainers import trainer_for

    train_bundle = trainer_for(recipe, system)
    errors = Console(stderr=True)
    manifest = load_manifest(data)
    steps = work or out.absolute().with_name(f"{out.name}.work")
    with _recorded(record, recipe, steps, out, errors):
        train_bundle(recipe, manifest, steps, out)
        if crew.launched:
            from cxrscreen.train.together import dismiss

            dismiss(crew)
        if measure:
            with Bars(console=errors) as progress:
                task = progress.add_task("Measuring", total=None)
                measure_bundle(
                    out,
                    manifest,
                    read,
                    lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
                )
    errors.print(f"{open_bundle(out).card.bundle_id} written to {escape(str(out))}.", soft_wrap=True, highlight=False)


@contextmanager
def _recorded(where: str | None, recipe: Path, work: Path, out: Path, errors: Console) -> Iterator[None]:
    """Record what is trained within the block, and the bundle that comes of it, where a store is named."""
    if where is None:
        yield
        return
    import yaml

    from cxrscreen.train.loop import listening
    from cxrscreen.train.record_content import settings_of
    from cxrscreen.train.records import TrainingRecord

    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    record = TrainingRecord(
        where,
        work,
        out.name,
        settings=settings_of(content),
        tags={"system": str(content["system"]), "recipe": recipe.name},
        warn=lambda text: errors.print(f"[yellow]{escape(text)}[/yellow]", soft_wrap=True, highlight=False),
    )
    try:
        with listening(record.epoch):
            yield
        _record_bundle(record, out)
    except BaseException as error:
        record.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    record.end("FINISHED")


def _record_bundle(record: "TrainingRecord", out: Path) -> None:
    from cxrscreen.systems.bundle import open_bundle
    from cxrscreen.train.record_content import bundle_tags, figures_of

    card = open_bundle(out).card
    thresholds = {f"threshold/{name}": stage.point().threshold for name, stage in card.stages.items()}
    tags = bundle_tags(card.bundle_id, out, card.files) | {
        "data.images_sha256": card.data.images_sha256,
        **{f"data.split.{name}": digest for name, digest in card.data.splits.items()},
    }
    record.write(figures=figures_of(card.results, "test/") | thresholds, tags=tags)
