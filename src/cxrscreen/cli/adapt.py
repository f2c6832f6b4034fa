"""``cxrscreen adapt``: from a bundle and a hospital's first cases of a new disease to an adapted bundle."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape


def adapt(
    bundle: Annotated[str, typer.Argument(help="Model bundle: a name shipped with cxrscreen, or a folder.")],
    *,
    new: Annotated[Path, typer.Option("--new", help="CSV of the new site's images, or the folder that holds it.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for the adapted bundle.")],
    old: Annotated[
        Path | None,
        typer.Option("--old", help="CSV of the old images, which must not be forgotten, or the folder that holds it."),
    ] = None,
    weight: Annotated[
        float | None,
        typer.Option("--lambda", min=0, help="How much to hold to the bundle's outputs on the old images. Default: 1."),
    ] = None,
    stage: Annotated[
        Literal["2", "3", "both"] | None,
        typer.Option("--stage", help="Stages to adapt; 3 alone for a site without normal images. Default: both."),
    ] = None,
    without_old: Annotated[
        bool, typer.Option("--without-old", help="Learn from the new images alone, to compare what is forgotten.")
    ] = False,
    cases: Annotated[
        int | None, typer.Option("--cases", min=1, help="Learn from only so many patients with the new disease.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="YAML settings, for example recipes/adapt-cascade.yaml.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every draw. Default: 0.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Folder for the report. Default: OUT.report")] = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="Folder where a stopped run goes on. Default: OUT.work")
    ] = None,
    replicates: Annotated[int, typer.Option("--replicates", min=100, help="Bootstrap resamples.")] = 2000,
) -> None:
    """Adapt a bundle to a new disease from its first cases, and report what was learned and what was forgotten.

    Stage 2, then stage 3 are fine-tuned on old and new images; on the old ones they are held to the bundle's own
    outputs (Yeh et al. 2020, Eq. 2). Temperature and operating points are chosen again on validation images; the
    figures before and after are of test images. Images that the bundle has learned from never count as held out.

    Writes the new bundle, and REPORT/adaptation.json, .md, .png and .svg. A run that was stopped goes on when the same
    command is given again.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.errors import CxrscreenError, ManifestError
    from cxrscreen.evaluate.forgetting import before_and_after, choose_points
    from cxrscreen.evaluate.forgetting_report import Adaptation, card_results, write_report
    from cxrscreen.systems.bundle import check_out, open_bundle
    from cxrscreen.systems.cascade.cohort import make_cohort

    try:
        from cxrscreen.systems.cascade.adaptation import adapt as adapt_cascade
        from cxrscreen.systems.cascade.adapted_bundle import write_adapted
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Adapting needs {error.name}, which is not installed: install cxrscreen[train]."
        ) from error

    console, errors = Console(), Console(stderr=True)
    settings = _settings(recipe, distillation=weight, stage=stage, seed=seed, with_old=False if without_old else None)
    if old is None and settings.with_old and settings.stage != "3":
        raise ManifestError(
            "Stage 2 forgets without old images: give them with --old, or take --stage 3 or --without-old."
        )
    opened = open_bundle(bundle)
    cohort = make_cohort(
        opened,
        load_manifest(new),
        None if old is None else load_manifest(old),
        seed=settings.seed,
        cases=cases,
    )
    check_out(out)
    folder = report or out.with_name(f"{out.name}.report")
    check_writable(folder)
    adapted = adapt_cascade(opened, cohort, settings, work or out.with_name(f"{out.name}.work"))
    changed = ("covid19",) if settings.stage == "3" else ("pneumonia", "covid19")
    points = {**opened.card.stages, **{name: choose_points(adapted.logits, name) for name in changed}}
    answers = before_and_after(adapted.logits, opened.card.stages, points, replicates=replicates, seed=settings.seed)
    how = {
        "lambda": settings.distillation if settings.with_old else "none",
        "stage": settings.stage,
        "seed": settings.seed,
        "old images learned from": settings.with_old and old is not None,
    }
    about = Adaptation(
        before=opened.card.bundle_id,
        after="",
        command=_command(settings, cases, old=old is not None, recipe=recipe is not None),
        how=how,
        cases=cohort.cases,
        images=cohort.counts(),
        points_before=opened.card.stages,
        points_after=points,
        answers=answers,
    )
    made = write_adapted(opened, cohort, settings, adapted, points, card_results(about), out)
    files = write_report(about.named(made.card.bundle_id), folder)
    console.print(Markdown(files["adaptation.md"].read_text(encoding="utf-8")))
    errors.print(
        f"{made.card.bundle_id} written to {escape(str(out))}, the report to {escape(str(folder))}.",
        soft_wrap=True,
        highlight=False,
    )


def _settings(recipe: Path | None, **given: Any) -> Any:
    """The recipe, with what the command gives put over it."""
    from cxrscreen.systems.cascade.adaptation_recipe import AdaptRecipe
    from cxrscreen.train.recipe import load_recipe

    base = AdaptRecipe() if recipe is None else load_recipe(recipe, AdaptRecipe)
    return AdaptRecipe.model_validate(
        base.model_dump() | {name: value for name, value in given.items() if value is not None}
    )


def _command(settings: Any, cases: int | None, *, old: bool, recipe: bool) -> str:
    parts = ["cxrscreen adapt BUNDLE --new NEW"]
    parts += ["--old OLD"] if old else []
    parts += ["--recipe RECIPE"] if recipe else []
    parts += [f"--lambda {settings.distillation:g}"] if settings.with_old else ["--without-old"]
    parts += [] if settings.stage == "both" else [f"--stage {settings.stage}"]
    parts += [] if cases is None else [f"--cases {cases}"]
    return " ".join([*parts, f"--seed {settings.seed}", "--out OUT"])
