"""The report of an adaptation: ``adaptation.json``, ``adaptation.md``, and the figure of what was won and lost."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.forgetting import FORGETTING, TOLERATED, Answer
from cxrscreen.systems.bundle import StageCard

FILES = ("adaptation.json", "adaptation.md", "adaptation.png", "adaptation.svg")

_BEFORE, _AFTER = "#56B4E9", "#D55E00"
_MOMENTS = {
    "before": "before, its own point",
    "after_old_point": "after, the old point",
    "after": "after, its own point",
}


@dataclass(frozen=True)
class Adaptation:
    """What a report is about.

    Parameters
    ----------
    before, after
        ``name@version`` of the bundle and of the adapted one.
    command
        What made it, with words such as DATA for files.
    how
        Lambda, stages, seed and the other settings.
    cases
        Patients with the new disease that were learned from.
    images
        Held-out and learned images by origin, part and label.
    points_before, points_after
        Operating points and temperatures by decision.
    answers
        The figures.
    """

    before: str
    after: str
    command: str
    how: Mapping[str, Any]
    cases: int
    images: Mapping[str, Mapping[str, Mapping[str, int]]]
    points_before: Mapping[str, StageCard]
    points_after: Mapping[str, StageCard]
    answers: tuple[Answer, ...]

    def named(self, after: str) -> "Adaptation":
        """The same with the identity of the adapted bundle, which is known once it is written."""
        return dataclasses.replace(self, after=after)


def write_report(adaptation: Adaptation, folder: Path) -> dict[str, Path]:
    """Write the files of :data:`FILES` into a folder, made where missing; the same figures give the same bytes.

    Returns
    -------
    dict
        Path by file name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in FILES}
    content = json.dumps(report_content(adaptation), indent=2, allow_nan=False)
    files["adaptation.json"].write_text(f"{content}\n", encoding="utf-8")
    files["adaptation.md"].write_text(report_page(adaptation), encoding="utf-8")
    figure = report_figure(adaptation)
    with mpl.rc_context({"svg.hashsalt": "cxrscreen"}):
        figure.savefig(files["adaptation.png"], dpi=150, metadata={"Software": None})
        figure.savefig(files["adaptation.svg"], metadata={"Date": None})
    return files


def report_content(adaptation: Adaptation) -> dict[str, Any]:
    """Content of ``adaptation.json``: plain values, None where a figure is not defined."""
    return {
        "notice": RESEARCH_USE,
        "software": {"cxrscreen": __version__},
        "before": adaptation.before,
        "after": adaptation.after,
        "command": adaptation.command,
        "how": dict(adaptation.how),
        "cases": adaptation.cases,
        "images": {origin: {part: dict(n) for part, n in parts.items()} for origin, parts in adaptation.images.items()},
        "verdict": verdict(adaptation.answers),
        "operating_points": {
            when: {decision: stage.model_dump(mode="json", exclude_none=True) for decision, stage in points.items()}
            for when, points in (("before", adaptation.points_before), ("after", adaptation.points_after))
        },
        "answers": [dataclasses.asdict(answer) for answer in adaptation.answers],
    }


def card_results(adaptation: Adaptation) -> dict[str, Any]:
    """The same in short, for the card: AUCs with intervals, by question."""
    return {
        "command": adaptation.command,
        "verdict": verdict(adaptation.answers),
        **{
            answer.question.name: {
                "images": answer.positives + answer.negatives,
                **{name: _rounded(estimate) for name, estimate in answer.estimates.items() if "auc" in name},
            }
            for answer in adaptation.answers
        },
    }


def verdict(answers: Sequence[Answer]) -> str:
    """Say in a sentence or two whether stage 2 has forgotten the old images."""
    old = next((answer for answer in answers if answer.question == FORGETTING), None)
    change = old.estimates.get("auc_change") if old is not None else None
    if old is None or change is None or change.value is None:
        return "Forgetting was not measured: there are no held-out old images of both classes."
    before, after = old.estimates["auc_before"], old.estimates["auc_after"]
    text = (
        f"On {old.positives + old.negatives} held-out old images the AUC of stage 2 went from {_cell(before)} to "
        f"{_cell(after)}, a change of {_cell(change, signed=True)}. "
    )
    if change.value < -TOLERATED:
        return text + f"It has forgotten: the drop is larger than {TOLERATED}."
    if change.ci_low is None or change.ci_low < -TOLERATED:
        return text + f"The drop is at most {TOLERATED} here, but these images do not exclude a larger one."
    return text + f"It has not forgotten: the drop is at most {TOLERATED}, and the interval excludes a larger one."


def report_page(adaptation: Adaptation) -> str:
    """Content of ``adaptation.md``."""
    how = ", ".join(f"{name} {value}" for name, value in adaptation.how.items())
    lines = [
        f"# {adaptation.after}, adapted from {adaptation.before}",
        "",
        f"**{RESEARCH_USE}**",
        "",
        verdict(adaptation.answers),
        "",
        f"Learned from {adaptation.cases} case(s) of the new disease; {how}. Command: `{adaptation.command}`",
        "",
        "All figures are of test images, from which neither bundle has learned and on which no threshold was chosen. "
        "In brackets: 95% intervals, by patient; changes are on the same resamples before and after.",
        "",
        "## AUC",
        "",
        *_table(["Images", "n+ / n-", "Before", "After", "Change"], _area_rows(adaptation.answers)),
        "",
        "## At the operating points",
        "",
        "The bundle at its operating point; the adapted one at the same threshold and temperature, and at those chosen "
        "anew on the validation images. A threshold belongs to the version it was chosen for.",
        "",
        *_table(["Images", "Figure", *_MOMENTS.values()], _rate_rows(adaptation.answers)),
        "",
        "## Images",
        "",
        *_table(["Origin", "Part", "Images by label"], _image_rows(adaptation.images)),
        "",
        "## What must not be concluded",
        "",
        *(f"- {text}" for text in cautions(adaptation.answers)),
        "",
    ]
    return "\n".join(lines)


