"""The page of two audits side by side, as Markdown and JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.evaluate.audit.compare import AUC, BLACK, POINTING, SHARE, AuditComparison, Line
from cxrscreen.evaluate.audit.part import plain
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate

NAME = "audit-comparison"
"""Of the files."""

TITLES = {
    AUC: "AUC on the test images as they are",
    BLACK: "AUC with the lungs blanked: an honest model falls to chance, 0.5",
    SHARE: "Share of each map inside the lungs",
    POINTING: "Pointing game: is the hottest pixel of the map inside the disease box",
}

NOT_TO_CONCLUDE = (
    "That the second bundle is better because one figure rose: read the interval of the change; where it holds 0, the "
    "difference may be chance. No interval is corrected for the number of figures.",
    "That a goal that is held is held elsewhere: these are a few public sources, some with a dozen images a class.",
    "That a pooled AUC measures the disease: where a source supplies one class it measures the source too. Read the "
    "figures within sources.",
    "That an AUC near 0.5 with black lungs proves that the lungs decide: it shows that the rest alone does not.",
    "That an AUC below 0.5 with black lungs is better than one at 0.5: with an interval that leaves 0.5 out, the rest "
    "still tells the classes apart, the wrong way round.",
    "That a map inside the lungs shows the disease: a map cut to the lungs lies there whatever the network looked at.",
)


def write_comparison(comparison: AuditComparison, folder: Path, *, command: str) -> dict[str, Path]:
    """Write ``audit-comparison.md`` and ``.json`` into a folder, made where missing; no image is named in them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"{NAME}.{kind}": folder / f"{NAME}.{kind}" for kind in ("md", "json")}
    files[f"{NAME}.md"].write_text(comparison_page(comparison, command=command), encoding="utf-8")
    content = {"notice": RESEARCH_USE, "software": f"cxrscreen {__version__}", "command": command}
    lines = [asdict(line) | {"verdict": _verdict(line)} for line in comparison.lines]
    content |= plain(asdict(comparison) | {"lines": lines, "not_to_conclude": NOT_TO_CONCLUDE})
    files[f"{NAME}.json"].write_text(
        json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return files


def comparison_page(comparison: AuditComparison, *, command: str) -> str:
    """The comparison as Markdown: the goals first, then every figure of both bundles."""
    splits = ", ".join(f"{name} {digest[:12]}" for name, digest in comparison.splits.items())
    text = [
        f"# Before and after: {comparison.before} and {comparison.after}",
        "",
        f"**{RESEARCH_USE}**",
        "",
        f"Command: `{command}`. {comparison.images} test images that both screened; splits {splits}.",
        "",
        "In brackets: 95 % intervals, resampling patients. A change with an interval is of the same images on the same "
        "resamples; one without is the difference of two figures, since the audits keep no scores by image for it.",
        "",
        "## Goals",
        "",
        *_goals(comparison),
    ]
    for figure, title in TITLES.items():
        lines = [line for line in comparison.lines if line.figure == figure]
        if lines:
            text += ["", f"## {title}", "", *_grid(lines, comparison)]
    text += ["", "## What must not be concluded", "", *(f"- {sentence}" for sentence in NOT_TO_CONCLUDE), ""]
    return "\n".join(text)


def _goals(comparison: AuditComparison) -> Iterator[str]:
    asked = [line for line in comparison.lines if line.goal is not None]
    if not asked:
        yield "None of the figures with a goal was measured: run the audits black-lungs and saliency on both bundles."
        return
    yield f"| Figure | Images | Goal | {comparison.before} | {comparison.after} | {comparison.after}: goal |"
    yield f"|{' --- |' * 6}"
    for line in asked:
        cells = (shown(line.before, 3), shown(line.after, 3), _verdict(line))
        yield f"| {line.figure}, {line.about} | {line.images} | {line.goal} | {' | '.join(cells)} |"


def _grid(lines: list[Line], comparison: AuditComparison) -> Iterator[str]:
    head = ("Of", "Images", "n", comparison.before, comparison.after, "Change")
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for line in lines:
        counted = line.after or line.before
        cells = (line.about, line.images, "-" if counted is None else str(counted.n))
        yield f"| {' | '.join((*cells, shown(line.before, 3), shown(line.after, 3), _change(line.change)))} |"


def _verdict(line: Line) -> str:
    return "" if line.goal is None else line.goal.verdict(line.after)


def _change(change: Estimate | None) -> str:
    if change is None or change.value is None:
        return "-"
    if change.ci_low is None or change.ci_high is None:
        return f"{change.value:+.3f}"
    return f"{change.value:+.3f} [{change.ci_low:+.3f}, {change.ci_high:+.3f}]"
