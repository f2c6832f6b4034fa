"""Filling a bundle's card: calibration and operating points from validation, results from the test part, used once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Part, make_split
from cxrscreen.errors import BundleError, ManifestError
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.calibration import Temperature, at_temperature, fit_temperature, logits_of
from cxrscreen.evaluate.classification import ClassificationResult, Figures
from cxrscreen.evaluate.metrics import choose_operating_point, confusion_counts
from cxrscreen.evaluate.outputs import measure_run
from cxrscreen.evaluate.overlap import OverlapResult
from cxrscreen.evaluate.run import Question, Run, run_questions
from cxrscreen.evaluate.several_classes import ClassesResult
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.bundle import Bundle, Calibration, Card, OperatingPoint, StageCard, open_bundle, write_card
from cxrscreen.systems.contract import System
from cxrscreen.systems.decisions import decisions_of
from cxrscreen.systems.registry import load_system

RULES = ("youden", "sensitivity>=0.90", "sensitivity>=0.95", "specificity>=0.90")
"""Operating points that every decision gets, chosen on the validation part of its protocol."""
DEFAULT_RULE = "youden"
SMALLEST_CELL = 10
"""Images of a class below which a source does not weigh as much as the others in choosing a threshold."""

Advance = Callable[[str, int, int], None]
"""Told what is measured, how many images are done, and how many there are."""


def measure_bundle(
    folder: Path,
    manifest: Manifest,
    read: Callable[[Path], Radiograph],
    advance: Advance,
    rules: Sequence[str] = RULES,
) -> Bundle:
    """Fit the temperatures, choose the operating points, measure the test parts, and write all into the card.

    A threshold is one of calibrated probabilities, so the temperature comes first; both come from the validation part,
    in which each source weighs the same.

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
    rules
        Operating points to choose, as for `metrics.choose_operating_point`; `DEFAULT_RULE` is in use where it is among
        them, else the first.

    Raises
    ------
    BundleError
        If the bundle cannot be opened.
    ManifestError
        If the manifest is not the one of the card, or a part of a protocol is empty or holds one class only.
    """
    bundle = open_bundle(folder)
    data = bundle.card.data
    splits = {name: make_split(name, manifest, data.seed, data.sources.get(name, ())) for name in data.splits}
    for name, split in splits.items():
        if split.digest != data.splits[name]:
            raise ManifestError(f"The split {name} of this manifest is not the one that {bundle.card.bundle_id} names.")
    stages_of = _stages_of(bundle.card, splits)

    def measure(system: System, names: Sequence[str], part: Part) -> tuple[Run, ...]:
        if not names:
            return ()
        questions = [Question(splits[name], splits[name].part(part), stages_of.get(name)) for name in names]
        total, done = len({i for question in questions for i in question.image_ids}), count(1)
        what = f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}, {part} part"
        return run_questions(system, read, manifest, questions, advance=lambda: advance(what, next(done), total))

    bundle = _with_temperatures(bundle, dict.fromkeys(bundle.card.stages, 1.0))
    # A stage that answers several protocols is set by the first of them.
    setting = {stage: protocol for protocol, stage in reversed(stages_of.items())}
    runs = dict(zip(setting, measure(load_system(folder), list(setting.values()), "validation"), strict=True))
    fits = {stage: calibrate(run) for stage, run in runs.items()}
    bundle = _with_temperatures(bundle, {stage: fit.value for stage, fit in fits.items()})
    system = load_system(folder)
    stages = dict(bundle.card.stages)
    for stage, protocol in setting.items():
        run, fit = runs[stage], fits[stage]
        site = f"validation part of {protocol}, sources weighing the same: {_sources(run)}"
        probe = _telling_image(run, fit)
        answer = system.screen(read(manifest.image_file(probe)), force=True, explain=False).probabilities[stage]
        stages[stage] = stage_card(run, fit if _honours(run, fit, probe, answer) else None, rules, site)
    bundle = write_card(folder, bundle.card.model_copy(update={"stages": stages}))
    measured = measure(load_system(folder), list(splits), "test")
    results = {name: _summary(run, name, data.seed) for name, run in zip(splits, measured, strict=True)}
    return write_card(folder, bundle.card.model_copy(update={"results": results}))


def _stages_of(card: Card, splits: Iterable[str]) -> dict[str, str]:
    """The stage that answers each protocol, in the order in which the system names them."""
    return {
        protocol: decision.stage
        for decision in decisions_of(card.system)
        for protocol in decision.protocols
        if protocol in splits and decision.stage in card.stages
    }


def add_operating_points(name: str | Path, run: Run, rules: Sequence[str], site: str, *, use: bool = False) -> Bundle:
    """Choose operating points on images of a site and store them in the bundle's card, by name.

    Parameters
    ----------
    name
        The bundle, as for `bundle.open_bundle`.
    run
        What the bundle's system gave on the site's validation images, for a decision.
    rules
        As for `metrics.choose_operating_point`; the point of ``sensitivity>=0.95`` is named ``sensitivity-0.95 SITE``.
    site
        Where the images come from, in a word or two.
    use
        Put the first of them in use.

    Raises
    ------
    ManifestError
        If the run holds one class only, or is not of a decision.
    BundleError
        If the bundle is another one than that of the run, or its card cannot be written.
    """
    bundle = open_bundle(name)
    if run.stage is None:
        raise ManifestError(
            "Operating points belong to a decision: choose them on a protocol of one, not of lungs or classes."
        )
    if bundle.card.bundle_id != run.bundle or run.stage.name not in bundle.card.stages:
        raise BundleError(f"The scores are of {run.bundle}, not of {bundle.card.bundle_id}: screen with this bundle.")
    if run.rows["truth"].nunique() < 2:
        raise ManifestError(f"All {len(run.rows)} scored images are of one class: add images of the other.")
    stage = bundle.card.stages[run.stage.name]
    chosen = _points(run, rules, f"{site}, sources weighing the same: {_sources(run)}")
    added = {f"{point_name} {site}": point for point_name, point in chosen.items()}
    stage = stage.model_copy(
        update={
            "operating_points": stage.operating_points | added,
            "default": next(iter(added)) if use else stage.default,
        }
    )
    card = bundle.card.model_copy(update={"stages": bundle.card.stages | {run.stage.name: stage}})
    try:
        return write_card(bundle.folder, card)
    except OSError as error:
        raise BundleError(
            f"The card of {bundle.card.bundle_id} cannot be written: copy the bundle to a folder of your own."
        ) from error


def _with_temperatures(bundle: Bundle, temperatures: Mapping[str, float]) -> Bundle:
    stages = {
        name: stage.model_copy(update={"temperature": temperatures.get(name, stage.temperature), "calibration": None})
        for name, stage in bundle.card.stages.items()
    }
    return write_card(bundle.folder, bundle.card.model_copy(update={"stages": stages}))


def calibrate(run: Run) -> Temperature:
    """Temperature of a run's scores, with the sources weighing the same; see :func:`source_weights`."""
    fit = fit_temperature(run.rows["truth"], logits_of(run.rows["score"]), source_weights(run.rows))
    return replace(fit, value=round(fit.value, 6))


