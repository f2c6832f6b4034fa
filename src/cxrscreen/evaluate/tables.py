"""The content of ``metrics.json`` as a page a person can read; within-source figures stand before the pooled ones."""

from collections.abc import Mapping
from typing import Any

from cxrscreen.evaluate.cells import cell, table
from cxrscreen.evaluate.class_tables import class_sections

_DECISION_FIGURES = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "accuracy": "Accuracy",
}
_RANKING_FIGURES = {
    "auc_delong": "AUC, DeLong",
    "sensitivity_at_specificity_0.90": "Sensitivity at specificity 0.90",
    "sensitivity_at_specificity_0.95": "at 0.95",
    "sensitivity_at_specificity_0.99": "at 0.99",
    "specificity_at_sensitivity_0.90": "Specificity at sensitivity 0.90",
    "specificity_at_sensitivity_0.95": "at 0.95",
    "specificity_at_sensitivity_0.99": "at 0.99",
    "equal_error_rate": "Equal error rate",
}
_CALIBRATION_FIGURES = {
    "ece": "ECE",
    "calibration_slope": "Slope (1 is right)",
    "calibration_intercept": "Intercept (0 is right)",
    "brier": "Brier",
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
    if content["measures"] == "classes":
        body = [*class_sections(content["results"]), *_about_classes(content["results"])]
    else:
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
    if protocol["sources"]:
        lines.append(f"- Images of these sources alone: {', '.join(protocol['sources'])}")
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
    decision = content["decision"]
    return [
        f"- Decision: {decision['title']}; positive at {decision['threshold']:.4f} or above "
        f"(operating point `{decision['operating_point']}`)",
        *decision_sections(content["results"]),
        *(use_sections(content["use"]) if "use" in content else []),
    ]


def _about_classes(results: Mapping[str, Any]) -> list[str]:
    known = [f"{source} ({', '.join(areas)})" for source, areas in results["within"].items()]
    return [
        "",
        "The class is the one that the system gives the greatest score. Figures over all sources also measure how well "
        f"the sources are told apart. Sources that hold a class and others: {', '.join(known) or 'none'}.",
    ]


def decision_sections(results: Mapping[str, Any]) -> list[str]:
    """Lines of a page about a `ClassificationResult` that was turned into plain values."""
    within, one_class, pooled = results["within"], results["one_class"], results["pooled"]
    mean = results["mean_within_source_auc"]
    lines = ["", "## Within sources, and pooled", ""]
    rows = [[name, *_counted(figures), *_cells(figures, _DECISION_FIGURES)] for name, figures in within.items()]
    if mean is not None:
        rows.append(["**mean of " + ", ".join(results["mean_sources"]) + "**", "", "", f"**{cell(mean)}**"])
    rows.append(["*all sources pooled*", *_counted(pooled), *_cells(pooled, _DECISION_FIGURES)])
    lines += table(["Source", "n+", "n-", *_DECISION_FIGURES.values()], rows)
    lines += ["", _reading(results)]
    if pooled["counts"] is not None:
        lines += ["", "## Confusion matrix at the threshold", ""]
        outcomes = ("true_positive", "false_negative", "false_positive", "true_negative")
        lines += table(
            ["Source", "Positive, called", "Positive, missed", "Negative, called", "Negative, passed"],
            [
                [name, *(str(figures["counts"][outcome]) for outcome in outcomes)]
                for name, figures in [*within.items(), ("*all sources pooled*", pooled)]
            ],
        )
    if one_class:
        lines += ["", "## Sources with one class", ""]
        lines += table(
            ["Source", "Class", "n", "Called positive", "Mean score"],
            [
                [
                    name,
                    "positive" if item["truth"] else "negative",
                    str(item["n"]),
                    cell(item["positive_rate"]),
                    f"{item['mean_score']:.3f}",
                ]
                for name, item in one_class.items()
            ],
        )
    for title, names in (("Whatever the threshold", _RANKING_FIGURES), ("Calibration", _CALIBRATION_FIGURES)):
        lines += ["", f"## {title}", ""]
        rows = [[name, *_cells(figures, names)] for name, figures in within.items()]
        rows.append(["*all sources pooled*", *_cells(pooled, names)])
        lines += table(["Source", *names.values()], rows)
    lines += ["", "DeLong's interval takes images as independent; the others do not."]
    return lines


def use_sections(use: Mapping[str, Any]) -> list[str]:
    """Lines of a page about a `Use` that was turned into plain values."""
    lines = []
    if use["prevalence"]:
        lines += ["", "## Per 1000 persons, where the disease is rarer than here", ""]
        counts = ("true_positive", "false_positive", "false_negative", "true_negative")
        lines += table(
            ["Prevalence", "Found", "False alarms", "Missed", "Passed", "PPV", "NPV"],
            [
                [
                    f"{100 * row['prevalence']:g} %",
                    *(f"{row[name]:.1f}" for name in counts),
                    cell(row["ppv"]),
                    cell(row["npv"], 4),
                ]
                for row in use["prevalence"]
            ],
        )
        lines += ["", "Supposes the pooled sensitivity and specificity, which another place has to measure for itself."]
    lines += ["", "## Reliability of the probabilities (pooled)", ""]
    lines += table(
        ["Probability", "Images", "Mean probability", "Share positive"],
        [
            [
                f"{row['low']:.1f} to {row['high']:.1f}",
                str(row["positive_rate"]["n"]),
                "-" if row["mean_probability"] is None else f"{row['mean_probability']:.3f}",
                cell(row["positive_rate"]),
            ]
            for row in use["reliability"]
        ],
    )
    return [*lines, *_net_benefit(use["decision_curve"])]


_SHOWN_THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


def _net_benefit(curve: Mapping[str, Any]) -> list[str]:
    shown = [index for index, value in enumerate(curve["thresholds"]) if value in _SHOWN_THRESHOLDS]
    origin = "their share in these images" if curve["of_these_images"] else "the share asked for"
    return [
        "",
        f"## Net benefit, at {100 * curve['prevalence']:.1f} % positives ({origin})",
        "",
        *table(
            ["Threshold probability", "Acting on the score", "On everybody", "On nobody"],
            [
                [
                    f"{curve['thresholds'][i]:g}",
                    cell({"value": curve["net_benefit"][i], "ci_low": curve["low"][i], "ci_high": curve["high"][i]}),
                    f"{curve['treat_all'][i]:.3f}",
                    "0.000",
                ]
                for i in shown
            ],
        ),
        "",
        "The score helps at a threshold only where its net benefit is above both others.",
    ]


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


_DISTANCES = {
    "hausdorff_px": ("Hausdorff, pixels", 1),
    "hausdorff_95_px": ("95 %, pixels", 1),
    "hausdorff_mm": ("Hausdorff, mm", 2),
    "hausdorff_95_mm": ("95 %, mm", 2),
}


def _lungs(results: Mapping[str, Any]) -> list[str]:
    distances = {name: form for name, form in _DISTANCES.items() if name in results["overall"]["distances"]}
    rows = [
        [
            name,
            str(figures["dice"]["n"]),
            str(figures["dice"]["groups"]),
            cell(figures["dice"], 4),
            cell(figures["jaccard"], 4),
            f"{figures['dice_median']:.4f}",
            f"{figures['dice_minimum']:.4f}",
            *(cell(figures["distances"].get(key), digits) for key, (_, digits) in distances.items()),
        ]
        for name, figures in [*results["sources"].items(), ("*all*", results["overall"])]
    ]
    head = ["Source", "Images", "Patient groups", "Mean Dice", "Mean Jaccard", "Median Dice", "Lowest Dice"]
    lines = ["", "## Lung mask against the reference", ""]
    lines += table([*head, *(title for title, _ in distances.values())], rows)
    if distances:
        lines += ["", _about_distances(results["overall"])]
    return lines


def _about_distances(overall: Mapping[str, Any]) -> str:
    known = ", ".join(f"{_DISTANCES[name][0]} {estimate['n']}" for name, estimate in overall["distances"].items())
    return (
        "Distances are means over the images that have them (a mask that was found, and for millimetres a known "
        f"spacing): {known}."
    )


def _failures(content: Mapping[str, Any]) -> list[str]:
    if not content["failures"]:
        return []
    rows = [[item["image_id"], item["label"], item["reason"].replace("|", "/")] for item in content["failures"]]
    return ["", "## Failed images (in no figure above)", "", *table(["Image", "Label", "Reason"], rows)]


def _counted(figures: Mapping[str, Any]) -> list[str]:
    return [str(figures["positives"]), str(figures["negatives"])]


def _cells(figures: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    return [cell(figures["estimates"].get(name)) for name in names]
