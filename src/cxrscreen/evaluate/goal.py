"""A goal that a figure should reach, and whether it does, in plain words."""

from dataclasses import dataclass

from cxrscreen.evaluate.bootstrap import Estimate


@dataclass(frozen=True)
class Goal:
    """A bar for a figure.

    Parameters
    ----------
    limit
        In the units of the figure.
    at_least
        True: the figure should not lie below it; False: not above it.
    """

    limit: float
    at_least: bool = True

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g}"

    def verdict(self, estimate: Estimate | None) -> str:
        """Say ``held``, ``missed`` or ``not measured``, and where the interval would allow the contrary."""
        if estimate is None or estimate.value is None:
            return "not measured"
        said = "held" if self.held(estimate.value) else "missed"
        if estimate.ci_low is None or estimate.ci_high is None:
            return f"{said} (no interval)"
        sure = self.held(estimate.ci_low) == self.held(estimate.ci_high)
        return said if sure else f"{said} (the interval allows the contrary)"

    def held(self, value: float) -> bool:
        """Whether a figure reaches the goal."""
        return value >= self.limit if self.at_least else value <= self.limit
