"""Lists of scores in, numbers with intervals out: ``metrics.json``, ``metrics.md`` and the figures."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import REPLICATES
from cxrscreen.evaluate.card import source_weights
from cxrscreen.evaluate.class_figures import write_classes
from cxrscreen.evaluate.classification import ClassificationResult, evaluate_scores
from cxrscreen.evaluate.figures import write_roc, write_use
from cxrscreen.evaluate.list_tables import list_page
from cxrscreen.evaluate.metrics import choose_operating_point
from cxrscreen.evaluate.outputs import plain, software
from cxrscreen.evaluate.paired import Comparison, compare_scores
from cxrscreen.evaluate.scores import ScoreList, read_scores
from cxrscreen.evaluate.several_classes import ClassesResult, evaluate_classes
from cxrscreen.evaluate.use import Use, measure_use


@dataclass(frozen=True)
class Threshold:
    """From which score a case is called positive, in [0, 1], and where that comes from."""

    value: float
    origin: str


@dataclass(frozen=True, eq=False)
class ListMeasurement:
    """What was measured on one list.

    Parameters
    ----------
    scores
        The list.
    result
        Its figures, of a decision or of several classes.
    threshold, use
        For a decision.
    comparison
        Against another list, where one was given.
    """

    scores: ScoreList
    result: ClassificationResult | ClassesResult
    threshold: Threshold | None
    use: Use | None
    comparison: Comparison | None


def choose_threshold(rule: str, validation: Path) -> Threshold:
    """Choose an operating point on a list of validation scores, sources weighing the same where they are named.

    Parameters
    ----------
    rule
        As for `metrics.choose_operating_point`.
    validation
        A list of other images than those to be measured.

    Raises
    ------
    ManifestError
        If the list is malformed or one of several classes.
    ValueError
        If the rule is unknown.
    """
    scores = read_scores(validation)
    if scores.classes:
        raise ManifestError(f"{validation.name} has several classes: a threshold needs a list with truth and score.")
    weights = source_weights(scores.table) if "source" in scores.given else None
    point = choose_operating_point(scores.table["truth"], scores.table["score"], rule, weights)
    reached = "" if point.reached else ", which no threshold keeps there: the nearest"
    origin = (
        f"{rule}{reached}, chosen on {len(scores.table)} other images ({validation.name}), where it has sensitivity "
        f"{point.sensitivity:.3f} and specificity {point.specificity:.3f}"
    )
    return Threshold(point.threshold, origin)


def measure_list(
    scores: ScoreList,
    threshold: Threshold,
    other: ScoreList | None = None,
    *,
    prevalence: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> ListMeasurement:
    """Measure a list of scores.

    Parameters
    ----------
    scores
        As read by `scores.read_scores`.
    threshold
        For a decision; a list of classes calls the one of greatest probability.
    other
        A list of the same images to compare with: the differences are other less scores.
    prevalence
        As for `use.measure_use`.
    replicates, seed
        Of the bootstrap by patient group.

    Raises
    ------
    ManifestError
        If the lists cannot be compared.
    """
    if scores.classes:
        if other is not None:
            raise ManifestError("Lists of several classes are not compared: give two lists with truth and score.")
        classes = evaluate_classes(scores.table, scores.classes, replicates=replicates, seed=seed)
        return ListMeasurement(scores, classes, None, None, None)
    comparison = None
    if other is not None:
        if other.classes or not {"image_id"} <= scores.given & other.given:
            raise ManifestError("Only lists with truth, score and image_id are compared: add the image_id to both.")
        comparison = compare_scores(scores.table, other.table, replicates=replicates, seed=seed)
    result = evaluate_scores(scores.table, threshold.value, replicates=replicates, seed=seed)
    use = measure_use(scores.table, result, prevalence=prevalence, replicates=replicates, seed=seed)
    return ListMeasurement(scores, result, threshold, use, comparison)


def list_content(
    measured: ListMeasurement, file: Path, compared: Path | None, replicates: int, seed: int
) -> dict[str, Any]:
    """Gather the content of ``metrics.json``: plain values; of a file its name and hash, no path.

    Parameters
    ----------
    measured
        What was measured.
    file, compared
        The lists' files.
    replicates, seed
        Of the bootstrap.
    """
    table, files = measured.scores.table, (file, *([compared] if compared else []))
    content: dict[str, Any] = {
        "notice": RESEARCH_USE,
        "measures": "classes" if measured.scores.classes else "decision",
        "lists": [{"name": f.name, "sha256": hashlib.sha256(f.read_bytes()).hexdigest()} for f in files],
        "bootstrap": {"replicates": replicates, "seed": seed},
        "software": software(),
        "images": {
            "n": len(table),
            "groups": int(table["group"].nunique()),
            "sources": int(table["source"].nunique()),
            "given": sorted(measured.scores.given),
            "copies": measured.scores.copies,
        },
    }
    for name in ("threshold", "result", "use", "comparison"):
        part = getattr(measured, name)
        if part is not None:
            content["results" if name == "result" else name] = plain(dataclasses.asdict(part))
    return content


def write_list(folder: Path, measured: ListMeasurement, content: dict[str, Any]) -> dict[str, Path]:
    """Write ``metrics.json``, ``metrics.md`` and the figures.

    Parameters
    ----------
    folder
        Made where missing; files of an earlier measurement in it are replaced.
    measured, content
        What was measured, and the same as given by `list_content`.

    Returns
    -------
    dict
        Path by file name; the same list gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in ("metrics.json", "metrics.md")}
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    files["metrics.json"].write_text(text + "\n", encoding="utf-8")
    files["metrics.md"].write_text(list_page(content), encoding="utf-8")
    table, title = measured.scores.table, content["lists"][0]["name"]
    if isinstance(measured.result, ClassesResult):
        figures = write_classes(table, measured.result, title, folder)
    else:
        figures = write_roc(table, measured.result, title, folder)
        if measured.use is not None:
            figures += write_use(measured.use, measured.result, title, folder)
    return files | {path.name: path for path in figures}
