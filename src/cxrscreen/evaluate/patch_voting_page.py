"""The figures of patch voting as lists, JSON and a page, beside the paper's and with what must not be concluded."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap, grouped_rate
from cxrscreen.evaluate.cells import cell, table
from cxrscreen.evaluate.overlap import evaluate_overlaps
from cxrscreen.evaluate.patch_voting import compare_votes
from cxrscreen.evaluate.several_classes import evaluate_classes, left_out
from cxrscreen.evaluate.weighted import weighted_mean
from cxrscreen.systems.patch_voting.voting import CLASSES

PRINTED = {
    "accuracy": 0.889,
    "macro precision": 0.834,
    "macro sensitivity": 0.859,
    "macro f1": 0.844,
    "macro specificity": 0.964,
    "sensitivity normal": 0.895,
    "sensitivity bacterial": 0.80,
    "sensitivity tuberculosis": 0.818,
    "sensitivity viral": 0.925,
    "jaccard lungs": 0.955,
    "jaccard lungs-elsewhere-normal": 0.943,
    "jaccard heart": 0.889,
}
"""The paper's Tables V, X and XI, on its own images."""
RATIO = "ratio error"
TITLES = {
    "lungs": "Lungs, images of the source that trained the organ network",
    "heart": "Heart, the same images",
    "lungs-elsewhere": "Lungs, a source that trained no organ network",
    "lungs-elsewhere-normal": "Lungs, its normal images alone, as the paper measured",
}
NOT_CONCLUDED = (
    "No source holds every class: what is called a disease may in part be a source. Figures across sources overstate "
    "what it can do in one hospital; the areas within sources are the fairer ones.",
    "A class with few images has a wide interval; read the interval, not the figure.",
    "The paper's figures are of other images: beside ours they show an aim, not a comparison.",
    "Viral pneumonia and COVID-19 are one class: nothing here says that COVID-19 is told from other viruses.",
)


@dataclass(frozen=True, eq=False)
class Measured:
    """What one run gave.

    Parameters
    ----------
    bundle, against
        The bundles; None where there is no second one.
    part
        Part of the splits.
    votes, other
        From :func:`cxrscreen.evaluate.patch_voting.class_scores`, of the first and the second bundle.
    overlaps
        From :func:`cxrscreen.evaluate.patch_voting.organ_overlaps`, by the names of :data:`TITLES`.
    modes
        From :func:`cxrscreen.evaluate.patch_voting.mode_agreement`; None where it was not measured.
    ratios
        From :func:`cxrscreen.evaluate.patch_voting.organ_ratios`; None where it was not measured.
    """

    bundle: str
    against: str | None
    part: str
    votes: pd.DataFrame
    other: pd.DataFrame | None
    overlaps: Mapping[str, pd.DataFrame]
    modes: pd.DataFrame | None = None
    ratios: pd.DataFrame | None = None


