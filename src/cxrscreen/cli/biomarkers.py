"""``cxrscreen biomarkers``: measure lungs and hearts, compare classes and sources."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cxrscreen import RESEARCH_USE
from cxrscreen.progress import Bars

if TYPE_CHECKING:
    from cxrscreen.biomarkers.references import OrganMask
    from cxrscreen.data.manifest import Manifest
    from cxrscreen.imaging.radiograph import Radiograph

_REPLICATES = 2000


def biomarkers(
    manifest: Annotated[Path, typer.Argument(help="CSV of the images, or the folder that holds it.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for biomarkers.csv, .json, .md, .html and the figures.")],
    bundle: Annotated[
        str | None, typer.Option("--bundle", help="Bundle that finds the lungs of images without a reference mask.")
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="With --bundle: its masks for all images, so that all have one origin.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only this many images of each class and source (a trial).")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of patches, draws and bootstrap.")] = 0,
    replicates: Annotated[int, typer.Option("--replicates", min=100, help="Bootstrap resamples.")] = _REPLICATES,
) -> None:
    """Measure lung form, lung grey values and cardiothoracic ratio, and compare classes and sources.

    Takes the adult frontal radiographs of the manifest with a reference mask of the lungs (and of the heart, for the
    ratio). Exit code: 0 all measured, 1 some images failed (failures.csv names them), 2 nothing could be started.
    """
    from functools import partial

    from cxrscreen.batch.run import check_writable
    from cxrscreen.biomarkers.analysis import analyse
    from cxrscreen.biomarkers.report import findings, write_report
    from cxrscreen.biomarkers.study import run_study
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.errors import CxrscreenError
    from cxrscreen.evaluate.bootstrap import bootstrap_all, grouped_rate
    from cxrscreen.imaging.read import read

    console, errors = Console(), Console(stderr=True)
    if everywhere and bundle is None:
        raise CxrscreenError("--everywhere asks for the masks of a bundle: name one with --bundle.")
    table = load_manifest(manifest)
    check_writable(out)
    predict = None if bundle is None else _predict(bundle)
    with Bars(console=errors) as progress:
        task = progress.add_task("measuring", total=None)
        study = run_study(
            table,
            read,
            predict=predict,
            everywhere=everywhere,
            limit=limit,
            seed=seed,
            advance=lambda done, total: progress.update(task, completed=done, total=total),
        )
        progress.update(task, description="comparing")
        intervals = partial(bootstrap_all, replicates=replicates, seed=seed)
        analysis = analyse(study, table, intervals, grouped_rate, _taught(bundle, table))
        command = _command(bundle, everywhere, limit, seed, replicates)
        files = write_report(out, study, analysis, command=command, seed=seed, replicates=replicates)
    for sentence in findings(study, analysis):
        console.print(escape(sentence), highlight=False, soft_wrap=True)
    console.print(RESEARCH_USE, highlight=False, soft_wrap=True)
    names = ", ".join(sorted(files))
    errors.print(f"Written to {escape(str(out))}: {names}", soft_wrap=True, highlight=False)
    if len(study.failures):
        errors.print(f"{len(study.failures)} images failed; failures.csv says why.", highlight=False)
        raise typer.Exit(1)


def _predict(bundle: str) -> "Callable[[Radiograph], OrganMask]":
    import numpy as np

    from cxrscreen.biomarkers.references import OrganMask
    from cxrscreen.data.masks import HEART
    from cxrscreen.systems.registry import load_system

    system = load_system(bundle)

    def predict(radiograph: "Radiograph") -> OrganMask:
        found = system.screen(radiograph, explain=False, policy="off")
        mask, heart = found.lung_mask, found.heart_mask
        if heart is None:
            return OrganMask(mask, None, system.bundle_id, heart_in_lungs=False)
        # A heart that was looked for and not found stays empty: the reference's must not stand in for it.
        return OrganMask(np.where(heart, HEART, mask).astype(np.uint8), heart, system.bundle_id, heart_in_lungs=False)

    return predict


def _taught(bundle: str | None, manifest: "Manifest") -> frozenset[str]:
    """Images whose patients taught any network of the bundle, or chose it."""
    from cxrscreen.systems.bundle import open_bundle
    from cxrscreen.systems.learned import taught_by

    if bundle is None:
        return frozenset()
    splits = open_bundle(bundle).folder.glob("split-*.json.gz")
    return frozenset().union(*(taught_by(split, manifest, "test") or () for split in splits))


def _command(bundle: str | None, everywhere: bool, limit: int | None, seed: int, replicates: int) -> str:
    named = bundle if bundle is None or "/" not in bundle else "BUNDLE"
    options = (
        f" --bundle {named}" if named else "",
        " --everywhere" if everywhere else "",
        f" --limit {limit}" if limit is not None else "",
        f" --seed {seed}" if seed else "",
        f" --replicates {replicates}" if replicates != _REPLICATES else "",
    )
    return f"cxrscreen biomarkers MANIFEST --out DIR{''.join(options)}"
