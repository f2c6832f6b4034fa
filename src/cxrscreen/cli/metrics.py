"""``cxrscreen metrics``: measure a list of scores, wherever it comes from."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape


def metrics(
    scores: Annotated[
        Path, typer.Argument(help="CSV with truth and score, or truth and one p_NAME column per class.", metavar="CSV")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for metrics.json, metrics.md and the figures (PNG and SVG).")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", help="A second list of the same images (by image_id) to compare with.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0, max=1, help="Call positive from this score on (0.5).")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Choose it on --validation: sensitivity>=0.95, specificity>=0.90 or youden."),
    ] = None,
    validation: Annotated[
        Path | None, typer.Option("--validation", help="A list of other images, on which --target is chosen.")
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option("--prevalence", min=0.0001, max=0.9999, help="Share of positives for the decision curve."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    replicates: Annotated[int, typer.Option("--replicates", min=100, help="Bootstrap resamples.")] = 2000,
) -> None:
    """Measure a list of scores: AUC, rates, calibration, net benefit, with intervals by patient.

    Optional columns: image_id, group (patient), source. With --out it writes metrics.json, metrics.md, and ROC,
    reliability and decision curve (for several classes ROC and confusion matrix). Exit code: 0, or 2 with one sentence.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.evaluate.list_tables import list_page
    from cxrscreen.evaluate.lists import Threshold, choose_threshold, list_content, measure_list, write_list
    from cxrscreen.evaluate.metrics import checked_rule
    from cxrscreen.evaluate.scores import read_scores

    console, errors = Console(), Console(stderr=True)
    if (target is None) != (validation is None) or (target is not None and threshold is not None):
        raise typer.BadParameter("give --target and --validation together, or --threshold alone")
    first = read_scores(scores)
    if first.classes and (target is not None or threshold is not None or prevalence is not None):
        raise typer.BadParameter(
            "a list of several classes has no --threshold, --target or --prevalence: leave them out"
        )
    second = None if compare is None else read_scores(compare)
    if target is not None and validation is not None:
        try:
            checked_rule(target)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--target") from None
        point = choose_threshold(target, validation)
    else:
        given = "as asked for" if threshold is not None else "the default, chosen on no image"
        point = Threshold(0.5 if threshold is None else threshold, given)
    if out is not None:
        check_writable(out)
    measured = measure_list(first, point, second, prevalence=prevalence, replicates=replicates, seed=seed)
    content = list_content(measured, scores, compare, replicates, seed)
    console.print(Markdown(list_page(content)))
    if out is not None:
        files = write_list(out, measured, content)
        errors.print(f"Written to {escape(str(out))}: {', '.join(sorted(files))}", soft_wrap=True, highlight=False)
