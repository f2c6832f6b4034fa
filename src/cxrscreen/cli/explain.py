"""``cxrscreen explain``: Grad-CAM and LIME side by side, and the chart of the 14 findings, of a COVID-CXNet bundle."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cxrscreen import RESEARCH_USE
from cxrscreen.cli.screen import Gate, GatePolicy
from cxrscreen.progress import Bars

if TYPE_CHECKING:
    from cxrscreen.systems.contract import Verdict
    from cxrscreen.systems.covid_cxnet.explanation import Explanation
    from cxrscreen.systems.covid_cxnet.pipeline import CovidCxNet


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
        typer.Option("--samples", min=2, help="Images that LIME asks about; without it 800, fewer for large networks."),
    ] = None,
    superpixels: Annotated[int, typer.Option("--superpixels", min=2, help="Superpixels, roughly.")] = 50,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of LIME.")] = 0,
    gate: GatePolicy = Gate.standard,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads; without it all cores.")] = None,
) -> None:
    """Show what moved the network on each radiograph, by two methods, with the share inside the lungs.

    Writes DIR/NAME-explanation.png and .svg for each file, with the Grad-CAM of the network of the 14 findings where
    the bundle holds it, DIR/explanations.json, and, where the bundle tells of the findings, DIR/findings.png and .svg
    (of four images each, numbered, for more). An image that is no frontal chest radiograph of the kind the model knows
    is refused; lesser doubts stand below its picture. Neither method proves that a disease was recognised. Exit code:
    0 all done, 1 some files failed or were refused.
    """
    from cxrscreen.batch.folders import check_stems_differ, safe_stem
    from cxrscreen.batch.run import check_writable
    from cxrscreen.errors import UnreadableImageError
    from cxrscreen.evaluate.figures import write_figure
    from cxrscreen.explain.lime import samples_for
    from cxrscreen.imaging.read import read
    from cxrscreen.report.record import as_text
    from cxrscreen.report.wording import printable, shown_name, without_folders
    from cxrscreen.systems.covid_cxnet.explanation import explain as explain_image
    from cxrscreen.systems.covid_cxnet.figures import explanation_figure

    check_stems_differ(files)
    system = _loaded(bundle, system_name, threads, finding)
    asked = samples or samples_for(system.work)
    check_writable(out)
    results: dict[str, Any] = {}
    charts: dict[str, dict[str, float]] = {}
    console = Console(stderr=True)
    failures = _Failures(console)
    with Bars(console=console) as progress:
        for file in files:
            try:
                radiograph = read(file)
            except UnreadableImageError as error:
                failures.add(without_folders(str(error), file))
                continue
            # As it is screened: a class and maps of what is no frontal chest radiograph would mean nothing.
            verdict = system.screen(radiograph, explain=False, policy=gate.value).verdict
            if verdict.refused:
                failures.add(f"{shown_name(file)} is refused {_reasons(verdict)}")
                continue
            task = progress.add_task(escape(shown_name(file)), total=asked)
            found = explain_image(
                system,
                radiograph,
                None if finding is None else finding.value,
                samples=asked,
                superpixels=superpixels,
                seed=seed,
                advance=partial(progress.advance, task),
            )
            chances = system.finding_probabilities(radiograph) if system.tells_findings else {}
            if chances:
                charts[shown_name(file)] = chances
            results[as_text(file.name)] = _entry(found, verdict, chances)
            with failures.of_writing(f"The pictures of {shown_name(file)}"):
                figure = explanation_figure(found, "Explanation", verdict.sentences)
                write_figure(figure, out, f"{safe_stem(file)}-explanation")
    told = {"source": system.chart_source, "caution": system.chart_caution}
    asked_for = {"bundle": system.bundle_id, "samples": asked, "seed": seed, "gate": gate.value}
    content = {"notice": RESEARCH_USE, **asked_for, "chart": told if charts else None, "images": results}
    # Before the charts: what LIME took minutes to find is not lost with a picture.
    with failures.of_writing("explanations.json"):
        (out / "explanations.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    with failures.of_writing("The chart of the findings"):
        _write_charts(charts, out, **told)
    outcome = f"{len(results)} of {len(files)} explained, in {printable(str(out))}."
    console.print(escape(outcome), soft_wrap=True, highlight=False)
    if failures.count:
        raise typer.Exit(1)


def _loaded(bundle: str | None, system_name: str | None, threads: int | None, finding: Class | None) -> "CovidCxNet":
    from cxrscreen.errors import BundleError, CxrscreenError
    from cxrscreen.systems.covid_cxnet.pipeline import CovidCxNet
    from cxrscreen.systems.registry import bundle_named, load_system

    system = load_system(bundle_named(bundle, system_name or (None if bundle else "covid_cxnet")), threads)
    if not isinstance(system, CovidCxNet):
        raise BundleError(f"{system.bundle_id} is of another system: give a bundle of covid_cxnet.")
    if finding is not None and finding.value not in system.classes:
        raise CxrscreenError(f"{system.bundle_id} does not know the class {finding.value}: leave out --class.")
    return system


def _write_charts(charts: Mapping[str, Mapping[str, float]], out: Path, *, source: str, caution: str) -> None:
    from cxrscreen.evaluate.figures import write_figure
    from cxrscreen.systems.covid_cxnet.figures import CHARTED, findings_figure

    names = list(charts)
    for number, first in enumerate(range(0, len(names), CHARTED), start=1):
        shown = {name: charts[name] for name in names[first : first + CHARTED]}
        stem = "findings" if len(names) <= CHARTED else f"findings-{number}"
        figure = findings_figure(shown, "Probabilities of 14 findings", source=source, caution=caution)
        write_figure(figure, out, stem)


class _Failures:
    """Says what failed, in one sentence each, and counts it."""

    def __init__(self, console: Console) -> None:
        self._console, self.count = console, 0

    def add(self, reason: str) -> None:
        self.count += 1
        self._console.print(f"[red]failed[/red] {escape(reason)}", soft_wrap=True, highlight=False)

    @contextmanager
    def of_writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.add(f"{what} could not be written ({error.strerror}); check space and rights.")


def _reasons(verdict: "Verdict") -> str:
    refusing = [concern for concern in verdict.concerns if concern.severity == "refuse"]
    return f"({', '.join(each.code for each in refusing)}): {' '.join(each.sentence for each in refusing)}"


def _entry(found: "Explanation", verdict: "Verdict", chances: Mapping[str, float]) -> dict[str, Any]:
    findings = {"findings": {name: round(chance, 4) for name, chance in chances.items()}} if chances else {}
    return {
        "class": found.finding,
        "probability": round(found.lime.probability, 4),
        # Screening calls by the card's temperature and operating point instead.
        "calibrated": False,
        "grad_cam_in_lungs": found.grad_cam_in_lungs,
        "lime_in_lungs": found.lime_in_lungs,
        "lungs_share_of_region": round(float(found.lungs.mean()), 4),
        "lime_fit": round(found.lime.fit, 4),
        "concerns": [asdict(concern) for concern in verdict.concerns],
        **findings,
    }
