"""The gate: whether a radiograph is of the kind the systems were made for, with codes and sentences where not."""

from cxrscreen.systems.gate.judge import judge, refusal
from cxrscreen.systems.gate.measures import Measures, measure

__all__ = ["Measures", "judge", "measure", "refusal"]
