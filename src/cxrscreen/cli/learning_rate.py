"""``cxrscreen learning-rate``: the range test of a COVID-CXNet recipe, with its plot and a suggestion."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

FALLEN = 0.95
"""Of the first smoothed loss: where it never falls below, nothing was learned at any rate."""


def learning_rate(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe, for example recipes/covid-cxnet.yaml.")],
    *,
    data: Annotated[Path, typer.Option("--data", help="Folder with manifest.csv and the images it names.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the plot and learning-rate.json; made if missing.")],
    work: Annotated[
        Path | None,
        typer.Option("--work", help="Work folder of a training: its regions, pre-training and frozen phases are used."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=8, help="Batches to learn from.")] = 100,
    lowest: Annotated[float, typer.Option("--from", help="Learning rate of the first batch.")] = 1e-7,
    highest: Annotated[float, typer.Option("--to", help="Learning rate of the last batch.")] = 1.0,
) -> None:
    """Let the learning rate rise from batch to batch and see where the loss falls fastest (paper, Fig. 10).

    Learns from training images alone, as the recipe's first phase that is not frozen would, and keeps nothing of it.
    It begins from what the phase before left in the work folder; without that, from a head at random, for which the
    suggestion is another one.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.errors import CxrscreenError
    from cxrscreen.evaluate.figures import write_figure
    from cxrscreen.train.recipe import load_recipe

    try:
        from cxrscreen.systems.covid_cxnet.range_test import kept_start, range_of_rates
        from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe
        from cxrscreen.train.learning_rate_range import range_figure
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Training needs {error.name}, which is not installed: install cxrscreen[train]."
        ) from error

    settings = load_recipe(recipe, CovidCxNetRecipe)
    check_writable(out)
    place = work or out.with_name(f"{out.name}.work")
    found = range_of_rates(settings, load_manifest(data), place, steps=steps, lowest=lowest, highest=highest)
    out.mkdir(parents=True, exist_ok=True)
    write_figure(range_figure(found, f"Learning-rate range test: {recipe.stem}"), out, "learning-rate")
    start = kept_start(settings, place)
    content = {
        "begins_from": "a head at random" if start is None else f"the kept state of {start.name}",
        "recipe": settings.model_dump(mode="json"),
        "suggestion": found.suggestion,
        "rates": found.rates.tolist(),
        "losses": found.losses.tolist(),
    }
    (out / "learning-rate.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
    console = Console(stderr=True)
    console.print(f"Begun from {content['begins_from']}.")
    if found.smoothed.min() > FALLEN * found.smoothed[0]:
        console.print("The loss hardly fell, so the suggestion means little: take more --steps, or look at the plot.")
    console.print(f"The loss falls fastest at {found.suggestion:.1e}. Written to {escape(str(out))}.", soft_wrap=True)
