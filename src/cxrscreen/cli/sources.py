"""``cxrscreen sources``: public data sets, how to fetch them, and from their publishers' files to a manifest."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxrscreen import RESEARCH_USE

if TYPE_CHECKING:
    from cxrscreen.data.public_sources import Outcome

sources = typer.Typer(
    name="sources",
    help="Public data sets: what they are, how to fetch them, and a manifest from their publishers' files.",
    epilog=RESEARCH_USE,
    invoke_without_command=True,
)

Out = Annotated[Path, typer.Option("--out", "-o", metavar="MANIFEST.csv", help="CSV file to write.")]


@sources.callback()
def table(context: typer.Context) -> None:
    """List the public data sets; nothing is downloaded by any of these commands."""
    if context.invoked_subcommand is not None:
        return
    from cxrscreen.data.public_sources import SOURCES

    listed = Table(caption=RESEARCH_USE, caption_justify="left")
    for heading in ("name", "title", "size", "terms"):
        listed.add_column(heading, no_wrap=heading == "name")
    for source in SOURCES.values():
        listed.add_row(*(escape(text) for text in (source.name, source.title, source.size, source.terms)))
    Console().print(listed)
    Console().print("How to get one, and what is wrong with it: cxrscreen sources show NAME", highlight=False)


@sources.command(epilog=RESEARCH_USE)
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="As cxrscreen sources lists it.")]) -> None:
    """Tell how to fetch a data set, how its labels are read, and what is known to be wrong with it."""
    from cxrscreen.data.public_sources import source_named

    source = source_named(name)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(source.title)}[/bold] ({source.name})")
    for heading, text in (
        ("Home page", source.home),
        ("Terms", source.terms),
        ("Citation", source.citation),
        ("Size", source.size),
        ("Checksums", source.checksums),
    ):
        console.print(f"[bold]{heading}[/bold]: {escape(text)}")
    for heading, lines in (
        ("To fetch it", source.fetch),
        ("Files expected", source.layout),
        ("Labels", source.labels),
        ("Known faults", source.faults),
    ):
        console.print(f"[bold]{heading}[/bold]")
        for line in lines:
            console.print(f"  - {escape(line)}")
    console.print(f"Then: cxrscreen sources manifest {source.name} FOLDER --out {source.name}.csv --verify")
    console.print(RESEARCH_USE)


@sources.command(epilog=RESEARCH_USE)
def manifest(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As cxrscreen sources lists it.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the data set was unpacked, unchanged.")],
    *,
    out: Out,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every image; what cannot be read is left out and counted.")
    ] = False,
) -> None:
    """Write a manifest of a data set that lies as its publisher ships it.

    Labels are the publisher's, and unknown where the publisher says nothing. Masks and converted images go to folders
    beside the manifest, boxes to boxes.csv.
    """
    from cxrscreen.data.public_sources import build_manifest

    console = Console(stderr=True)
    with console.status(f"Reading {escape(name)}") as status:
        outcome = build_manifest(
            name,
            folder,
            out,
            verify=verify,
            progress=lambda done, total: status.update(f"Reading images: {done} of {total}"),
        )
    for line in _told(outcome):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(f"Written to {out}. {RESEARCH_USE}", highlight=False, soft_wrap=True, markup=False)


@sources.command(epilog=RESEARCH_USE)
def join(
    manifests: Annotated[list[Path], typer.Argument(metavar="A.csv B.csv ...", help="Two manifests or more.")],
    *,
    out: Out,
    prefix: Annotated[
        bool,
        typer.Option(
            "--prefix",
            help="Put the file's name before every image id, where ids are the same. Rows of one source and one id are "
            "taken for one image.",
        ),
    ] = False,
) -> None:
    """Join manifests into one, its paths rebased on its folder.

    Copies that publishers' names tell (COVIDx of Cohen's images, RSNA of NIH's), and rows of one source and one id,
    lead to the image in the manifest named first by duplicate_of. Other copies are not found by this: search for
    near-duplicates too.
    """
    from cxrscreen.data.public_sources import join_manifests

    joined = join_manifests(manifests, out, prefix=prefix)
    parts = " + ".join(str(count) for count in joined.images)
    boxes = f", {joined.boxes} boxes" if joined.boxes else ""
    Console(stderr=True).print(
        f"{sum(joined.images)} images ({parts}), {joined.copies} linked as copies{boxes}. "
        f"Written to {out}. Copies without a telling name are not found by this. {RESEARCH_USE}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


def _told(outcome: "Outcome") -> list[str]:
    counts = ", ".join(f"{count} {label}" for label, count in outcome.labels.items())
    lines = [f"{outcome.source}: {outcome.images} images: {counts}."]
    people = f"{outcome.patients} patients"
    if outcome.without_patient:
        people += (
            f"; the patients of {outcome.without_patient} images are unknown, so that no split can part them safely"
        )
    lines.append(f"{people}; {outcome.boxes} boxes.")
    if outcome.left_out:
        left = "; ".join(f"{count} {reason}" for reason, count in outcome.left_out.items())
        lines.append(f"Left out {sum(outcome.left_out.values())}: {left}.")
    else:
        lines.append("Nothing was left out.")
    return [*lines, *outcome.remarks]
