"""How well predicted masks give the cardiothoracic ratio of reference masks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cxrscreen.biomarkers.intervals import Interval, Intervals, weighted_mean


@dataclass(frozen=True)
class CtrAgreement:
    """How well predicted masks give the cardiothoracic ratio of the reference masks.

    Parameters
    ----------
    mean_absolute_error
        Mean of the absolute value of predicted - reference.
    bias
        Mean of predicted - reference.
    limits
        Bland and Altman's 95 % limits of agreement: bias -/+ 1.96 standard deviations of the difference.
    n
        Images compared.
    without_prediction
        Images with a reference ratio whose predicted masks give none; they are in no figure.
    """

    mean_absolute_error: Interval
    bias: Interval
    limits: tuple[float, float]
    n: int
    without_prediction: int


def ratio_agreement(
    predicted: Mapping[str, float | None],
    reference: Mapping[str, float],
    groups: Mapping[str, str],
    intervals: Intervals,
) -> CtrAgreement:
    """Compare the ratio from predicted masks with that from reference masks.

    Parameters
    ----------
    predicted
        By image id; None where a mask gave no ratio.
    reference
        By image id; images that have none are left out.
    groups
        Patient group by image id.
    intervals
        Makes the intervals by patient.

    Returns
    -------
    CtrAgreement
        The field's mark is a mean absolute error of 0.02.

    Raises
    ------
    ValueError
        If no image has both ratios.
    """
    images = [image for image in reference if predicted.get(image) is not None]
    if not images:
        raise ValueError("no image has a cardiothoracic ratio from both masks")
    difference = np.array([_number(predicted[image]) - reference[image] for image in images])
    made = intervals(
        lambda weights: {
            "error": weighted_mean(np.abs(difference), weights),
            "bias": weighted_mean(difference, weights),
        },
        [groups[image] for image in images],
    )
    spread = 1.96 * float(difference.std(ddof=1)) if len(images) > 1 else 0.0
    middle = float(difference.mean())
    return CtrAgreement(
        mean_absolute_error=made["error"],
        bias=made["bias"],
        limits=(middle - spread, middle + spread),
        n=len(images),
        without_prediction=len(reference) - len(images),
    )


def _number(value: float | None) -> float:
    if value is None:
        raise ValueError("a ratio is missing")
    return value
