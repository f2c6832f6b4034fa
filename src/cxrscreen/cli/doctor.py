"""``cxrscreen doctor``: what this install can decode and what it runs on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import typer
from rich.console import Console
from rich.table import Table

from cxrscreen import __version__

_STYLES: dict[str, str] = {
    "decodes": "green",
    "plugin present": "yellow",
    "fails": "bold red",
    "missing": "bold red",
}


def doctor() -> None:
    """List what this install can decode and what it runs on.

    Exit code 1 if a picture format or DICOM transfer syntax that cxrscreen promises to read cannot be read here.
    """
    from cxrscreen.imaging.decoders import decodable  # noqa: PLC0415 - so that --help is quick

    console = Console()
    console.print(_machine_table())
    rows = decodable()
    table = Table(title="Images")
    for heading in ("Format or transfer syntax", "UID", "Decoders", "Here"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        optional = "" if row.required else " (not promised)"
        here = f"[{_STYLES[row.check]}]{row.check}[/]{optional}"
        table.add_row(row.name, row.uid or "-", ", ".join(row.decoders) or "none", here)
    console.print(table)
    broken = [row.name for row in rows if row.required and not row.works]
    if broken:
        console.print(
            f"[bold red]Cannot be read here: {', '.join(broken)}.[/] Install cxrscreen again with its decoders."
        )
        raise typer.Exit(1)
    console.print("Everything that cxrscreen promises to read can be read here.")


def _machine_table() -> Table:
    table = Table(title="Machine", show_header=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for name, value in (
        ("cxrscreen", __version__),
        ("Python", platform.python_version()),
        ("OpenVINO", _version("openvino")),
        ("pydicom", _version("pydicom")),
        ("System", f"{platform.system()} {platform.machine()}"),
        ("Cores", str(cores)),
        ("Memory", _memory()),
    ):
        table.add_row(name, value)
    return table


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return "unknown"
    return f"{total / 2**30:.1f} GiB"