def _telling_image(run: Run, fit: Temperature) -> str:
    change = np.abs(at_temperature(run.rows["score"], fit.value) - run.rows["score"].to_numpy(np.float64))
    return str(run.rows["image_id"].iloc[int(change.argmax())])


def _honours(run: Run, fit: Temperature, image_id: str, answer: float | None) -> bool:
    """Whether a system divides by its card's temperature: thresholds of other probabilities would be wrong."""
    before = float(run.rows.loc[run.rows["image_id"] == image_id, "score"].iloc[0])
    after = float(at_temperature([before], fit.value)[0])
    return answer is not None and abs(answer - after) <= abs(answer - before)


def stage_card(run: Run, fit: Temperature | None, rules: Sequence[str], site: str) -> StageCard:
    """Operating points of a run at temperature 1, once its scores are calibrated; ``fit`` None: they cannot be."""
    calibration = None
    if fit is not None:
        run = replace(run, rows=run.rows.assign(score=at_temperature(run.rows["score"], fit.value)))
        calibration = Calibration(
            method="temperature scaling by greatest likelihood" if fit.found else "none: no temperature was found",
            site=site,
            loss_before=round(fit.loss_before, 6),
            loss_after=round(fit.loss_after, 6),
        )
    points = _points(run, rules, site)
    return StageCard(
        operating_points=points,
        default=DEFAULT_RULE if DEFAULT_RULE in points else next(iter(points)),
        temperature=1.0 if fit is None else fit.value,
        calibration=calibration,
    )


def _points(run: Run, rules: Sequence[str], site: str) -> dict[str, OperatingPoint]:
    truth, scores = run.rows["truth"].to_numpy(), run.rows["score"].to_numpy(np.float64)
    weights = source_weights(run.rows)
    points = {}
    for rule in rules:
        point = choose_operating_point(truth, scores, rule, weights)
        rounded = round(point.threshold, 6)
        # Where scores lie closer than that, rounding would move images over the threshold.
        same = confusion_counts(truth, scores, rounded) == confusion_counts(truth, scores, point.threshold)
        points[point.name] = OperatingPoint(
            threshold=rounded if same else point.threshold,
            rule=rule if point.reached else f"{rule} (no threshold keeps it; the nearest)",
            site=site,
            sensitivity=round(point.sensitivity, 4),
            specificity=round(point.specificity, 4),
        )
    return points


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
    result = measure_run(run)
    if isinstance(result, OverlapResult):
        by_source = {name: _interval(figures.dice) for name, figures in result.sources.items()}
        return head | {"dice": _interval(result.overall.dice), "dice_by_source": by_source}
    return head | (_classes(result) if isinstance(result, ClassesResult) else _decision(result))


def _classes(result: ClassesResult) -> dict[str, Any]:
    called = [f"called {name}" for name in result.classes]
    confusion = zip(result.classes, result.confusion, strict=True)
    return {
        "within_source_auc_by_class": {
            source: {name: _interval(area) for name, area in areas.items()} for source, areas in result.within.items()
        },
        "pooled_accuracy": _interval(result.accuracy),
        "pooled_macro_f1": _interval(result.macro["f1"]),
        "pooled_macro_sensitivity": _interval(result.macro["sensitivity"]),
        "pooled_by_class": {
            name: {
                "images": support,
                **{figure: _interval(result.by_class[name][figure]) for figure in ("auc", *_CLASS_RATES)},
            }
            for name, support in zip(result.classes, result.support, strict=True)
        },
        "confusion_matrix": {"columns": ["Truth", *called], "rows": [[name, *row] for name, row in confusion]},
    }


_CLASS_RATES = ("sensitivity", "specificity", "precision", "f1")


def _decision(result: ClassificationResult) -> dict[str, Any]:
    mean = result.mean_within_source_auc
    return {
        "within_source_auc": {name: _auc(figures) for name, figures in result.within.items()},
        "mean_within_source_auc": None if mean is None else _interval(mean),
        "pooled_auc": _auc(result.pooled),
        "pooled_sensitivity": _interval(result.pooled.estimates["sensitivity"]),
        "pooled_specificity": _interval(result.pooled.estimates["specificity"]),
        "calibration_error": {
            "within_source": {name: _interval(figures.estimates["ece"]) for name, figures in result.within.items()},
            "pooled": _interval(result.pooled.estimates["ece"]),
        },
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
