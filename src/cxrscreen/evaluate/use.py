"""What the scores of one decision are worth in use.

Do they mean what they say, does acting on them help, and how often is a call right where the disease is rare?
"""

from dataclasses import dataclass

import pandas as pd

from cxrscreen.evaluate.bootstrap import REPLICATES
from cxrscreen.evaluate.calibration import ReliabilityBin, reliability_curve
from cxrscreen.evaluate.classification import ClassificationResult
from cxrscreen.evaluate.decision_curve import DecisionCurve, decision_curve
from cxrscreen.evaluate.prevalence import Expectation, prevalence_table


@dataclass(frozen=True)
class Use:
    """Pooled figures of use; see the modules of each.

    Parameters
    ----------
    reliability
        Bins of equal width.
    decision_curve
        Net benefit over the threshold probability.
    prevalence
        What to expect per 1000 persons at the threshold; empty without one.
    """

    reliability: tuple[ReliabilityBin, ...]
    decision_curve: DecisionCurve
    prevalence: tuple[Expectation, ...]


def measure_use(
    scores: pd.DataFrame,
    result: ClassificationResult,
    *,
    prevalence: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
) -> Use:
    """Measure what `classification.evaluate_scores` does not, on the same table.

    Parameters
    ----------
    scores
        The table that was measured.
    result
        Its figures; its threshold and rates make the prevalence table.
    prevalence
        Share of positives for the decision curve, in (0, 1); None: that of the images.
    replicates, seed, level
        Of the bootstrap and of all intervals.
    """
    truth = scores["truth"].to_numpy().astype(int)
    values = pd.to_numeric(scores["score"]).to_numpy(dtype=float)
    groups = scores["group"].astype(str).tolist()
    rates = result.pooled.estimates
    return Use(
        reliability=reliability_curve(truth, values, groups, level=level),
        decision_curve=decision_curve(
            truth, values, groups, prevalence=prevalence, replicates=replicates, seed=seed, level=level
        ),
        prevalence=prevalence_table(rates["sensitivity"], rates["specificity"]) if "sensitivity" in rates else (),
    )
