"""``cxrscreen compare-audits``: two bundles on the same images, side by side."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape


def compare_audits(
    before: Annotated[Path, typer.Argument(help="Folder that cxrscreen audit wrote for the first bundle.")],
    after: Annotated[Path, typer.Argument(help="The same for the second bundle, on the same images.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for the page.")] = Path("docs/results"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    replicates: Annotated[int, typer.Option("--replicates", min=100, help="Bootstrap resamples.")] = 2000,
) -> None:
    """Set the audits of two bundles side by side: figures, paired changes, and which goals the second one holds.

    Writes OUT/audit-comparison.md and .json.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.evaluate.audit.compare import compare_audits as compare
    from cxrscreen.evaluate.audit.compare_page import write_comparison

    check_writable(out)
    comparison = compare(before, after, replicates=replicates, seed=seed)
    files = write_comparison(comparison, out, command="cxrscreen compare-audits BEFORE AFTER")
    page = next(file for name, file in files.items() if name.endswith(".md"))
    Console().print(Markdown(page.read_text(encoding="utf-8")))
    Console(stderr=True).print(f"Written to {escape(str(out))}: {', '.join(files)}.", soft_wrap=True, highlight=False)
