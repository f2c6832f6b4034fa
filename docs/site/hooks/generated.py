"""Pages and pictures that are made of the source when the site is built, so that they cannot drift from it."""

import ast
import io
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from mkdocs.structure.files import File, Files

from cxrscreen.report.card_page import card_markdown
from cxrscreen.systems.bundle import open_bundle, shipped_bundles

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "cxrscreen"
WITH_TORCH = frozenset({"nets", "train"})


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add what is made."""
    for uri, content in {**reference_pages(), **card_pages(), "figures/rooms.svg": rooms_picture()}.items():
        files.append(File.generated(config, uri, content=content))
    return files


def rooms() -> list[str]:
    """The rooms from the top down, as the contract of import-linter lists them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [layer.removeprefix("cxrscreen.") for layer in layers]


def reference_pages() -> dict[str, str]:
    """A page a room, with the modules that say something public of themselves, and a page that lists the rooms."""
    pages, listed = {}, []
    for room in rooms():
        modules = list(_modules(PACKAGE / room if (PACKAGE / room).is_dir() else PACKAGE / f"{room}.py"))
        options = "    options:\n      show_root_toc_entry: true\n"
        blocks = "\n\n".join(f"::: {module}\n{options}" for module in modules)
        pages[f"reference/{room}.md"] = f"# {room}\n\n{blocks}\n"
        listed.append(f"- [`cxrscreen.{room}`]({room}.md): {len(modules)} modules")
    pages["reference/index.md"] = (
        "# API reference\n\nThe public names of every room, from the top down, out of the docstrings. A room imports "
        "only rooms below it: [architecture](../architecture.md). Names that begin with an underscore are private.\n\n"
        + "\n".join(listed)
        + "\n"
    )
    return pages


def card_pages() -> dict[str, str]:
    """The card of every shipped bundle, as `cxrscreen card` writes it, and a page that lists them."""
    pages, listed = {}, []
    for name in sorted(shipped_bundles()):
        bundle = open_bundle(name)
        pages[f"cards/{name}.md"] = card_markdown(bundle, folded=False)
        listed.append(f"- [{bundle.card.bundle_id}]({name}.md): {bundle.card.summary}")
    pages["cards/index.md"] = (
        "# Model cards\n\nEvery bundle that ships says of itself what it is, for what it is meant, how it was measured "
        "and where its limits are. These pages are what `cxrscreen card NAME` shows; `--out card.html` writes it "
        "with the recipe and the digests of all files.\n\n" + "\n".join(listed) + "\n"
    )
    return pages


def rooms_picture() -> bytes:
    """The rooms as a tower, those with torch in another colour; SVG with its text as text."""
    names = rooms()
    figure = Figure(figsize=(4.6, 0.44 * len(names) + 0.5))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 8.2), ylim=(-0.9, len(names)))
    axes.set_axis_off()
    for place, name in enumerate(names):
        low = len(names) - 1 - place
        torch = name in WITH_TORCH
        colour, line = ("#fde7d3", "#D55E00") if torch else ("#dcebf5", "#0072B2")
        axes.add_patch(FancyBboxPatch((0.3, low + 0.12), 6.4, 0.7, "round,pad=0.06", facecolor=colour, edgecolor=line))
        axes.text(0.6, low + 0.47, name, va="center", fontsize=11, family="monospace", color="#111111")
        source = PACKAGE / name
        count = len(list(source.rglob("*.py"))) if source.is_dir() else 1
        axes.text(
            6.5,
            low + 0.47,
            f"{count} {'file' if count == 1 else 'files'}",
            va="center",
            ha="right",
            fontsize=8.5,
            color="#555555",
        )
    axes.annotate(
        "", xy=(7.35, 0.2), xytext=(7.35, len(names) - 0.2), arrowprops={"arrowstyle": "-|>", "color": "#444444"}
    )
    axes.text(7.9, len(names) / 2, "imports go down, never up", va="center", ha="center", rotation=270, fontsize=10)
    axes.text(0.3, -0.5, "Orange: works with torch. All others run without it,", fontsize=8.5, color="#555555")
    axes.text(0.3, -0.8, "but for files that are for training or export.", fontsize=8.5, color="#555555")
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "cxrscreen", "svg.fonttype": "none"}):
        figure.savefig(
            buffer, format="svg", metadata={"Date": None, "Title": "The rooms of cxrscreen, from the top down"}
        )
    return buffer.getvalue()


def _modules(place: Path) -> Iterator[str]:
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    for file in files:
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        if not any(part.startswith("_") or part in {"migrations", "templates"} for part in parts) and _speaks(file):
            yield ".".join(parts)


def _speaks(file: Path) -> bool:
    """Whether a file defines a public name with a docstring."""
    return any(
        isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_") and ast.get_docstring(node)
        for node in ast.parse(file.read_text(encoding="utf-8")).body
    )
