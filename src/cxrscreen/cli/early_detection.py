"""``cxrscreen early-detection``: how long before the confirmation cases were called, one line a case."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape

if TYPE_CHECKING:
    from cxrscreen.evaluate.early_detection.outputs import Study
    from cxrscreen.evaluate.early_detection.tables import Calls


def early_detection(
    calls: Annotated[
        Path, typer.Argument(metavar="CALLS", help="CSV: scores.csv of cxrscreen evaluate, or a table of decisions.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for early_detection.json, .md, .png, .svg, cases.csv.")],
    dates: Annotated[
        Path | None, typer.Option("--dates", help="CSV of image dates, symptom onset and RT-PCR confirmation.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Instead: a manifest with offset_days; gives no lead times.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option("--bundle", help="Take the threshold of the scores from this bundle's card.")
    ] = None,
    stage: Annotated[str, typer.Option("--stage", help="Decision of the bundle that gave the scores.")] = "covid19",
    point: Annotated[
        str | None, typer.Option("--point", help="Operating point in the card; without it the one in use.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0, max=1, help="Instead of --bundle: the threshold itself.")
    ] = None,
    label: Annotated[str, typer.Option("--label", help="With --manifest: the label that makes a case.")] = "covid19",
    earliest: Annotated[
        int, typer.Option("--earliest", min=0, help="With --dates: leave out images more days before confirmation.")
    ] = 30,
    replicates: Annotated[int, typer.Option("--replicates", min=100, help="Bootstrap resamples.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Show how early cases are called: lead time before RT-PCR confirmation, one line a case.

    The tables are described in docs/early-detection.md. With --manifest there is no confirmation, and the days since
    symptom onset or admission at the first positive radiograph are shown. Exit code: 0 done, 2 a table is wrong.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.errors import CxrscreenError
    from cxrscreen.evaluate.early_detection.outputs import markdown, write_study
    from cxrscreen.evaluate.early_detection.tables import read_calls

    if (dates is None) == (manifest is None):
        raise CxrscreenError("Give either --dates or --manifest: one of them says on which days images were taken.")
    if bundle is not None and threshold is not None:
        raise CxrscreenError("Give either --bundle or --threshold: both would set what counts as called.")
    decision = "the calls of the table"
    if bundle is not None:
        threshold, decision = _operating_point(bundle, stage, point)
    elif threshold is not None:
        decision = f"a score of {threshold:g} or above"
    table = read_calls(calls, threshold)
    study = _leads(dates, table, decision, earliest, replicates, seed) if dates else None
    if manifest is not None:
        study = _offsets(manifest, label, table, decision, replicates, seed)
    if study is None:
        raise CxrscreenError("No case is left: give the days and the calls of the same images.")
    check_writable(out)
    files = write_study(out, study)
    Console().print(Markdown(markdown(study)))
    message = f"Written to {escape(str(out))}: {', '.join(sorted(files))}"
    Console(stderr=True).print(message, soft_wrap=True, highlight=False)


def _operating_point(bundle: str, stage: str, point: str | None) -> tuple[float, str]:
    from cxrscreen.errors import BundleError
    from cxrscreen.systems.bundle import open_bundle

    card = open_bundle(bundle).card
    if stage not in card.stages:
        raise BundleError(f"{card.bundle_id} has no decision {stage!r}: use one of {', '.join(card.stages)}.")
    points = card.stages[stage].operating_points
    name = point or card.stages[stage].default
    if name not in points:
        raise BundleError(f"{card.bundle_id} has no operating point {name!r}: use one of {', '.join(points)}.")
    threshold = points[name].threshold
    return threshold, f"{card.bundle_id}, {stage}, score of {threshold:.4f} or above ({name})"


def _leads(dates: Path, calls: "Calls", decision: str, earliest: int, replicates: int, seed: int) -> "Study | None":
    from cxrscreen.evaluate.early_detection.outputs import CONFIRMATION, Study
    from cxrscreen.evaluate.early_detection.summary import false_call_rate, false_calls, summarise_leads
    from cxrscreen.evaluate.early_detection.tables import read_dates
    from cxrscreen.evaluate.early_detection.timelines import before_confirmation

    patients, undated = read_dates(dates)
    lines, left_out = before_confirmation(patients, calls.called, earliest=earliest)
    if not lines:
        return None
    left_out = {f"cases, {reason}": count for reason, count in left_out.items()}
    images = [image for patient in patients for image, _ in patient.images]
    for reason, count in (
        ("images without a date", undated),
        ("images without a score", sum(image not in calls.called for image in images)),
    ):
        if count:
            left_out[reason] = count
    calls = calls.beside(images)
    rate = false_call_rate(calls, images)
    summary = summarise_leads(lines, false_call_rate=rate, replicates=replicates, seed=seed)
    return Study(decision, {CONFIRMATION: (lines, summary)}, left_out, false_calls(calls), rate)


def _offsets(manifest: Path, label: str, calls: "Calls", decision: str, replicates: int, seed: int) -> "Study | None":
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.evaluate.early_detection.outputs import Study
    from cxrscreen.evaluate.early_detection.summary import false_call_rate, false_calls, summarise_first_calls
    from cxrscreen.evaluate.early_detection.tables import offsets_of
    from cxrscreen.evaluate.early_detection.timelines import since_reference

    patients, left_out = offsets_of(load_manifest(manifest), label)
    by_event, unscored = since_reference(patients, calls.called)
    if not by_event:
        return None
    parts = {
        event: (lines, summarise_first_calls(lines, replicates=replicates, seed=seed))
        for event, lines in by_event.items()
    }
    images = [image for patient in patients for image, _ in patient.images]
    reasons = {f"cases, {reason}": count for reason, count in (left_out | unscored).items()}
    calls = calls.beside(images)
    return Study(decision, parts, reasons, false_calls(calls), false_call_rate(calls, images))
