"""Two score lists on the same images: how much they differ, each resample of patients drawn for both at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap_all
from cxrscreen.evaluate.classification import FIXED_RATES, check_scores
from cxrscreen.evaluate.delong import delong_difference, delong_p_value
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.weighted import (
    area_under,
    equal_error_rate_of,
    sensitivity_of,
    specificity_of,
    weighted_mean,
    weighted_roc,
)


@dataclass(frozen=True)
class Comparison:
    """Second list less first list, on the images of both.

    Parameters
    ----------
    n, groups
        Images and patient groups.
    first, second
        The figures of each list by name, without intervals.
    differences
        Second less first by name: ``auc``, ``auc_delong``, ``sensitivity_at_specificity_0.90`` and so on,
        ``equal_error_rate``, ``brier``; with a threshold for both also ``sensitivity`` and ``specificity``; for each
        source with both classes ``auc within NAME``.
    delong_p
        Two-sided p-value of equal AUCs, images taken as independent; None for fewer than two images of a class.
    """

    n: int
    groups: int
    first: Mapping[str, float | None]
    second: Mapping[str, float | None]
    differences: Mapping[str, Estimate]
    delong_p: float | None


def compare_scores(
    first: pd.DataFrame,
    second: pd.DataFrame,
    thresholds: tuple[float, float] | None = None,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Compare two score lists of one decision on the same images.

    Parameters
    ----------
    first, second
        Tables as for `classification.evaluate_scores`, of the same images in any order; sources and groups are those
        of the first.
    thresholds
        Operating point of each list, chosen on other images; None leaves sensitivity and specificity out.
    replicates, seed, level
        Of the bootstrap by patient group.

    Raises
    ------
    ManifestError
        If a table is malformed (see there), or the two name different images or another truth.
    """
    check_scores(first)
    check_scores(second)
    paired = first.merge(second[["image_id", "truth", "score"]], on="image_id", suffixes=("", "_second"))
    if not len(paired) == len(first) == len(second):
        raise ManifestError(
            f"The two lists share {len(paired)} images of {len(first)} and {len(second)}: compare the same images."
        )
    contrary = int((paired["truth"] != paired["truth_second"]).sum())
    if contrary:
        raise ManifestError(f"The two lists disagree on the truth of {contrary} image(s): correct one of them.")
    truth = paired["truth"].to_numpy().astype(bool)
    values = tuple(pd.to_numeric(paired[name]).to_numpy(np.float64) for name in ("score", "score_second"))
    groups = paired["group"].astype(str).tolist()
    sources = paired["source"].to_numpy()
    members = {
        str(source): np.flatnonzero(sources == source)
        for source, rows in paired.groupby("source", sort=True)
        if rows["truth"].nunique() == 2
    }

    def of_list(index: int, weights: Floats) -> dict[str, Floats]:
        limit = None if thresholds is None else thresholds[index]
        return _figures(truth, values[index], weights, limit, members)

    def differences(weights: Floats) -> dict[str, Floats]:
        one, other = of_list(0, weights), of_list(1, weights)
        return {name: other[name] - one[name] for name in one}

    estimates = bootstrap_all(differences, groups, replicates=replicates, seed=seed, level=level)
    p_value = None
    if min(truth.sum(), (~truth).sum()) >= 2:
        ends = delong_difference(truth, values[1], values[0], level)
        method = "DeLong, paired, images taken as independent"
        estimates["auc_delong"] = Estimate(*ends, n=truth.size, groups=len(set(groups)), method=method)
        p_value = delong_p_value(truth, values[1], values[0])
    whole = np.ones((1, truth.size))
    return Comparison(
        n=truth.size,
        groups=len(set(groups)),
        first={name: _number(value) for name, value in of_list(0, whole).items()},
        second={name: _number(value) for name, value in of_list(1, whole).items()},
        differences=estimates,
        delong_p=p_value,
    )


def _figures(
    truth: NDArray[np.bool_],
    scores: Floats,
    weights: Floats,
    threshold: float | None,
    members: Mapping[str, NDArray[np.intp]],
) -> dict[str, Floats]:
    curves = weighted_roc(truth, scores, weights)
    figures = {"auc": area_under(curves)}
    for source, rows in members.items():
        figures[f"auc within {source}"] = area_under(weighted_roc(truth[rows], scores[rows], weights[:, rows]))
    figures |= {f"sensitivity_at_specificity_{rate}": sensitivity_of(curves, float(rate)) for rate in FIXED_RATES}
    figures |= {f"specificity_at_sensitivity_{rate}": specificity_of(curves, float(rate)) for rate in FIXED_RATES}
    figures["equal_error_rate"] = equal_error_rate_of(curves)
    figures["brier"] = weighted_mean((scores - truth) ** 2, weights)
    if threshold is not None:
        called = scores >= threshold
        figures["sensitivity"] = weighted_mean(called[truth].astype(np.float64), weights[:, truth])
        figures["specificity"] = weighted_mean((~called[~truth]).astype(np.float64), weights[:, ~truth])
    return figures


def _number(value: Floats) -> float | None:
    return float(value[0]) if np.isfinite(value[0]) else None
