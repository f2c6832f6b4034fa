"""``cxrscreen reproduce``: the tables of a paper, trained and measured again on the data at hand."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape


def reproduce(
    system: Annotated[
        Literal["cascade", "patch-voting", "covid-cxnet", "comit-net"], typer.Argument(help="Whose paper.")
    ],
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="cascade: table3 to table7, lambda-sweep, learning-curve, leave-one-out. "
            "patch-voting: table5, table10, table12 to table17, figure12. "
            "covid-cxnet: table1 to table5, paediatric-bias, roi, burned-in-text, imagenet, learning-curve, "
            "training-curves, leave-one-out. "
            "comit-net: table4, table5, lungs, disease, external, figure8, figure9, figure11, figure12. Or all.",
        ),
    ],
    *,
    recipe: Annotated[
        Path,
        typer.Option("--recipe", help="YAML settings: recipes/reproduce-cascade.yaml, or another there."),
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with manifest.csv and the images it names.")
    ] = None,
    bundle: Annotated[
        str, typer.Option("--bundle", help="Of the cascade: bundle whose stage 1 cuts the lungs out.")
    ] = "cascade",
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables.")] = Path("docs/results"),
    work: Annotated[
        Path | None,
        typer.Option(
            "--work", help="Folder for trainings; a stopped run goes on there. Default: runs/reproduce-SYSTEM"
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Of the cascade: seeds of the trainings, for example 0,1,2.")
    ] = None,
    table_only: Annotated[
        bool, typer.Option("--table-only", help="Write the tables from finished trainings, without training.")
    ] = False,
) -> None:
    """Make a table of a paper again: its figures as printed and as recomputed, and ours with intervals.

    Writes OUT/SYSTEM-TABLE.md and .json, and where there is a figure .png and .svg. The trainings
    that a table needs are made once and kept in WORK; tables share them.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.errors import CxrscreenError
    from cxrscreen.train.recipe import load_recipe

    if data is None and not table_only:
        raise CxrscreenError("Trainings need images: give --data, or --table-only to use finished trainings.")
    manifest = None if table_only or data is None else load_manifest(data)
    kept = work or Path(f"runs/reproduce-{system}")
    check_writable(out)
    command = (
        f"cxrscreen reproduce {system} {table} --data DATA --recipe {recipe.name if recipe.is_absolute() else recipe}"
    )
    command += "" if bundle == "cascade" else " --bundle BUNDLE"
    command += "" if seeds is None else f" --seeds {seeds}"
    if system == "patch-voting":
        if seeds is not None:
            raise CxrscreenError("The trainings of patch voting have their recipes' seed: leave out --seeds.")
        from cxrscreen.evaluate.reproduce.patch_voting.recipe import load_variants
        from cxrscreen.evaluate.reproduce.patch_voting.run import reproduce_patch_voting

        files = reproduce_patch_voting(table, load_variants(recipe), kept, out, manifest=manifest, command=command)
    elif system == "covid-cxnet":
        if seeds is not None or bundle != "cascade":
            raise CxrscreenError(
                "The recipe of COVID-CXNet names its seeds and its lungs: leave out --seeds and --bundle."
            )
        from cxrscreen.evaluate.reproduce.covid_cxnet.recipe import CxNetReproduceRecipe
        from cxrscreen.evaluate.reproduce.covid_cxnet.run import reproduce_covid_cxnet

        own = load_recipe(recipe, CxNetReproduceRecipe)
        files = reproduce_covid_cxnet(table, own, kept, out, manifest=manifest, command=command)
    elif system == "comit-net":
        if seeds is not None or bundle != "cascade":
            raise CxrscreenError("The recipe of COMiT-Net names its seeds: leave out --seeds and --bundle.")
        from cxrscreen.evaluate.reproduce.comit_net.recipe import load_variants as load_combinations
        from cxrscreen.evaluate.reproduce.comit_net.run import reproduce_comit_net

        files = reproduce_comit_net(table, load_combinations(recipe), kept, out, manifest=manifest, command=command)
    else:
        from cxrscreen.evaluate.reproduce.recipe import ReproduceRecipe
        from cxrscreen.evaluate.reproduce.run import reproduce as reproduce_table
        from cxrscreen.systems.bundle import open_bundle

        settings = load_recipe(recipe, ReproduceRecipe).seeded(_numbers(seeds))
        make = None if manifest is None else (open_bundle(bundle), manifest)
        files = reproduce_table(table, settings, kept, out, make=make, command=command)
    for name, file in files.items():
        if name.endswith(".md"):
            Console().print(Markdown(file.read_text(encoding="utf-8")))
    Console(stderr=True).print(f"Written to {escape(str(out))}: {', '.join(files)}.", soft_wrap=True, highlight=False)


def _numbers(text: str | None) -> tuple[int, ...] | None:
    from cxrscreen.errors import CxrscreenError

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise CxrscreenError("The seeds must be numbers with commas between them, for example --seeds 0,1,2.") from None
