"""The content of ``metrics.json`` as a page a person can read; within-source figures stand before the pooled ones."""

from collections.abc import Mapping, Sequence
from typing import Any

_DECISION_FIGURES = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "accuracy": "Accuracy",
}
_THRESHOLD_FREE_FIGURES = {
    "auc_delong": "AUC, DeLong",
    "sensitivity_at_specificity_0.90": "Sensitivity at specificity 0.90",
    "sensitivity_at_specificity_0.95": "at 0.95",
    "specificity_at_sensitivity_0.90": "Specificity at sensitivity 0.90",
    "equal_error_rate": "Equal error rate",
    "brier": "Brier",
    "ece": "ECE",
}


def markdown(content: Mapping[str, Any]) -> str:
    """Lay out the content of ``metrics.json``.

    Parameters
    ----------
    content
        As given by `outputs.metrics_content`.

    Returns
    -------
    str
        A Markdown page.
    """
    body = _decision(content) if content["measures"] == "decision" else _lungs(content["results"])
    return "\n".join([*_head(content), *body, *_failures(content)]) + "\n"


def _head(content: Mapping[str, Any]) -> list[str]:
    protocol, images = content["protocol"], content["images"]
    lines = [
        f"# {content['bundle']} on {protocol['protocol']}, {protocol['part']} part",
        "",
        f"**{content['notice']}**",
        "",
        f"- Split: protocol `{protocol['protocol']}`, seed {protocol['seed']}, digest `{protocol['digest'][:16]}`",
        f"- Manifest: SHA-256 `{protocol['manifest_sha256'][:16]}`",
        f"- Images: {images['requested']} asked for, {images['screened']} screened, {images['failed']} failed",
        f"- Intervals: 95 %; {protocol['replicates']} bootstrap resamples of patient groups, seed {protocol['seed']}; "
        "rates by Wilson with the sample size adjusted for patient groups",
        f"- Software: {', '.join(f'{name} {number}' for name, number in content['software'].items())}",
    ]
    if not protocol["split_of_training"]:
        lines.append(
            "- Not the split that the bundle's card names: where these images were also in the training manifest, "
            "the model may have seen them"
        )
    if images["requested"] < protocol["part_size"]:
        lines.append(f"- A trial on {images['requested']} of the part's {protocol['part_size']} images, not the result")
    if protocol["part"] != "test":
        lines.append("- Not the test part: thresholds and models may have been chosen on these images")
    return lines


def _decision(content: Mapping[str, Any]) -> list[str]:
    decision, results = content["decision"], content["results"]
    within, one_class = results["within"], results["one_class"]
    mean = results["mean_within_source_auc"]
    averaged = results["mean_sources"]
    lines = [
        f"- Decision: {decision['title']}; positive at {decision['threshold']:.4f} or above "
        f"(operating point `{decision['operating_point']}`)",
        "",
        "## Within sources, and pooled",
        "",
    ]
    rows = [[name, *_counted(figures), *_cells(figures, _DECISION_FIGURES)] for name, figures in within.items()]
    if mean is not None:
        rows.append(["**mean of " + ", ".join(averaged) + "**", "", "", f"**{_cell(mean)}**"])
    rows.append(["*all sources pooled*", *_counted(results["pooled"]), *_cells(results["pooled"], _DECISION_FIGURES)])
    lines += _table(["Source", "n+", "n-", *_DECISION_FIGURES.values()], rows)
    lines += ["", _reading(results)]
    if one_class:
        lines += ["", "## Sources with one class", ""]
        lines += _table(
            ["Source", "Class", "n", "Called positive", "Mean score"],
            [
                [
                    name,
                    "positive" if item["truth"] else "negative",
                    str(item["n"]),
                    _cell(item["positive_rate"]),
                    f"{item['mean_score']:.3f}",
                ]
                for name, item in one_class.items()
            ],
        )
    lines += ["", "## Whatever the threshold", ""]
    rows = [[name, *_cells(figures, _THRESHOLD_FREE_FIGURES)] for name, figures in within.items()]
    rows.append(["*all sources pooled*", *_cells(results["pooled"], _THRESHOLD_FREE_FIGURES)])
    lines += _table(["Source", *_THRESHOLD_FREE_FIGURES.values()], rows)
    lines += ["", "DeLong's interval takes images as independent; the others do not."]
    return lines


def _reading(results: Mapping[str, Any]) -> str:
    least = results["min_per_class"]
    left_out = [name for name in results["within"] if name not in results["mean_sources"]]
    parts = [f"The mean takes sources with at least {least} images of each class."]
    if left_out:
        parts.append(f"Too few in: {', '.join(left_out)}.")
    if results["one_class"]:
        parts.append(
            "The pooled figures also measure how well the sources are told apart, "
            f"for {len(results['one_class'])} of them supply one class only: judge by the within-source figures."
        )
    return " ".join(parts)


def _lungs(results: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            name,
            str(figures["dice"]["n"]),
            str(figures["dice"]["groups"]),
            _cell(figures["dice"], 4),
            _cell(figures["jaccard"], 4),
            f"{figures['dice_median']:.4f}",
            f"{figures['dice_minimum']:.4f}",
        ]
        for name, figures in [*results["sources"].items(), ("*all*", results["overall"])]
    ]
    head = ["Source", "Images", "Patient groups", "Mean Dice", "Mean Jaccard", "Median Dice", "Lowest Dice"]
    return ["", "## Lung mask against the reference", "", *_table(head, rows)]


def _failures(content: Mapping[str, Any]) -> list[str]:
    if not content["failures"]:
        return []
    rows = [[item["image_id"], item["label"], item["reason"].replace("|", "/")] for item in content["failures"]]
    return ["", "## Failed images (in no figure above)", "", *_table(["Image", "Label", "Reason"], rows)]


def _counted(figures: Mapping[str, Any]) -> list[str]:
    return [str(figures["positives"]), str(figures["negatives"])]


def _cells(figures: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    return [_cell(figures["estimates"].get(name)) for name in names]


def _cell(estimate: Mapping[str, Any] | None, digits: int = 3) -> str:
    if estimate is None or estimate["value"] is None:
        return "-"
    value = f"{estimate['value']:.{digits}f}"
    if estimate["ci_low"] is None:
        return f"{value} [no interval]"
    return f"{value} [{estimate['ci_low']:.{digits}f}, {estimate['ci_high']:.{digits}f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    padded = [[*row, *[""] * (len(head) - len(row))] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *padded)]
