"""``cxrscreen phantoms``: synthetic radiographs to try the program on."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape


def phantoms(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the phantoms; made if missing.")],
    count: Annotated[int, typer.Option("--count", "-n", help="Number of images, 1 or more.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed, 0 or more; the same seed gives the same files.")] = 0,
    size: Annotated[int, typer.Option(max=4096, help="Rows of an image.")] = 512,
    dicom_every: Annotated[int, typer.Option(help="Every how many images one is a DICOM file; 0 for none.")] = 4,
    examples: Annotated[
        bool, typer.Option("--examples", help="Write the six example files instead, without masks; only DIR counts.")
    ] = False,
) -> None:
    """Write synthetic chest radiographs with lung and heart masks and a manifest.

    They show no person: normal lungs, ground glass, lobar consolidation and apical lesions in turn.
    """
    from cxrscreen.data.phantoms import write_examples, write_set  # noqa: PLC0415 - so that --help is quick

    console = Console(stderr=True)
    if examples:
        files = write_examples(out)
        console.print(f"{len(files)} examples written to {escape(str(out))}.", highlight=False, soft_wrap=True)
        return
    with console.status("Drawing phantoms") as status:
        manifest = write_set(
            out,
            count,
            seed,
            size=size,
            dicom_every=dicom_every,
            progress=lambda done, total: status.update(f"Drawing phantoms: {done} of {total}"),
        )
    console.print(f"{count} phantoms written; manifest: {escape(str(manifest))}", highlight=False, soft_wrap=True)
