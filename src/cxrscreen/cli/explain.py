"""``cxrscreen explain``: Grad-CAM and LIME side by side, and the chart of the 14 findings, of a COVID-CXNet bundle."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

import json
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cxrscreen import RESEARCH_USE


class Class(Enum):
    """The classes, for the command line."""

    normal = "normal"
    other_pneumonia = "other_pneumonia"
    covid19 = "covid19"


def explain(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Radiographs.")],
    *,
    bundle: Annotated[
        str | None,
        typer.Option("--bundle", help="COVID-CXNet bundle: a folder, or a shipped one's name. Default: covid_cxnet."),
    ] = None,
    system_name: Annotated[
        str | None, typer.Option("--system", help="Take the bundle that ships for this system, or check --bundle.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the pictures; made if missing.")],
    finding: Annotated[
        Class | None, typer.Option("--class", help="Class to explain; without it the likeliest of each image.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=2, help="Images that LIME asks about; without it 800, less above 224 pixels."),
    ] = None,
    superpixels: Annotated[int, typer.Option("--superpixels", min=2, help="Superpixels, roughly.")] = 50,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of LIME.")] = 0,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads; without it all cores.")] = None,
) -> None:
    """Show what moved the network on each radiograph, by two methods, with the share inside the lungs.

    Writes DIR/NAME-explanation.png and .svg for each file, with the Grad-CAM of the network of the 14 findings where
    the bundle holds it, DIR/explanations.json, and, where the bundle tells of the findings, DIR/findings.png and .svg
    (of four images each, numbered, for more). Neither method proves that a disease was recognised. Exit code: 0 all
    done, 1 some files failed.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.errors import BundleError, CxrscreenError, UnreadableImageError
    from cxrscreen.evaluate.figures import write_figure
    from cxrscreen.explain.lime import samples_for
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.covid_cxnet.explanation import explain as explain_image
    from cxrscreen.systems.covid_cxnet.figures import CHARTED, explanation_figure, findings_figure
    from cxrscreen.systems.covid_cxnet.pipeline import CovidCxNet
    from cxrscreen.systems.registry import bundle_named, load_system

    if len({file.stem for file in files}) < len(files):
        raise CxrscreenError("Two files have one name, and one picture would write over the other: rename one.")
    system = load_system(bundle_named(bundle, system_name or (None if bundle else "covid_cxnet")), threads)
    if not isinstance(system, CovidCxNet):
        raise BundleError(f"{system.bundle_id} is of another system: give a bundle of covid_cxnet.")
    if finding is not None and finding.value not in system.classes:
        raise CxrscreenError(f"{system.bundle_id} does not know the class {finding.value}: leave out --class.")
    asked = samples or samples_for(system.side)
    check_writable(out)
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    charts: dict[str, dict[str, float]] = {}
    console, failed = Console(stderr=True), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for file in files:
            try:
                radiograph = read(file)
            except UnreadableImageError as error:
                failed += 1
                console.print(f"[red]{escape(str(error))}[/red]", soft_wrap=True, highlight=False)
                continue
            task = progress.add_task(escape(file.name), total=asked)
            found = explain_image(
                system,
                radiograph,
                None if finding is None else finding.value,
                samples=asked,
                superpixels=superpixels,
                seed=seed,
                advance=partial(progress.advance, task),
            )
            write_figure(explanation_figure(found, "Explanation"), out, f"{file.stem}-explanation")
            entry: dict[str, Any] = {
                "class": found.finding,
                "probability": round(found.lime.probability, 4),
                "grad_cam_in_lungs": found.grad_cam_in_lungs,
                "lime_in_lungs": found.lime_in_lungs,
                "lungs_share_of_region": round(float(found.lungs.mean()), 4),
                "lime_fit": round(found.lime.fit, 4),
            }
            if system.tells_findings:
                charts[file.name] = system.finding_probabilities(radiograph)
                entry["findings"] = {name: round(p, 4) for name, p in charts[file.name].items()}
            results[file.name] = entry
    names, told = list(charts), {"source": system.chart_source, "caution": system.chart_caution}
    for number, first in enumerate(range(0, len(names), CHARTED), start=1):
        shown = {name: charts[name] for name in names[first : first + CHARTED]}
        stem = "findings" if len(names) <= CHARTED else f"findings-{number}"
        write_figure(findings_figure(shown, "Probabilities of 14 findings", **told), out, stem)
    chart = told if charts else None
    content = {"notice": RESEARCH_USE, "bundle": system.bundle_id, "samples": asked, "seed": seed}
    content |= {"chart": chart, "images": results}
    (out / "explanations.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    console.print(f"{len(results)} of {len(files)} explained, in {escape(str(out))}.", soft_wrap=True, highlight=False)
    if failed:
        raise typer.Exit(1)