def cautions(answers: Sequence[Answer]) -> list[str]:
    """What a reader might wrongly take from the figures."""
    alone = next((answer for answer in answers if answer.question.name == "new-disease"), None)
    texts = [f"{answer.question.title}: {answer.question.caution}" for answer in answers if answer.question.caution]
    if alone is None or "auc_change" not in alone.estimates:
        texts.append(
            "The new site has no held-out images of other pneumonia, so nothing here shows that the disease was "
            "learned and not the hospital: collect other pneumonia from the same site and time."
        )
    few = [answer for answer in answers if 0 < min(answer.positives, answer.negatives) < 30]
    if few:
        names = "; ".join(answer.question.title for answer in few)
        texts.append(f"Fewer than 30 images of a class stand behind: {names}. Read the intervals, not the figures.")
    return [
        *texts,
        "Old images that were not forgotten say nothing of other hospitals, nor of diseases that are not in them.",
        "The cases are those that were labelled first, often the severe ones: milder ones will be found less often.",
    ]


def report_figure(adaptation: Adaptation) -> Figure:
    """AUCs before and after with their intervals, and beside them the changes."""
    rows = [
        (f"{answer.question.title}{suffix}", prefix, answer)
        for answer in adaptation.answers
        for prefix, suffix in (("auc", ""), ("within_auc", "\nmean within sources"))
        if f"{prefix}_change" in answer.estimates
    ]
    figure = Figure(figsize=(11.5, 2.2 + 0.62 * max(1, len(rows))), layout="constrained")
    areas, changes = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1.0))
    places = list(range(len(rows)))[::-1]
    for place, (_, prefix, answer) in zip(places, rows, strict=True):
        _dot(areas, answer.estimates[f"{prefix}_before"], place + 0.14, _BEFORE, "s")
        _dot(areas, answer.estimates[f"{prefix}_after"], place - 0.14, _AFTER, "o")
        _dot(changes, answer.estimates[f"{prefix}_change"], place, "#222222", "D")
    areas.plot([], [], "s", color=_BEFORE, label=f"before: {adaptation.before}")
    areas.plot([], [], "o", color=_AFTER, label=f"after: {adaptation.after}")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=8.5)
    areas.set_yticks(places, [f"{title}\nn+ {a.positives}, n- {a.negatives}" for title, _, a in rows], fontsize=8.5)
    areas.set(xlabel="AUC [95 % interval]", ylim=(-0.6, max(1, len(rows)) - 0.4))
    changes.axvline(0, color="#999999", linewidth=0.8)
    changes.axvline(-TOLERATED, color="#999999", linewidth=0.8, linestyle=":")
    changes.set_xlabel(f"Change, after less before (dotted: -{TOLERATED})")
    low, high = changes.get_xlim()
    # Changes that are next to nothing should look it.
    changes.set_xlim(min(low, -2 * TOLERATED), max(high, 2 * TOLERATED))
    for axes in (areas, changes):
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        f"Test images, intervals by patient. {RESEARCH_USE}", fontsize=7.5, color="#555555", x=0.01, ha="left"
    )
    return figure


def _dot(axes: Axes, estimate: Estimate, place: float, colour: str, marker: str) -> None:
    if estimate.value is None:
        return
    if estimate.ci_low is not None and estimate.ci_high is not None:
        axes.plot([estimate.ci_low, estimate.ci_high], [place, place], color=colour, linewidth=1.6)
    axes.plot([estimate.value], [place], marker=marker, color=colour, markersize=5.5)


def _area_rows(answers: Sequence[Answer]) -> list[list[str]]:
    rows = []
    for answer in answers:
        counts = f"{answer.positives} / {answer.negatives}"
        if "auc_change" not in answer.estimates:
            rows.append([answer.question.title, counts, "one class only", "-", "-"])
        for prefix, name in (("auc", "all pooled"), ("within_auc", f"mean within {', '.join(answer.sources)}")):
            if f"{prefix}_change" in answer.estimates:
                before, after, change = (answer.estimates[f"{prefix}_{when}"] for when in ("before", "after", "change"))
                title = f"{answer.question.title}, {name}"
                rows.append([title, counts, _cell(before), _cell(after), _cell(change, signed=True)])
    return rows


def _rate_rows(answers: Sequence[Answer]) -> list[list[str]]:
    return [
        [answer.question.title, name, *(_cell(answer.estimates[f"{name}_{when}"]) for when in _MOMENTS)]
        for answer in answers
        for name in ("sensitivity", "specificity")
        if f"{name}_before" in answer.estimates
    ]


def _image_rows(images: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[list[str]]:
    return [
        [origin, part, ", ".join(f"{label} {count}" for label, count in labels.items()) or "none"]
        for origin, parts in images.items()
        for part, labels in parts.items()
    ]


def _cell(estimate: Estimate, *, signed: bool = False) -> str:
    if estimate.value is None:
        return "-"
    form = "+.3f" if signed else ".3f"
    if estimate.ci_low is None:
        return f"{estimate.value:{form}} [no interval]"
    return f"{estimate.value:{form}} [{estimate.ci_low:{form}}, {estimate.ci_high:{form}}]"


def _rounded(estimate: Estimate) -> dict[str, float | None]:
    values = {"value": estimate.value, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
    return {name: None if value is None else round(value, 4) for name, value in values.items()}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
