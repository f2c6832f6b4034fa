"""``cxrscreen evaluate``: measure a bundle on one part of a protocol."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape

from cxrscreen.progress import Bars

if TYPE_CHECKING:
    from cxrscreen.data.manifest import Manifest
    from cxrscreen.systems.bundle import Card


Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        help="Only images of this source; may be repeated. Default: all, or of the images that taught the bundle "
        "the sources of its own split.",
    ),
]
"""The option of all commands that measure a bundle."""
OWN = "own images"
"""What images are called where nobody said where they come from."""


def evaluate(
    bundle: Annotated[
        str | None, typer.Argument(help="Model bundle: a name shipped with cxrscreen, or a folder.")
    ] = None,
    *,
    system: Annotated[
        str | None, typer.Option("--system", help="Take the bundle that ships for this system, or check BUNDLE.")
    ] = None,
    manifest: Annotated[Path, typer.Option("--manifest", help="CSV of the images, or the folder that holds it.")],
    protocol: Annotated[
        str, typer.Option("--protocol", help="What is asked: lungs, stage2, stage3, patch-classes, disease-regions ...")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for metrics.json, metrics.md, scores.csv and the figures.")
    ],
    source: Sources = None,
    part: Annotated[Literal["test", "validation"], typer.Option("--part", help="Part of the split.")] = "test",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the split and of the bootstrap.")] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Screen only this many images, drawn by the seed (a trial).")
    ] = None,
    replicates: Annotated[int, typer.Option("--replicates", min=100, help="Bootstrap resamples.")] = 2000,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="With --part validation: choose an operating point (sensitivity>=0.95, specificity>=0.90, youden), "
            "store it in the bundle's card; may be repeated.",
        ),
    ] = None,
    site: Annotated[
        str | None,
        typer.Option(
            "--site", help="With --target: where the images come from; part of the point's name. [own images]"
        ),
    ] = None,
    use: Annotated[bool, typer.Option("--use", help="With --target: put the first stored point in use.")] = False,
) -> None:
    """Measure a bundle: AUC, rates, accuracy, Dice, with intervals by patient, within sources and pooled.

    Writes DIR/metrics.json, DIR/metrics.md, DIR/scores.csv and, for a decision, ROC, reliability and decision curves,
    for several classes ROC curves and the confusion matrix, as PNG and SVG. Exit code: 0 all screened, 1 some images
    failed (they are listed), 2 nothing could be started.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.cli.disease_regions import evaluate_regions
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.data.protocols import PROTOCOLS, make_split
    from cxrscreen.evaluate.outputs import Provenance, measure_run, write_outputs
    from cxrscreen.evaluate.run import Question, chosen_images, run_system
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.bundle import open_bundle
    from cxrscreen.systems.decisions import decision_for
    from cxrscreen.systems.learned import own_sources
    from cxrscreen.systems.registry import bundle_named, load_system

    console, errors = Console(), Console(stderr=True)
    if protocol == "disease-regions":
        if target:
            raise typer.BadParameter("an operating point is chosen on a decision, not on regions")
        evaluate_regions(
            bundle,
            system,
            manifest,
            out,
            sources=tuple(source or ()),
            part=part,
            seed=seed,
            limit=limit,
            replicates=replicates,
        )
        return
    asked = PROTOCOLS.get(protocol)
    decides = asked is not None and not (asked.lungs or asked.classes)
    rules = _checked_targets(target or [], part, decides, named=use or site is not None)
    chosen, table = bundle_named(bundle, system), load_manifest(manifest)
    card = open_bundle(chosen).card if asked is not None else None
    sources = tuple(source or (own_sources(card, protocol, table) if card else ()))
    split = make_split(protocol, table, seed, sources)
    images = chosen_images(split.part(part), limit, seed)
    if rules and card is not None:
        _refuse_trials(card, table, seed, whole=len(images) == len(split.part(part)))
    stage = decision_for(card.system, protocol).stage if decides and card else None
    check_writable(out)
    loaded = load_system(chosen)
    with Bars(console=errors) as progress:
        task = progress.add_task(f"{protocol}, {part} part", total=len(images))
        run = run_system(loaded, read, table, Question(split, images, stage), advance=lambda: progress.advance(task))
    result = measure_run(run, replicates=replicates, seed=seed)
    provenance = Provenance(
        protocol=split.name,
        seed=seed,
        digest=split.digest,
        part=part,
        part_size=len(split.part(part)),
        manifest_sha256=hashlib.sha256(_manifest_file(manifest).read_bytes()).hexdigest(),
        replicates=replicates,
        split_of_training=card is not None and card.data.splits.get(protocol) == split.digest,
        sources=sources,
    )
    files = write_outputs(out, run, result, provenance)
    console.print(Markdown(files["metrics.md"].read_text(encoding="utf-8")))
    errors.print(f"Written to {escape(str(out))}: {', '.join(sorted(files))}", soft_wrap=True, highlight=False)
    if rules:
        from cxrscreen.evaluate.card import add_operating_points

        stored = add_operating_points(chosen, run, rules, site or OWN, use=use).card.stages[
            run.stage.name if run.stage else ""
        ]
        for name, point in stored.operating_points.items():
            if name.endswith(f" {site or OWN}"):
                errors.print(f"In the card: {escape(name)}, positive at {point.threshold:.4f}.", highlight=False)
    if run.failures:
        errors.print(f"{len(run.failures)} of {run.requested} images failed; metrics.md names them.", highlight=False)
        raise typer.Exit(1)


def _checked_targets(targets: list[str], part: str, decides: bool, *, named: bool) -> list[str]:
    from cxrscreen.evaluate.metrics import checked_rule

    if named and not targets:
        raise typer.BadParameter("--use and --site belong to an operating point: give --target as well")
    if targets and (part != "validation" or not decides):
        raise typer.BadParameter("an operating point is chosen on a decision, with --part validation alone")
    for rule in targets:
        try:
            checked_rule(rule)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--target") from None
    return targets


def _refuse_trials(card: "Card", table: "Manifest", seed: int, *, whole: bool) -> None:
    """An operating point goes into use: it must not come from a few images, nor from those that were learned from."""
    from cxrscreen.errors import CxrscreenError
    from cxrscreen.systems.learned import images_digest

    if not whole:
        raise CxrscreenError("An operating point is chosen on the whole part: leave --limit out.")
    if seed != card.data.seed and images_digest(table) == card.data.images_sha256:
        raise CxrscreenError(
            f"{card.bundle_id} learned from these images by a split of seed {card.data.seed}; another seed puts some "
            f"of those into the validation part: give --seed {card.data.seed}, or images of your own."
        )


def _manifest_file(manifest: Path) -> Path:
    return manifest / "manifest.csv" if manifest.is_dir() else manifest
