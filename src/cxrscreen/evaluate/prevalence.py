"""What a sensitivity and a specificity mean where the disease is as rare as it is: per 1000 persons screened."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cxrscreen.evaluate.bootstrap import Estimate

PREVALENCES = (0.01, 0.02, 0.05, 0.10, 0.20)
"""Shares of positives for which a table is made."""

PERSONS = 1000
"""Persons screened, to whom the counts of a table refer."""


@dataclass(frozen=True)
class Expectation:
    """What to expect at one prevalence.

    Parameters
    ----------
    prevalence
        In (0, 1).
    true_positive, false_positive, false_negative, true_negative
        Expected per 1000 persons, not rounded; together 1000.
    ppv, npv
        Predictive values. Their intervals combine the ends of both rates' intervals, so they hold the true value more
        often than those do; without a value where nobody is called, or nobody passed.
    """

    prevalence: float
    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float
    ppv: Estimate
    npv: Estimate


def prevalence_table(
    sensitivity: Estimate, specificity: Estimate, prevalences: Sequence[float] = PREVALENCES
) -> tuple[Expectation, ...]:
    """Carry a sensitivity and a specificity to other prevalences by Bayes' rule.

    It supposes that both stay what they were on the measured images, which a new place has to be asked for.

    Parameters
    ----------
    sensitivity, specificity
        Each with a value in [0, 1], and an interval or none.
    prevalences
        In (0, 1).

    Returns
    -------
    tuple of Expectation
        One per prevalence, in the order given.

    Raises
    ------
    ValueError
        If a rate has no value, or a prevalence is not in (0, 1).
    """
    if not all(0 < prevalence < 1 for prevalence in prevalences):
        raise ValueError("a prevalence must lie in (0, 1)")
    if sensitivity.value is None or specificity.value is None:
        raise ValueError("a prevalence table needs a sensitivity and a specificity")
    found, passed = sensitivity.value, specificity.value
    ends = ((sensitivity.ci_low, specificity.ci_low), (sensitivity.ci_high, specificity.ci_high))
    n, groups = sensitivity.n + specificity.n, sensitivity.groups + specificity.groups

    def predictive(value: Callable[[float, float, float], float | None], prevalence: float) -> Estimate:
        low, high = (None if a is None or b is None else value(a, b, prevalence) for a, b in ends)
        middle = value(found, passed, prevalence)
        if middle is None:
            low = high = None
        return Estimate(middle, low, high, n, groups, "from the ends of the intervals of sensitivity and specificity")

    return tuple(
        Expectation(
            prevalence=prevalence,
            true_positive=found * PERSONS * prevalence,
            false_positive=(1 - passed) * PERSONS * (1 - prevalence),
            false_negative=(1 - found) * PERSONS * prevalence,
            true_negative=passed * PERSONS * (1 - prevalence),
            ppv=predictive(ppv_at, prevalence),
            npv=predictive(npv_at, prevalence),
        )
        for prevalence in prevalences
    )


def ppv_at(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    """Share of positives among those called positive, in [0, 1]; None where nobody is called."""
    right, wrong = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return right / (right + wrong) if right + wrong > 0 else None


def npv_at(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    """Share of negatives among those passed as negative, in [0, 1]; None where nobody is."""
    return ppv_at(specificity, sensitivity, 1 - prevalence)
