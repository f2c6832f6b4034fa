"""``cxrscreen audit``: ask a bundle what it knows besides the disease."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.evaluate import Sources
from cxrscreen.progress import Bars


def audit(
    bundle: Annotated[
        str | None, typer.Argument(help="Model bundle: a name shipped with cxrscreen, or a folder.")
    ] = None,
    *,
    system: Annotated[
        str | None, typer.Option("--system", help="Take the bundle that ships for this system, or check BUNDLE.")
    ] = None,
    manifest: Annotated[Path, typer.Option("--manifest", help="CSV of the images, or the folder that holds it.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for audit.html, audit.json, scores.csv and figures.")],
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol", help="The decision to audit, by its protocol; may be repeated. Default: every decision."
        ),
    ] = None,
    source: Sources = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Run this audit alone; may be given several times.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take only this many images of each part (a trial).")
    ] = None,
    train_controls: Annotated[
        bool,
        typer.Option(
            "--train-controls",
            help="Also train small networks without lungs, on masks, shuffled labels, ... (an hour).",
        ),
    ] = False,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder that keeps reduced images for the next --train-controls.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the split and of every draw.")] = 0,
    replicates: Annotated[int, typer.Option("--replicates", min=100, help="Bootstrap resamples.")] = 2000,
) -> None:
    """Audit a bundle: black lungs, lungs only, borders, burned-in marks and more, on one page with what failed.

    Writes DIR/audit.html, DIR/audit.json, DIR/scores*.csv and DIR/figures. Exit code: 0 all asked audits have an answer
    (passed or failed, see the page), 1 some could not be run, 2 nothing could be started.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.evaluate.audit.report import write_audit
    from cxrscreen.evaluate.audit.run import audit_data, named_audits, protocols_of, run_audits
    from cxrscreen.evaluate.audit.wording import VERDICTS
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.bundle import open_bundle
    from cxrscreen.systems.registry import bundle_named, load_system

    console, errors = Console(), Console(stderr=True)
    audits = named_audits(only or [], controls=train_controls)
    chosen = bundle_named(bundle, system)
    opened, images = open_bundle(chosen), load_manifest(manifest)
    check_writable(out)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=errors) as progress:
        task = progress.add_task("starting", total=None)
        data = audit_data(
            load_system(chosen),
            opened,
            images,
            read,
            protocols_of(opened, protocol or ()),
            seed=seed,
            replicates=replicates,
            sources=tuple(source or ()),
            limit=limit,
            advance=lambda text: progress.update(task, description=escape(text)),
            cache=cache,
        )
        parts, stopped = run_audits(data, audits)
        write_audit(out, data, parts)
    table = Table("Audit", "Verdict", "Finding")
    for part in parts:
        table.add_row(escape(part.title), VERDICTS[part.passed], escape(part.finding))
    console.print(table)
    console.print(RESEARCH_USE, highlight=False, soft_wrap=True)
    errors.print(
        f"Written to {escape(str(out))}: audit.html, audit.json, scores.csv, figures", soft_wrap=True, highlight=False
    )
    if stopped:
        errors.print(f"Could not be run: {', '.join(stopped)}.", highlight=False)
        raise typer.Exit(1)
