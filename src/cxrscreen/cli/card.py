"""``cxrscreen card``: a bundle's card, to be read."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape


def card(
    bundle: Annotated[str, typer.Argument(help="Model bundle: a name shipped with cxrscreen, or a folder.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write a page instead: FILE.html or FILE.md.")
    ] = None,
    copy: Annotated[
        Path | None,
        typer.Option(
            "--copy", metavar="DIR", help="Copy the bundle to this new folder first, to have a card of one's own."
        ),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(
            "--audit", metavar="DIR", help="Write the findings of this audit of the bundle into its card first."
        ),
    ] = None,
) -> None:
    """Show what a bundle is, for what it is meant, how it was measured and where its limits are.

    In the terminal, or as a self-contained page with recipe and file hashes too. The bundle's files are checked against
    the card first. Exit code: 0 done, 2 the bundle is not whole or the page cannot be written.
    """
    import shutil

    from cxrscreen.errors import CxrscreenError
    from cxrscreen.report.card_page import card_markdown, write_card_page
    from cxrscreen.systems.bundle import check_out, open_bundle

    opened = open_bundle(bundle)
    if copy is not None:
        check_out(copy)
        try:
            opened = open_bundle(shutil.copytree(opened.folder, copy, dirs_exist_ok=True))
        except OSError as error:
            raise CxrscreenError(f"{copy.name} cannot be written: give a folder that can.") from error
    if audit is not None:
        from cxrscreen.evaluate.audit.record import record_audit

        opened = record_audit(opened, audit)
    if out is None:
        console = Console()
        console.print(Markdown(card_markdown(opened, folded=False)))
        console.print("Recipe and file hashes are in the page that --out writes.", style="dim")
        return
    write_card_page(opened, out)
    Console(stderr=True).print(f"Written to {escape(str(out))}", soft_wrap=True, highlight=False)
