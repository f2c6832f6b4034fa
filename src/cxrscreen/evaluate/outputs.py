"""What an evaluation leaves behind: ``metrics.json``, ``metrics.md``, ``scores.csv`` and the figures of a decision."""

import dataclasses
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.evaluate.bootstrap import REPLICATES
from cxrscreen.evaluate.class_figures import write_classes
from cxrscreen.evaluate.classification import ClassificationResult, evaluate_scores
from cxrscreen.evaluate.figures import write_roc, write_use
from cxrscreen.evaluate.overlap import OverlapResult, evaluate_overlaps
from cxrscreen.evaluate.run import Run
from cxrscreen.evaluate.several_classes import ClassesResult, evaluate_classes
from cxrscreen.evaluate.tables import markdown
from cxrscreen.evaluate.use import Use, measure_use

Result = ClassificationResult | ClassesResult | OverlapResult
"""Figures of a decision, of several classes, or of lung masks."""
_MEASURES: Mapping[type, str] = {
    ClassificationResult: "decision",
    ClassesResult: "classes",
    OverlapResult: "lung mask",
}


@dataclass(frozen=True)
class Provenance:
    """Which images were asked for, and how.

    Parameters
    ----------
    protocol, seed, digest, part
        The split's name, seed and digest, and the part of it that was measured.
    part_size
        Images in that part; more than the run's ``requested`` where a limit was set.
    manifest_sha256
        Of the manifest's bytes.
    replicates
        Bootstrap resamples.
    split_of_training
        Whether the bundle's card names this very split, so that its test part was kept from the training.
    sources
        To which the split was restricted; empty: to none.
    """

    protocol: str
    seed: int
    digest: str
    part: str
    part_size: int
    manifest_sha256: str
    replicates: int
    split_of_training: bool
    sources: tuple[str, ...] = ()


def measure_run(run: Run, *, replicates: int = REPLICATES, seed: int = 0) -> Result:
    """Measure what a system gave: a decision, one of several classes, or lung masks; see :class:`Run`."""
    if run.classes:
        return evaluate_classes(run.rows, run.classes, replicates=replicates, seed=seed)
    if run.stage is not None:
        return evaluate_scores(run.rows, run.stage.threshold, replicates=replicates, seed=seed)
    return evaluate_overlaps(run.rows, replicates=replicates, seed=seed)


def write_outputs(folder: Path, run: Run, result: Result, provenance: Provenance) -> dict[str, Path]:
    """Write the files of an evaluation.

    For a decision also ROC curves, reliability and decision curve, for several classes ROC curves and confusion matrix.

    Parameters
    ----------
    folder
        Made where missing; files of an earlier evaluation in it are replaced.
    run, result, provenance
        What was screened, what was measured, and on which images.

    Returns
    -------
    dict
        Path by file name. ``metrics.json`` holds no path, no time and no machine: the same run gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    use = None
    if isinstance(result, ClassificationResult):
        use = measure_use(run.rows, result, replicates=provenance.replicates, seed=provenance.seed)
    content = metrics_content(run, result, provenance, use)
    files = {name: folder / name for name in ("metrics.json", "metrics.md", "scores.csv")}
    files["metrics.json"].write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    files["metrics.md"].write_text(markdown(content), encoding="utf-8")
    run.rows.to_csv(files["scores.csv"], index=False, lineterminator="\n")
    about = f"{run.bundle}, {provenance.protocol} {provenance.part} part"
    if isinstance(result, ClassesResult):
        files |= {path.name: path for path in write_classes(run.rows, result, about, folder)}
    if use is not None and isinstance(result, ClassificationResult):
        title = f"{run.stage.title if run.stage else ''}\n{about}"
        for path in (*write_roc(run.rows, result, title, folder), *write_use(use, result, title, folder)):
            files[path.name] = path
    return files


def metrics_content(run: Run, result: Result, provenance: Provenance, use: Use | None = None) -> dict[str, Any]:
    """Gather the content of ``metrics.json``: plain values, None where a figure is not defined."""
    failed: dict[str, int] = {}
    for failure in run.failures:
        failed[failure.source] = failed.get(failure.source, 0) + 1
    content: dict[str, Any] = {
        "notice": RESEARCH_USE,
        "measures": _MEASURES[type(result)],
        "bundle": run.bundle,
        "protocol": dataclasses.asdict(provenance),
        "software": software(),
        "images": {
            "requested": run.requested,
            "screened": len(run.rows),
            "failed": len(run.failures),
            "failed_by_source": failed,
        },
        "failures": [dataclasses.asdict(failure) for failure in run.failures],
    }
    if run.stage is not None:
        content["decision"] = {
            "name": run.stage.name,
            "title": run.stage.title,
            "threshold": run.stage.threshold,
            "operating_point": run.stage.operating_point,
        }
    content["results"] = plain(dataclasses.asdict(result))
    if use is not None:
        content["use"] = plain(dataclasses.asdict(use))
    return content


def software() -> dict[str, str]:
    """Versions of what makes the figures."""
    return {
        "cxrscreen": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "scikit-learn", "pandas")},
    }


def plain(value: Any) -> Any:
    """Make a value fit for strict JSON: text keys, lists for tuples, None for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
