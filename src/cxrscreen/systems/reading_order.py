"""In which order radiographs are to be read: one score for all systems that decide twice."""

import math

from cxrscreen.systems.contract import Stage


def triage_score(pneumonia: Stage, disease: Stage, *, diseased: bool | None = None) -> float:
    """A score that orders a worklist: normals below 0.5, pneumonia above, the new disease first among equals.

    Parameters
    ----------
    pneumonia, disease
        The first decision, which is always asked, and the one on the new disease, which counts only where the first is
        positive.
    diseased
        Whether the finding is a disease, where something else than the first decision makes it (a vote); the score is
        then kept on the finding's side of 0.5. None: the first decision makes it.

    Returns
    -------
    float
        In [0, 1]: with u the probability of pneumonia stretched so that its threshold lies at 0.5, and v likewise that
        of the disease, u below 0.5 and 0.25 + 0.5 u + 0.25 v from there on.

    Raises
    ------
    ValueError
        If the first decision has no probability.
    """
    if pneumonia.probability is None:
        raise ValueError("the first decision is always asked")
    u = _centred(pneumonia.probability, pneumonia.threshold)
    if diseased is not None:
        u = max(u, 0.5) if diseased else min(u, _BELOW_HALF)
    if u < 0.5 or disease.probability is None:
        return u
    return 0.25 + 0.5 * u + 0.25 * _centred(disease.probability, disease.threshold)


_BELOW_HALF = math.nextafter(0.5, 0.0)


def _centred(probability: float, threshold: float) -> float:
    if probability < threshold:
        return 0.5 * probability / threshold
    return 0.5 + 0.5 * (probability - threshold) / (1.0 - threshold) if threshold < 1.0 else 1.0
