"""``cxrscreen dicom``: radiographs in from the hospital's network, results out to its archive."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick, and the libraries are an extra

import os
import re
import signal
import threading
from enum import StrEnum
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.screen import Gate, radiographs_in
from cxrscreen.cli.terminal import undisturbed_terminal
from cxrscreen.errors import CxrscreenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cxrscreen.dicom_node.listen import Screened
    from cxrscreen.dicom_node.settings import NodeSettings, Peer
    from cxrscreen.report.record import ScreeningRecord

PEER_HELP = "AETITLE@HOST:PORT of the peer."
dicom = typer.Typer(
    name="dicom",
    help="The hospital's network: echo, send, listen, and results as DICOM files.",
    epilog=RESEARCH_USE,
    no_args_is_help=True,
)
Aet = Annotated[str, typer.Option("--aet", metavar="TITLE", help="The title of this side.")]
Bundle = Annotated[str | None, typer.Option(help="Model bundle: a shipped name, or a folder. Default: cascade.")]
SystemName = Annotated[str | None, typer.Option("--system", help="Take the bundle that ships for this system.")]
GatePolicy = Annotated[Gate, typer.Option(help="What is refused as out of scope.")]


class Deidentify(StrEnum):
    """What is taken out of images as they arrive; as the server's setting of the same name."""

    off = "off"
    basic = "basic"
    basic_keep_intervals = "basic_keep_intervals"


@dicom.command(epilog=RESEARCH_USE)
def echo(
    peer: Annotated[str, typer.Argument(metavar="PEER", help=PEER_HELP)],
    aet: Aet = "CXRSCREEN",
) -> None:
    """Ask a peer whether it is there (C-ECHO)."""
    _needs_libraries()
    from cxrscreen.dicom_node import scu

    asked = parse_peer(peer)
    scu.echo(aet, asked)
    Console(stderr=True).print(f"{escape(asked.ae_title)} answers.", highlight=False)


@dicom.command(epilog=RESEARCH_USE)
def send(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="DICOM files, or folders of them.")],
    to: Annotated[str, typer.Option("--to", metavar="PEER", help=PEER_HELP)],
    aet: Aet = "CXRSCREEN",
) -> None:
    """Send DICOM files to a peer, as they are (C-STORE). Exit code 1 where one was not stored."""
    _needs_libraries()
    from cxrscreen.dicom_node import scu
    from cxrscreen.report.wording import shown_name

    console = Console(stderr=True)
    files = [file for path in paths for file in (sorted(path.rglob("*.dcm")) if path.is_dir() else [path])]
    if not files:
        raise CxrscreenError("No file was found to send; name DICOM files, or folders with *.dcm in them.")
    stored = 0
    for delivery in scu.send(aet, parse_peer(to), files):
        stored += delivery.outcome == "stored"
        if delivery.outcome != "stored":
            console.print(f"[red]not stored[/red] {escape(shown_name(delivery.path))}: {escape(delivery.reason)}")
    console.print(f"{stored} of {len(files)} stored.", highlight=False)
    if stored < len(files):
        raise typer.Exit(1)


@dicom.command(epilog=RESEARCH_USE)
def write(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Radiographs: files, folders or patterns.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results; made if missing.")],
    bundle: Bundle = None,
    system: SystemName = None,
    gate: GatePolicy = Gate.standard,
) -> None:
    """Screen radiographs and write the results as DICOM and FHIR: SR, SEG, parametric map, secondary captures.

    Writes a folder for each image in DIR; the same image and bundle give the same UIDs, and a second run writes over
    the first. What an earlier run wrote is never screened. Exit code 1 where one failed.
    """
    _needs_libraries()
    from cxrscreen.batch.folders import FolderNames
    from cxrscreen.dicom_node.screening import screen_with
    from cxrscreen.report.wording import shown_name, without_folders
    from cxrscreen.systems.registry import bundle_named, load_system

    files = radiographs_in(paths, Console(stderr=True))
    failed = 0
    names = FolderNames(out)
    with undisturbed_terminal() as console:
        with console.status("Loading the model"):
            loaded = load_system(bundle_named("cascade" if bundle is None and system is None else bundle, system))
        screen = screen_with(loaded, policy=gate.value)
        for path in files:
            folder = out / names.give(path)
            try:
                found = screen(path)
                written = _write_results(folder, found)
            except CxrscreenError as error:
                failed += 1
                console.print(f"[red]failed[/red] {escape(without_folders(str(error), path))}", soft_wrap=True)
                continue
            console.print(f"{escape(shown_name(path))}: {written} objects ({found.screening.status})")
    if failed:
        raise typer.Exit(1)


def _write_results(folder: Path, found: "Screened") -> int:
    """Write what one screening becomes and return the number of DICOM objects; none of an earlier run is left."""
    import json

    from cxrscreen.batch.folders import FHIR_FILE, remove_stale_objects
    from cxrscreen.report.dicom.objects import dicom_objects, ratio_of, write_objects
    from cxrscreen.report.fhir import screening_bundle, taken_at
    from cxrscreen.report.folder import not_written

    objects = dicom_objects(found.screening, found.radiograph)
    written = write_objects(folder, objects)
    report = screening_bundle(
        found.screening,
        study_uid=str(objects.report.StudyInstanceUID),
        image_uid=found.radiograph.provenance.sop_instance_uid or "",
        taken=taken_at(found.radiograph),
        cardiothoracic_ratio=ratio_of(found.screening),
    )
    try:
        remove_stale_objects(folder, written)
        (folder / FHIR_FILE).write_text(json.dumps(report), encoding="utf-8")
    except OSError as error:
        raise not_written(folder, error) from error
    return len(written)


