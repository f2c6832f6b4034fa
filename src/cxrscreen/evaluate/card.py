"""Filling a bundle's card: operating points from the validation part, results from the test part, touched once."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import PROTOCOLS, Part, make_split
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.classification import ClassificationResult, Figures, evaluate_scores
from cxrscreen.evaluate.metrics import choose_operating_point
from cxrscreen.evaluate.overlap import evaluate_overlaps
from cxrscreen.evaluate.run import STAGES, Run, run_system
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.bundle import Bundle, OperatingPoint, StageCard, open_bundle, write_card
from cxrscreen.systems.contract import System
from cxrscreen.systems.registry import load_system

RULES = ("youden", "sensitivity>=0.90", "sensitivity>=0.95", "specificity>=0.90")
"""Operating points that every decision gets, chosen on the validation part of its protocol."""
DEFAULT_RULE = "youden"
SMALLEST_CELL = 10
"""Images of a class below which a source does not weigh as much as the others in choosing a threshold."""

Advance = Callable[[str, int, int], None]
"""Told what is measured, how many images are done, and how many there are."""


def measure_bundle(folder: Path, manifest: Manifest, read: Callable[[Path], Radiograph], advance: Advance) -> Bundle:
    """Choose the operating points, measure the test parts, and write both into the card.

    Parameters
    ----------
    folder
        The bundle.
    manifest
        The images it was trained on, whose splits its card names.
    read
        From a file to a radiograph.
    advance
        Called after each image.

    Raises
    ------
    BundleError
        If the bundle cannot be opened.
    ManifestError
        If the manifest is not the one of the card, or a part of a protocol is empty or holds one class only.
    """
    bundle = open_bundle(folder)
    seed = bundle.card.data.seed
    splits = {name: make_split(name, manifest, seed) for name in bundle.card.data.splits}
    for name, split in splits.items():
        if split.digest != bundle.card.data.splits[name]:
            raise ManifestError(f"The split {name} of this manifest is not the one that {bundle.card.bundle_id} names.")

    def measure(system: System, name: str, part: Part) -> Run:
        images, done = splits[name].part(part), count(1)
        return run_system(
            system,
            read,
            manifest,
            splits[name],
            images,
            advance=lambda: advance(f"{name}, {part} part", next(done), len(images)),
        )

    provisional = load_system(folder)
    points = {
        stage: _operating_points(measure(provisional, protocol, "validation"), protocol)
        for protocol, stage in STAGES.items()
    }
    bundle = write_card(folder, bundle.card.model_copy(update={"stages": points}))
    system = load_system(folder)
    results = {name: _summary(measure(system, name, "test"), name, seed) for name in splits}
    return write_card(folder, bundle.card.model_copy(update={"results": results}))


def _operating_points(run: Run, protocol: str) -> StageCard:
    truth, scores = run.rows["truth"].to_numpy(), run.rows["score"].to_numpy()
    weights = source_weights(run.rows)
    site = f"validation part of {protocol}, sources weighing the same: {_sources(run)}"
    chosen = [choose_operating_point(truth, scores, rule, weights) for rule in RULES]
    return StageCard(
        operating_points={
            point.name: OperatingPoint(threshold=round(point.threshold, 6), rule=point.rule, site=site)
            for point in chosen
        },
        default=DEFAULT_RULE,
    )


def source_weights(rows: pd.DataFrame) -> NDArray[np.float64]:
    """Weigh images so that each source counts the same within its class, else the largest one sets the threshold.

    Parameters
    ----------
    rows
        With the columns ``source`` and ``truth``. Sources with fewer than :data:`SMALLEST_CELL` images of a class are
        taken together as one, so that a handful of images does not decide.
    """
    size = rows.groupby(["source", "truth"])["source"].transform("size")
    cells = pd.DataFrame({"cell": rows["source"].where(size >= SMALLEST_CELL, "small sources"), "truth": rows["truth"]})
    weights: NDArray[np.float64] = 1.0 / cells.groupby(["cell", "truth"])["cell"].transform("size").to_numpy(np.float64)
    return weights


def _sources(run: Run) -> str:
    counts = run.rows["source"].value_counts().sort_index()
    return ", ".join(f"{source} {count}" for source, count in counts.items())


def _summary(run: Run, protocol: str, seed: int) -> dict[str, Any]:
    command = f"cxrscreen evaluate BUNDLE --manifest DATA --protocol {protocol} --seed {seed} --out DIR"
    head: dict[str, Any] = {"command": command, "images": len(run.rows), "failed": len(run.failures)}
    if PROTOCOLS[protocol].lungs:
        overlaps = evaluate_overlaps(run.rows)
        by_source = {name: _interval(figures.dice) for name, figures in overlaps.sources.items()}
        return head | {"dice": _interval(overlaps.overall.dice), "dice_by_source": by_source}
    result = evaluate_scores(run.rows, run.stage.threshold if run.stage else None)
    return head | _decision(result)


def _decision(result: ClassificationResult) -> dict[str, Any]:
    mean = result.mean_within_source_auc
    return {
        "within_source_auc": {name: _auc(figures) for name, figures in result.within.items()},
        "mean_within_source_auc": None if mean is None else _interval(mean),
        "pooled_auc": _auc(result.pooled),
        "pooled_sensitivity": _interval(result.pooled.estimates["sensitivity"]),
        "pooled_specificity": _interval(result.pooled.estimates["specificity"]),
        "called_positive_in_one_class_sources": {
            name: {"truth": source.truth, "images": source.n, "rate": _interval(source.positive_rate)}
            for name, source in result.one_class.items()
            if source.positive_rate is not None
        },
    }


def _auc(figures: Figures) -> dict[str, Any]:
    return {
        **_interval(figures.estimates["auc"]),
        "positives": figures.positives,
        "negatives": figures.negatives,
    }


def _interval(estimate: Estimate) -> dict[str, Any]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 4)

    return {
        "value": rounded(estimate.value),
        "ci_low": rounded(estimate.ci_low),
        "ci_high": rounded(estimate.ci_high),
    }
