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

from cxrscreen.cli.screening_progress import advanced, screening_progress
from cxrscreen.cli.terminal import undisturbed_terminal
from cxrscreen.errors import CxrscreenError

if TYPE_CHECKING:
    from rich.progress import Progress

    from cxrscreen.report.record import ScreeningRecord
    from cxrscreen.runtime.engine import Precision as Arithmetic


class Pictures(Enum):
    """What is left of each radiograph, for the command line."""

    full = "full"
    small = "small"
    none = "none"


class Backend(Enum):
    """The engines, for the command line."""

    openvino = "openvino"
    onnxruntime = "onnxruntime"
    torch = "torch"


class Precision(Enum):
    """The engines' arithmetic, for the command line."""

    f32 = "f32"
    bf16 = "bf16"
    int8 = "int8"


class Place(Enum):
    """Where a batch is done, for the command line."""

    here = "here"
    ray = "ray"


class Gate(Enum):
    """The gate's policies, for the command line."""

    strict = "strict"
    standard = "standard"
    off = "off"


GatePolicy = Annotated[
    Gate, typer.Option(help="What is refused as out of scope; off: nothing is, and every doubt is a warning.")
]


def screen(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Radiographs: files, folders or patterns such as 'in/*.dcm'. With --on ray also a manifest, s3://..., "
            "gs://..., az://..., dicomweb+https://...",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results; made if missing.")],
    bundle: Annotated[
        str | None, typer.Option(help="Model bundle: a name shipped with cxrscreen, or a folder. Default: cascade.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="Take the bundle that ships for this system, or check --bundle.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ask every decision, also after a normal one and of a refused image.")
    ] = False,
    gate: GatePolicy = Gate.standard,
    triage: Annotated[
        Path | None,
        typer.Option("--triage", metavar="FILE", help="YAML policy that suggests the order of work. Default: fig9."),
    ] = None,
    no_maps: Annotated[bool, typer.Option("--no-maps", help="Leave out the heat maps; faster.")] = False,
    pictures: Annotated[
        Pictures | None,
        typer.Option(
            help="Of each radiograph: full pictures, small ones (much faster), or none. Default: full; on Ray none."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run into DIR was stopped; what it finished stays.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Radiographs at the same time. Default: one for each core."),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="MIB",
            help="Memory for the radiographs at work; program and networks come on top. On Ray: what a node must have "
            "free for each worker, with everything.",
        ),
    ] = None,
    engine: Annotated[
        Backend, typer.Option(help="What runs the networks; the last two need cxrscreen[runtime] and cxrscreen[train].")
    ] = Backend.openvino,
    precision: Annotated[
        Precision | None, typer.Option(help="Arithmetic of the networks. Default: what the model's card chose.")
    ] = None,
    place: Annotated[
        Place,
        typer.Option(
            "--on",
            help="Where the batch is done: on this machine, or on a Ray cluster with Parquet results "
            "(cxrscreen[ray]). What computes the networks is --engine.",
        ),
    ] = Place.here,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="With --on ray: a running cluster. Default: one of this machine alone."),
    ] = None,
    shard: Annotated[
        int | None,
        typer.Option(min=1, metavar="FILES", help="With --on ray: files handed out and written together."),
    ] = None,
) -> None:
    """Screen chest radiographs and write a report.

    Writes DIR/report.html, DIR/screenings.jsonl (one JSON object a file) and, for each radiograph, a folder with the
    lung mask and pictures. What an earlier run wrote is never screened, so DIR may lie among the radiographs or be
    their folder. An image that is no frontal chest radiograph of the kind the model knows is refused with a code and a
    sentence and gets no probability; --force or --gate off screens it all the same, and the result says so. A run that
    was stopped goes on with --resume and the same options: what it finished is not screened again. Exit code: 0 all
    screened, 1 some files failed, 2 nothing could be started, 3 none failed and some were refused.
    """
    from cxrscreen.batch.cores import available_cores, calm_libraries
    from cxrscreen.batch.run import Options, check_writable, run_batch
    from cxrscreen.imaging.read import read
    from cxrscreen.runtime.engine import EngineSettings
    from cxrscreen.systems.registry import bundle_named, load_system
    from cxrscreen.systems.triage import load_policy

    if not all(paths):
        raise CxrscreenError("A PATH is empty; name a file, a folder or a pattern.")
    chosen = bundle_named("cascade" if bundle is None and system is None else bundle, system)
    suggestions = None if triage is None else load_policy(triage)
    arithmetic: Arithmetic | None = None if precision is None else precision.value
    engine_words = f"{engine.value} {arithmetic or 'card'}"
    if place is Place.ray:
        from cxrscreen.cli.screen_on_ray import Cluster, screen_on_ray

        wanted = pictures or Pictures.none
        screen_on_ray(
            paths,
            out,
            bundle=chosen,
            engine=EngineSettings(engine.value, arithmetic, threads=1),
            # Nothing of a radiograph is kept that maps would be drawn on.
            options=Options(force, not no_maps and wanted is not Pictures.none, gate.value, wanted.value, engine_words),
            triage=suggestions,
            cluster=Cluster(address, jobs, None if memory is None else memory * 2**20, shard),
            resume=resume,
        )
        return
    _only_on_ray(paths, out, address, shard)
    folder = Path(out)
    console = Console(stderr=True)
    files = radiographs_in(paths, console)
    check_writable(folder)
    cores = available_cores()
    at_once = min(cores if jobs is None else jobs, len(files))
    settings = EngineSettings(engine.value, arithmetic, max(1, cores // at_once), at_once)
    options = Options(force, not no_maps, gate.value, (pictures or Pictures.full).value, engine_words)
    with undisturbed_terminal() as terminal:
        with terminal.status("Loading the model"):
            loaded = load_system(chosen, engine=settings)
        with screening_progress(terminal) as progress, calm_libraries(at_once):
            kept, shown = _shown_on(progress, len(files))
            result = run_batch(
                files,
                loaded,
                folder,
                read=read,
                options=options,
                triage=suggestions,
                jobs=at_once,
                memory=None if memory is None else memory * 2**20,
                resume=resume,
                on_kept=kept,
                on_record=shown,
            )
    counts = f"{result.screened} screened, {result.refused} refused, {result.failed} failed"
    outcome = f"{counts}. Report: {escape(str(result.report))}"
    console.print(outcome, soft_wrap=True)
    if result.failed:
        raise typer.Exit(1)
    if result.refused:
        raise typer.Exit(3)


def radiographs_in(paths: list[str], console: Console) -> list[Path]:
    """List the files to screen, without what an earlier run wrote, of which the console is told the number.

    Raises
    ------
    CxrscreenError
        If there is none.
    """
    from cxrscreen.batch.folders import is_earlier_result
    from cxrscreen.imaging.find import find_images

    found = find_images(paths)
    files = [path for path in found if not is_earlier_result(path)]
    if not any(map(os.path.isfile, files)):
        which = "Only results of an earlier run were" if len(files) < len(found) else "No image was"
        raise CxrscreenError(f"{which} found in {', '.join(map(repr, paths))}; check path, pattern and your rights.")
    if len(files) < len(found):
        console.print(f"Left out as results of an earlier run: {len(found) - len(files)} files.")
    return files


def _only_on_ray(paths: list[str], out: str, address: str | None, shard: int | None) -> None:
    if address is not None or shard is not None:
        raise CxrscreenError("--address and --shard are for batches on Ray: add --on ray.")
    far = next((path for path in (*paths, out) if "://" in path), None)
    if far is not None:
        raise CxrscreenError(f"{far.split('://')[0]}:// is read and written by batches on Ray: add --on ray.")


def _shown_on(progress: "Progress", total: int) -> tuple[Callable[[int], None], Callable[["ScreeningRecord"], None]]:
    """What to tell the bar: how many were finished before, and each new record."""
    from cxrscreen.report.wording import printable

    task = progress.add_task("Screening", total=total, rate="")

    def kept(count: int) -> None:
        if count:
            progress.console.print(f"Finished by an earlier run: {count} of {total} files.", soft_wrap=True)
        # Speed and time left are those of what is still to do.
        progress.reset(task, total=total - count, rate="")

    def show(record: "ScreeningRecord") -> None:
        if record.status == "failed":
            progress.console.print(f"[red]failed[/red] {escape(printable(record.error or ''))}", soft_wrap=True)
        elif record.status == "refused" and record.verdict is not None:
            reasons = ", ".join(concern.code for concern in record.verdict.concerns if concern.severity == "refuse")
            line = f"[yellow]refused[/yellow] {escape(printable(Path(record.file).name))} ({reasons})"
            progress.console.print(line, soft_wrap=True)
        advanced(progress, task)

    return kept, show
