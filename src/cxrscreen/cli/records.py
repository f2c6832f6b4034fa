"""``cxrscreen records``: trainings, evaluations and audits that were recorded, in the terminal."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import CxrscreenError

if TYPE_CHECKING:
    from mlflow.entities import Run

SCORE = "validation_score"
NOTE = (
    "A validation score has chosen the epoch that was kept, so it says nothing of how good the result is; and figures "
    f"on different images cannot be compared. {RESEARCH_USE}"
)
HEADLINES = ("mean_within_source_auc", "pooled_auc", "auc", "accuracy", "dice")
"""Figures for one line of the list, the first that a run has in each part of its results."""

records = typer.Typer(
    name="records", help="Trainings, evaluations and audits that were recorded.", no_args_is_help=True
)
StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="What --record named: a folder, or a URI.")]


@records.command("list", epilog=RESEARCH_USE)
def list_records(
    store: StoreArgument,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Show only this many, the latest.")] = 30,
) -> None:
    """List what was recorded, latest first, with the main figures and their 95 % intervals."""
    from cxrscreen.train.records import open_store

    table = Table("Record", "Begun", "Main figures", show_lines=True)
    for run in open_store(store, new=False).runs(most=limit):
        begun = datetime.fromtimestamp(run.info.start_time / 1000).astimezone()
        tags = run.data.tags
        table.add_row(
            escape("\n".join(filter(None, (run.info.run_id[:8], run.info.run_name, tags.get("bundle"))))),
            f"{begun:%Y-%m-%d %H:%M}\n{tags.get('kind', '')}, {run.info.status.lower()}",
            escape("\n".join(headlines(run.data.metrics))),
        )
    console = Console()
    console.print(table)
    console.print(NOTE, style="dim")


@records.command("show", epilog=RESEARCH_USE)
def show_record(
    store: StoreArgument,
    run: Annotated[str, typer.Argument(metavar="ID", help="Id of the record, or its beginning.")],
    *,
    settings: Annotated[bool, typer.Option("--settings", help="Show the recipe's settings too.")] = False,
) -> None:
    """Show one record: the course of each phase, and every figure that is defined, with its interval."""
    from cxrscreen.train.records import curves_of, open_store

    opened = open_store(store, new=False)
    found = _found(opened.runs(), run)
    metrics = found.data.metrics
    curves = curves_of(opened, found.info.run_id, [name for name in metrics if name.endswith(f"/{SCORE}")])
    console = Console()
    title = f"{found.info.run_name}, {found.data.tags.get('kind')}, {found.info.status.lower()}"
    console.print(title, markup=False, highlight=False)
    if curves:
        table = Table("Phase", "Epochs", "First score", "Best score", "Last score")
        for name, values in curves.items():
            shown = (values[0], max(values), values[-1])
            table.add_row(escape(name.removesuffix(f"/{SCORE}")), str(len(values)), *(f"{v:.4f}" for v in shown))
        console.print(table)
    figures = [name for name in metrics if f"{name}/low" in metrics or name.startswith(("threshold/", "audit/"))]
    if figures:
        table = Table("Figure", "Value", "95 % interval")
        for name in figures:
            value, _, interval = figure_text(metrics, name).partition(" ")
            table.add_row(escape(name), value, interval)
        console.print(table)
    if settings:
        table = Table("Setting", "Value")
        for name, value in sorted(found.data.params.items()):
            table.add_row(escape(name), escape(value))
        console.print(table)
    for name, value in sorted(found.data.tags.items()):
        if not name.startswith("mlflow."):
            console.print(f"{name}: {value}", style="dim", markup=False, highlight=False, soft_wrap=True)
    console.print(NOTE, style="dim")


@records.command("add", epilog=RESEARCH_USE)
def add_records(
    store: StoreArgument,
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="The --out folder of an evaluation or an audit.")
    ],
) -> None:
    """Record evaluations and audits that were made: figures and verdicts, no image, no score, no id of a patient.

    They stand under the training of their bundle where one recorded training alone has its id and no other split. The
    same files are recorded once.
    """
    from cxrscreen.train.records import add_record, open_store

    read = [(folder, *_results(folder)) for folder in folders]
    opened = open_store(store)
    errors = Console(stderr=True)
    for folder, digest, content in read:
        kind, splits, figures, tags = _contents(content)
        name, bundle = folder.resolve().name, str(content["bundle"])
        made = add_record(opened, kind, name, digest=digest, bundle=bundle, splits=splits, figures=figures, tags=tags)
        told = f"recorded as {made[:8]}" if made else "was recorded before"
        errors.print(f"{escape(name)}: {kind}, {told}.", soft_wrap=True, highlight=False)


def headlines(metrics: Mapping[str, float]) -> list[str]:
    """Main figures of a record, a line each: those of its results; before there are any, the scores of its phases."""
    lines = []
    parts = sorted({name.removesuffix("/low").rpartition("/")[0] for name in metrics if name.endswith("/low")})
    for part in parts:
        names = [f"{part}/{name}" if part else name for name in HEADLINES]
        lines += [f"{name} {figure_text(metrics, name)}" for name in names if f"{name}/low" in metrics][:1]
    failed = [name.removeprefix("audit/") for name, value in metrics.items() if name.startswith("audit/") and not value]
    passed = sum(1 for name, value in metrics.items() if name.startswith("audit/") and value)
    if failed or passed:
        lines.append(
            f"{passed} audits passed, {len(failed)} failed" + (f": {', '.join(sorted(failed))}" * bool(failed))
        )
    if lines:
        return lines
    return [f"{name} {value:.4f}" for name, value in metrics.items() if name.endswith(f"/{SCORE}")]


def figure_text(metrics: Mapping[str, float], name: str) -> str:
    """A figure, and its interval where it has one: ``0.858 (0.835 to 0.879)``."""
    low, high = metrics.get(f"{name}/low"), metrics.get(f"{name}/high")
    interval = f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
    return f"{metrics[name]:.3f}{interval}"


def _found(runs: "list[Run]", asked: str) -> "Run":
    matching = [run for run in runs if run.info.run_id.startswith(asked)]
    if len(matching) != 1:
        raise CxrscreenError(
            f"{len(matching) or 'No'} records begin with {asked!r}: give an id that `cxrscreen records list` shows."
        )
    return matching[0]


def _results(folder: Path) -> tuple[str, dict[str, Any]]:
    """Digest and content of ``metrics.json`` or ``audit.json``."""
    for file in (folder / "metrics.json", folder / "audit.json"):
        if not file.is_file():
            continue
        text = file.read_bytes()
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if isinstance(content, dict) and "bundle" in content and ("results" in content or "audits" in content):
            return hashlib.sha256(text).hexdigest(), content
        raise CxrscreenError(
            f"{folder.name}/{file.name} was not written by cxrscreen evaluate or audit: make it again."
        )
    raise CxrscreenError(
        f"{folder.name} holds no metrics.json and no audit.json: give the --out folder of cxrscreen evaluate or audit."
    )


def _contents(content: dict[str, Any]) -> tuple[Any, dict[str, str], dict[str, float], dict[str, str]]:
    """Kind, digests by protocol of the training's splits as far as they are named, figures and tags."""
    from cxrscreen.train.record_content import figures_of, verdicts_of

    if "audits" in content:
        passed, findings = verdicts_of(content)
        return "audit", content.get("protocols", {}), passed, findings
    protocol = content.get("protocol", {})
    name = str(protocol.get("protocol", ""))
    tags = {key: str(protocol[key]) for key in ("protocol", "part", "seed", "digest") if key in protocol}
    # Images that the training did not know have a split of their own, which does not tell trainings apart.
    splits = {name: tags["digest"]} if protocol.get("split_of_training") and "digest" in tags else {}
    figures = figures_of(content["results"], f"{name}/")
    return "evaluation", splits, figures, {f"split.{key}": value for key, value in tags.items()}
