"""Filling a bundle's card: operating points from the validation part, results from the test part, touched once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import PROTOCOLS, Part, make_split
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.classification import ClassificationResult, Figures, evaluate_scores
from cxrscreen.evaluate.metrics import choose_operating_point
from cxrscreen.evaluate.overlap import evaluate_overlaps
from cxrscreen.evaluate.run import STAGES, Run, run_system
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.bundle import Bundle, OperatingPoint, StageCard, open_bundle, write_card
from cxrscreen.systems.registry import load_system

RULES = ("youden", "sensitivity>=0.90", "sensitivity>=0.95", "specificity>=0.90")
"""Operating points that every decision gets, chosen on the validation part of its protocol."""
DEFAULT_RULE = "youden"

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
        If a part of a protocol is empty or holds one class only.
    """
    bundle = open_bundle(folder)
    points: dict[str, StageCard] = {}
    for protocol, stage in STAGES.items():
        run = _run(folder, manifest, protocol, "validation", bundle.card.data.seed, read, advance)
        points[stage] = _operating_points(
            run, f"validation part of {protocol}, sources weighing the same: {_sources(run)}"
        )
    bundle = write_card(folder, bundle.card.model_copy(update={"stages": points}))
    results: dict[str, Any] = {}
    for protocol in bundle.card.data.splits:
        run = _run(folder, manifest, protocol, "test", bundle.card.data.seed, read, advance)
        results[protocol] = _summary(run, protocol)
    return write_card(folder, bundle.card.model_copy(update={"results": results}))


def _run(
    folder: Path,
    manifest: Manifest,
    protocol: str,
    part: Part,
    seed: int,
    read: Callable[[Path], Radiograph],
    advance: Advance,
) -> Run:
    split = make_split(protocol, manifest, seed)
    images, done = split.part(part), 0

    def count() -> None:
        nonlocal done
        done += 1
        advance(f"{protocol}, {part} part", done, len(images))

    return run_system(load_system(folder), read, manifest, split, images, advance=count)


def _operating_points(run: Run, site: str) -> StageCard:
    truth, scores = run.rows["truth"].to_numpy(), run.rows["score"].to_numpy()
    # Each source weighs the same in sensitivity and in specificity, else the largest one sets the threshold for all.
    weights = 1.0 / run.rows.groupby(["source", "truth"])["score"].transform("size").to_numpy()
    chosen = {rule: choose_operating_point(truth, scores, rule, weights) for rule in RULES}
    return StageCard(
        operating_points={
            point.name: OperatingPoint(threshold=round(point.threshold, 6), rule=point.rule, site=site)
            for point in chosen.values()
        },
        default=chosen[DEFAULT_RULE].name,
    )


def _sources(run: Run) -> str:
    counts = run.rows["source"].value_counts().sort_index()
    return ", ".join(f"{source} {count}" for source, count in counts.items())


def _summary(run: Run, protocol: str) -> dict[str, Any]:
    command = f"cxrscreen evaluate BUNDLE --manifest DATA --protocol {protocol} --out DIR"
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
