"""``cxrscreen screen``: radiographs in, results and a report out."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cxrscreen.cli.terminal import undisturbed_terminal
from cxrscreen.errors import CxrscreenError

if TYPE_CHECKING:
    from rich.progress import Progress

    from cxrscreen.report.record import ScreeningRecord


class Gate(Enum):
    """The gate's policies, for the command line."""

    strict = "strict"
    standard = "standard"
    off = "off"


def screen(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Radiographs: files, folders or patterns such as 'in/*.dcm'.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results; made if missing.")],
    bundle: Annotated[
        str | None, typer.Option(help="Model bundle: a name shipped with cxrscreen, or a folder. Default: cascade.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="Take the bundle that ships for this system, or check --bundle.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ask every decision, also after a normal one and of a refused image.")
    ] = False,
    gate: Annotated[
        Gate, typer.Option(help="What is refused as out of scope; off: nothing is, and every doubt is a warning.")
    ] = Gate.standard,
    triage: Annotated[
        Path | None,
        typer.Option("--triage", metavar="FILE", help="YAML policy that suggests the order of work. Default: fig9."),
    ] = None,
    no_maps: Annotated[bool, typer.Option("--no-maps", help="Leave out the heat maps; faster.")] = False,
) -> None:
    """Screen chest radiographs and write a report.

    Writes DIR/report.html, DIR/screenings.jsonl (one JSON object a file) and, for each radiograph, a folder with the
    lung mask and pictures. What an earlier run wrote is never screened, so DIR may lie among the radiographs or be
    their folder. An image that is no frontal chest radiograph of the kind the model knows is refused with a code and a
    sentence and gets no probability; --force or --gate off screens it all the same, and the result says so. Exit code:
    0 all screened, 1 some files failed, 2 nothing could be started, 3 none failed and some were refused.
    """
    from cxrscreen.batch.folders import is_earlier_result
    from cxrscreen.batch.run import check_writable, run_batch
    from cxrscreen.imaging.find import find_images
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.registry import bundle_named, load_system
    from cxrscreen.systems.triage import load_policy

    if not all(paths):
        raise CxrscreenError("A PATH is empty; name a file, a folder or a pattern.")
    chosen = bundle_named("cascade" if bundle is None and system is None else bundle, system)
    suggestions = None if triage is None else load_policy(triage)
    console = Console(stderr=True)
    found = find_images(paths)
    files = [path for path in found if not is_earlier_result(path)]
    if not any(map(os.path.isfile, files)):
        which = "Only results of an earlier run were" if len(files) < len(found) else "No image was"
        raise CxrscreenError(f"{which} found in {', '.join(map(repr, paths))}; check path, pattern and your rights.")
    check_writable(out)
    if len(files) < len(found):
        console.print(f"Left out as results of an earlier run: {len(found) - len(files)} files.")
    with undisturbed_terminal() as terminal:
        with terminal.status("Loading the model"):
            loaded = load_system(chosen)
        with _progress(terminal) as progress:
            result = run_batch(
                files,
                loaded,
                out,
                read=read,
                force=force,
                explain=not no_maps,
                policy=gate.value,
                triage=suggestions,
                on_record=_shown_on(progress, len(files)),
            )
    counts = f"{result.screened} screened, {result.refused} refused, {result.failed} failed"
    outcome = f"{counts}. Report: {escape(str(result.report))}"
    console.print(outcome, soft_wrap=True)
    if result.failed:
        raise typer.Exit(1)
    if result.refused:
        raise typer.Exit(3)


def _progress(console: Console) -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("Screening"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
    )


def _shown_on(progress: "Progress", total: int) -> Callable[["ScreeningRecord"], None]:
    from cxrscreen.report.wording import printable

    task = progress.add_task("", total=total, rate="")

    def show(record: "ScreeningRecord") -> None:
        if record.status == "failed":
            progress.console.print(f"[red]failed[/red] {escape(printable(record.error or ''))}", soft_wrap=True)
        elif record.status == "refused" and record.verdict is not None:
            reasons = ", ".join(concern.code for concern in record.verdict.concerns if concern.severity == "refuse")
            line = f"[yellow]refused[/yellow] {escape(printable(Path(record.file).name))} ({reasons})"
            progress.console.print(line, soft_wrap=True)
        progress.advance(task)
        speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
        progress.update(task, rate=f"{speed:.2f} images/s" if speed else "")

    return show