def write_page(folder: Path, measured: Measured, *, replicates: int = REPLICATES, seed: int = 0) -> Path:
    """Write the lists, ``patch-voting.json`` and ``patch-voting.md``.

    Returns
    -------
    Path
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lists = {"classes": measured.votes, **measured.overlaps}
    if measured.other is not None:
        lists["classes-against"] = measured.other
    if measured.modes is not None:
        lists["modes"] = measured.modes
    if measured.ratios is not None:
        lists["ratios"] = measured.ratios
    for name, rows in lists.items():
        rows.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    content = content_of(measured, replicates=replicates, seed=seed)
    (folder / "patch-voting.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    page = folder / "patch-voting.md"
    page.write_text("\n".join(_lines(content)) + "\n", encoding="utf-8")
    return page


def content_of(measured: Measured, *, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Any]:
    """All figures with their intervals, as JSON takes them; only the seconds are of the machine that measured."""
    result = evaluate_classes(measured.votes, CLASSES, replicates=replicates, seed=seed)
    figures: dict[str, Estimate] = {"accuracy": result.accuracy}
    figures |= {f"macro {name}": value for name, value in result.macro.items()}
    figures |= {f"sensitivity {name}": result.by_class[name]["sensitivity"] for name in CLASSES}
    for name, rows in measured.overlaps.items():
        figures[f"jaccard {name}"] = evaluate_overlaps(rows, replicates=replicates, seed=seed).overall.jaccard
    if measured.ratios is not None:
        figures[RATIO] = _ratio_error(measured.ratios, replicates=replicates, seed=seed)
    differences: dict[str, Estimate] = {}
    if measured.other is not None:
        differences = compare_votes(measured.other, measured.votes, replicates=replicates, seed=seed)
    return {
        "notice": RESEARCH_USE,
        "bundle": measured.bundle,
        "against": measured.against,
        "part": measured.part,
        "bootstrap": {"replicates": replicates, "seed": seed},
        "classes": list(CLASSES),
        "support": list(result.support),
        "confusion": [list(row) for row in result.confusion],
        "figures": _plain(figures),
        "left_out": list(left_out(result)),
        "modes": {} if measured.modes is None else _modes(measured.modes),
        "within": {source: _plain(areas) for source, areas in result.within.items()},
        "differences": _plain(differences),
        "printed": PRINTED,
        "not_concluded": list(NOT_CONCLUDED),
    }


def _ratio_error(rows: pd.DataFrame, *, replicates: int, seed: int) -> Estimate:
    """Mean absolute error of the ratio, over images whose masks both give one."""
    known = rows[rows["reference"].notna() & rows["ratio"].notna()]
    if known.empty:
        return Estimate(None, None, None, 0, 0, "no image has both ratios")
    error = (known["ratio"] - known["reference"]).abs().to_numpy(np.float64)
    groups = known["group"].astype(str).tolist()
    return bootstrap(partial(weighted_mean, error), groups, replicates=replicates, seed=seed)


def _modes(rows: pd.DataFrame) -> dict[str, Any]:
    """For each mode how often the reference's class wins, and the median seconds of an image."""
    return {
        str(mode): {
            "agrees": dataclasses.asdict(grouped_rate(own["agrees"], own["group"])),
            "moved": float(own["moved"].mean()),
            "seconds": float(own["seconds"].median()),
        }
        for mode, own in rows.groupby("mode", sort=False)
    }


def _plain(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: dataclasses.asdict(estimate) for name, estimate in estimates.items()}


def _lines(content: Mapping[str, Any]) -> list[str]:
    figures, printed = content["figures"], content["printed"]
    lines = [
        f"# Patch voting: {content['bundle']}, {content['part']} part",
        "",
        f"**{content['notice']}**",
        "",
        f"Intervals: 95 %; {content['bootstrap']['replicates']} bootstrap resamples of patient groups, seed "
        f"{content['bootstrap']['seed']}; rates by Wilson with the sample size adjusted for patient groups.",
        "",
        "## Votes and organs",
        "",
        *table(
            ["Figure", "Measured", "Images", "Paper, its own images"],
            [
                [_title(name), cell(value), str(value["n"]), f"{printed[name]:.3f}" if name in printed else ""]
                for name, value in figures.items()
            ],
        ),
        *(line for text in content["left_out"] for line in ("", text)),
        "",
        "## Confusion: row the truth, column the vote",
        "",
        *table(
            ["", *content["classes"]],
            [
                [name, *(str(count) for count in row)]
                for name, row in zip(content["classes"], content["confusion"], strict=True)
            ],
        ),
        "",
        "## Area under the curve within sources that hold a class and others",
        "",
        *table(
            ["Source", "Class", "AUC", "Images"],
            [
                [source, name, cell(value), str(value["n"])]
                for source, areas in content["within"].items()
                for name, value in areas.items()
            ],
        ),
    ]
    if content["differences"]:
        lines += [
            "",
            f"## Less {content['against']}",
            "",
            *table(
                ["Figure", "Difference", "Verdict"],
                [[name, cell(value), _verdict(value)] for name, value in content["differences"].items()],
            ),
        ]
    if content["modes"]:
        lines += [
            "",
            "## Ways to ask about patches",
            "",
            "The first is the reference. Seconds are the median of an image here, segmenting included.",
            "",
            *table(
                ["Mode", "Same class wins", "Votes that go elsewhere", "Seconds"],
                [
                    [name, cell(each["agrees"]), f"{each['moved']:.1%}", f"{each['seconds']:.2f}"]
                    for name, each in content["modes"].items()
                ],
            ),
        ]
    return [*lines, "", "## What must not be concluded", "", *(f"- {text}" for text in content["not_concluded"])]


def _title(name: str) -> str:
    if name == RATIO:
        return "Cardiothoracic ratio, mean absolute error against the reference masks (aim: 0.02)"
    figure, _, what = name.partition(" ")
    return f"Jaccard index: {TITLES[what]}" if figure == "jaccard" else name


def _verdict(value: Mapping[str, Any]) -> str:
    if value["ci_low"] is None:
        return "no interval"
    if value["ci_low"] > 0:
        return "better"
    return "worse" if value["ci_high"] < 0 else "no proven difference"
