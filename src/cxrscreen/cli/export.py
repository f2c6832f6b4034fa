"""``cxrscreen export`` and ``cxrscreen import-check``: bundles for other programs."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxrscreen import RESEARCH_USE


class Kind(StrEnum):
    """Formats."""

    onnx = "onnx"
    monai = "monai"
    triton = "triton"


def export(
    bundle: Annotated[str, typer.Argument(help="Model bundle: a name shipped with cxrscreen, or a folder.")],
    *,
    kind: Annotated[
        Kind, typer.Option("--format", "-f", help="ONNX files, a MONAI Bundle, or a Triton model repository.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Write a bundle's networks for another program, with what they are, their licence and operating points.

    Every network is run beside the bundle's own on a phantom first; the differences are shown and stored. Exit code:
    0 done, 2 the bundle is not whole, the folder is not empty, or a network answers otherwise.
    """
    from cxrscreen.systems.bundle import open_bundle

    opened = open_bundle(bundle)
    record = _interchange().export_bundle(opened, kind.value, out)
    console = Console()
    console.print(_table(f"{opened.card.bundle_id} as {kind.value}", record.compared, record.tolerance))
    console.print(f"Licence: {escape(opened.card.licence)}")
    console.print(f"[bold]{RESEARCH_USE}[/bold]")
    Console(stderr=True).print(f"Written to {escape(str(out))}", soft_wrap=True, highlight=False)


def import_check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that cxrscreen export wrote.")],
    *,
    bundle: Annotated[
        str | None, typer.Option("--bundle", metavar="BUNDLE", help="The bundle it came from, if that does not ship.")
    ] = None,
) -> None:
    """Read an exported folder back and compare it with its bundle: files, descriptions, and answers on a phantom.

    Exit code: 0 it is the bundle, 2 it is not, and why.
    """
    from cxrscreen.systems.bundle import open_bundle

    record, compared = _interchange().check_export(folder, None if bundle is None else open_bundle(bundle))
    console = Console()
    console.print(_table(f"{folder.name} beside {record.bundle}", compared, record.tolerance))
    named = f"{escape(folder.name)} is {escape(record.bundle)}"
    console.print(f"{named}: {len(record.files)} files, {len(compared)} networks.")
    console.print(f"[bold]{RESEARCH_USE}[/bold]")


def _interchange() -> Any:
    """The module that exports; ONNX, which it needs, comes with an extra."""
    from importlib import import_module

    from cxrscreen.errors import BundleError

    try:
        return import_module("cxrscreen.systems.interchange.export")
    except ModuleNotFoundError as fault:
        raise BundleError(
            f"Exports need {fault.name}, which is not installed: install cxrscreen[interchange]."
        ) from fault


def _table(title: str, compared: Mapping[str, Mapping[str, Any]], tolerance: float) -> Table:
    table = Table(title=escape(title), caption=f"On a phantom; allowed is {tolerance:g} of the largest value, or of 1.")
    for heading in ("Network", "Output", "Largest difference", "Largest value"):
        table.add_column(heading, overflow="fold")
    for network, outputs in compared.items():
        for output, each in outputs.items():
            table.add_row(network, output, f"{each.largest:.1e}", f"{each.scale:.3g}")
    return table
