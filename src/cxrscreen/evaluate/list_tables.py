"""The figures of a list of scores as a page a person can read, with what must not be concluded from them."""

from collections.abc import Mapping
from typing import Any

from cxrscreen.evaluate.cells import cell, table
from cxrscreen.evaluate.class_tables import class_sections
from cxrscreen.evaluate.tables import decision_sections, use_sections


def list_page(content: Mapping[str, Any]) -> str:
    """Lay out the content given by `lists.list_content` as a Markdown page."""
    body = class_sections(content["results"]) if content["measures"] == "classes" else _decision(content)
    comparison = _comparison(content) if "comparison" in content else []
    return "\n".join([*_head(content), *body, *comparison, *_not_concluded(content)]) + "\n"


def _head(content: Mapping[str, Any]) -> list[str]:
    images, bootstrap = content["images"], content["bootstrap"]
    first = content["lists"][0]
    lines = [
        f"# Scores of {first['name']}",
        "",
        f"**{content['notice']}**",
        "",
        f"- List: SHA-256 `{first['sha256'][:16]}`, {images['n']} images, {images['groups']} patient groups, "
        f"{images['sources']} source(s)",
        f"- Intervals: 95 %; {bootstrap['replicates']} bootstrap resamples of patient groups, seed "
        f"{bootstrap['seed']}; rates by Wilson with the sample size adjusted for patient groups",
        f"- Software: {', '.join(f'{name} {number}' for name, number in content['software'].items())}",
    ]
    if images["copies"]:
        lines.append(
            f"- {images['copies']} rows repeat an earlier one in every column; without an image_id it cannot be told "
            "whether they are other images"
        )
    return lines


def _decision(content: Mapping[str, Any]) -> list[str]:
    threshold = content["threshold"]
    return [
        f"- Positive at {threshold['value']:.4f} or above: {threshold['origin']}",
        *decision_sections(content["results"]),
        *use_sections(content["use"]),
    ]


def _comparison(content: Mapping[str, Any]) -> list[str]:
    comparison, other = content["comparison"], content["lists"][1]
    lines = ["", f"## {other['name']} less {content['lists'][0]['name']}, on the same {comparison['n']} images", ""]
    lines += table(
        ["Figure", "First", "Second", "Second less first"],
        [
            [
                name.replace("_", " "),
                _number(comparison["first"].get(name)),
                _number(comparison["second"].get(name)),
                cell(difference),
            ]
            for name, difference in comparison["differences"].items()
        ],
    )
    if comparison["delong_p"] is not None:
        lines += ["", f"DeLong's test of equal AUCs, images taken as independent: p = {comparison['delong_p']:.3g}."]
    lines += ["", "Each resample of patients is drawn for both lists at once."]
    return lines


def _not_concluded(content: Mapping[str, Any]) -> list[str]:
    given, results = content["images"]["given"], content["results"]
    points = ["That another hospital, another device or another time would show these figures: only its images can."]
    if content["measures"] == "decision":
        n = results["pooled"]["positives"] + results["pooled"]["negatives"]
        share = 100 * results["pooled"]["positives"] / n
        points.append(
            f"That the PPV, the NPV, the accuracy and the calibration hold elsewhere: {share:.0f} % of these images "
            "are positive, and they change with that share."
        )
    if "source" not in given:
        points.append(
            "That the score recognises the disease: without a source column it cannot be seen whether it recognises "
            "where an image comes from."
        )
    if "group" not in given:
        points.append(
            "That the intervals are wide enough: without a group column every row counts as a patient of its own."
        )
    if "comparison" in content:
        points.append("That two lists are equally good where their difference may be 0: the interval says how much.")
    return ["", "## What must not be concluded", "", *(f"- {point}" for point in points)]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