@dicom.command(epilog=RESEARCH_USE)
def listen(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for what comes and for results.")],
    screen: Annotated[bool, typer.Option("--screen", help="Screen what comes; else it is received and kept.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="YAML settings; the other options replace its own.")
    ] = None,
    aet: Annotated[str | None, typer.Option("--aet", metavar="TITLE", help="The node's title.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: this machine alone.")] = None,
    port: Annotated[int | None, typer.Option(help="Port. Default: 11112.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", metavar="TITLE[@NETWORK]", help="Who may send; may be repeated.")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="PEER", help="AETITLE@HOST:PORT to send results to; may be repeated."),
    ] = None,
    quiet: Annotated[
        float | None, typer.Option("--quiet", metavar="SECONDS", help="Silence after which a study is complete.")
    ] = None,
    deidentify: Annotated[
        Deidentify,
        typer.Option(help="Take names and numbers out of what comes; the key is CXRSCREEN_PSEUDONYM_KEY."),
    ] = Deidentify.off,
    bundle: Bundle = None,
    system: SystemName = None,
    gate: GatePolicy = Gate.standard,
) -> None:
    """Receive radiographs (C-STORE), screen them, and send the results on, until interrupted.

    DIR/received holds what was acknowledged and waits, DIR/screened what has a result, DIR/set-aside what could not be
    screened, with the reason; DIR/results the results and DIR/outbox what is on its way. Nothing acknowledged is lost
    when the process is killed: start it again on the same DIR.
    """
    _needs_libraries()
    from cxrscreen.dicom_node.listen import listen as run
    from cxrscreen.dicom_node.screening import screen_with
    from cxrscreen.systems.registry import bundle_named, load_system

    settings = _settings(config, aet=aet, host=host, port=port, allow=allow, to=to, study_quiet_seconds=quiet)
    without_names = _deidentifier(deidentify)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with undisturbed_terminal() as console:
        loaded = None
        if screen:
            with console.status("Loading the model"):
                loaded = load_system(bundle_named("cascade" if bundle is None and system is None else bundle, system))

        def started(number: int) -> None:
            console.print(f"{escape(settings.ae_title)} listens on {settings.host} port {number}.", highlight=False)

        def show(record: "ScreeningRecord") -> None:
            reason = f": {escape(record.error or '')}" if record.status == "failed" else ""
            console.print(f"{record.status} {escape(record.file)}{reason}", soft_wrap=True, highlight=False)

        def warn(sentence: str) -> None:
            console.print(f"[yellow]{escape(sentence)}[/yellow]", soft_wrap=True, highlight=False)

        asked = None if loaded is None else screen_with(loaded, policy=gate.value)
        run(settings, out, asked, stop, started=started, on_record=show, deidentify=without_names, warn=warn)
        console.print("Stopped.")


def parse_peer(text: str) -> "Peer":
    """Read ``AETITLE@HOST:PORT``.

    Raises
    ------
    CxrscreenError
        If it is not of this form.
    """
    from pydantic import ValidationError

    from cxrscreen.dicom_node.settings import Peer

    found = re.fullmatch(r"(?P<title>[^@]+)@(?P<host>\[[^\]]+\]|[^:\[\]]+):(?P<port>\d+)", text)
    try:
        if found is None:
            raise ValueError
        host = found["host"].strip("[]")
        name = re.sub(r"[^A-Za-z0-9_-]", "-", f"{found['title']}-{host}-{found['port']}")[-32:]
        return Peer(name=name, ae_title=found["title"], host=host, port=int(found["port"]))
    except (ValidationError, ValueError) as error:
        raise CxrscreenError(
            f"{text!r} names no peer; write AETITLE@HOST:PORT, for example PACS@10.0.0.5:104."
        ) from error


def _settings(config: Path | None, *, allow: list[str] | None, to: list[str] | None, **given: Any) -> "NodeSettings":
    from cxrscreen.dicom_node.settings import NodeSettings, checked_settings, load_settings

    base = NodeSettings() if config is None else load_settings(config)
    changed = {("ae_title" if name == "aet" else name): value for name, value in given.items() if value is not None}
    if allow:
        pairs = (entry.partition("@") for entry in allow)
        changed["callers"] = [
            {"ae_title": title, "networks": [network] if network else []} for title, _, network in pairs
        ]
    if to:
        changed["peers"] = [parse_peer(peer) for peer in to]
    name = "of the command line" if config is None else config.name
    # Fields, not their JSON form, so that paths and peers stay what they are.
    return checked_settings(name, **{**{key: getattr(base, key) for key in NodeSettings.model_fields}, **changed})


def _deidentifier(wanted: Deidentify) -> "Callable[[bytes], bytes] | None":
    if wanted is Deidentify.off:
        return None
    if not _is_there("dicomanonymizer"):
        raise CxrscreenError(
            "The library dicom-anonymizer is missing; install cxrscreen with its extra: cxrscreen[service]."
        )
    from cxrscreen.service.security.deidentify import Deidentifier

    key = os.environ.get("CXRSCREEN_PSEUDONYM_KEY", "")
    if len(key) < 32:
        raise CxrscreenError("Set CXRSCREEN_PSEUDONYM_KEY to 32 characters or more, the key of the pseudonyms.")
    deidentifier = Deidentifier(key.encode(), wanted is Deidentify.basic_keep_intervals)
    return lambda content: deidentifier.file(BytesIO(content), is_dicom=True).read()


def _needs_libraries() -> None:
    missing = [name for name in ("pynetdicom", "highdicom", "fhir.resources") if not _is_there(name)]
    if missing:
        raise CxrscreenError(
            f"The library {missing[0]} is not installed; install cxrscreen with its extra: cxrscreen[dicom]."
        )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
