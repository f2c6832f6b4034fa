"""What the labels of a manifest say for COMiT-Net's two classification tasks, and its decisions in words; no torch."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.manifest import PNEUMONIA_LABELS

UNHEALTHY: Final = "unhealthy"
COVID19: Final = "covid19_against_all"
OTHER: Final = "other_pneumonia"

STAGES: Final[Mapping[str, str]] = {
    UNHEALTHY: "Unhealthy lungs, against healthy",
    COVID19: "COVID-19, against everything else",
    OTHER: "Pneumonia other than COVID-19, against everything else",
}
"""Titles of the decisions by name: Eq. 4, and both outputs of Eq. 6."""

NO_CLASS: Final = "no label"


def health_of(label: str) -> float:
    """H of Eq. 5: 1 unhealthy, 0 healthy, NaN where the source gives no finding."""
    return nan if label == "unknown" else float(label != "normal")


def diagnosis_of(label: str) -> tuple[float, float]:
    """C and O of Eq. 7: COVID-19, and pneumonia of another cause.

    Tuberculosis counts as pneumonia, as in the cascade. A nodule or another finding is no COVID-19, and says nothing of
    pneumonia: the second switch is off.
    """
    if label == "unknown":
        return nan, nan
    other = float(label in PNEUMONIA_LABELS and label != "covid19")
    return float(label == "covid19"), other if label in {"normal", *PNEUMONIA_LABELS} else nan


def class_of(label: str) -> str:
    """What an image is drawn as: ``normal``, ``covid19``, ``other``, or :data:`NO_CLASS`."""
    if label in {"normal", "covid19"}:
        return label
    return NO_CLASS if label == "unknown" else "other"


def decisions_learned(health: NDArray[np.float32], diagnosis: NDArray[np.float32]) -> tuple[str, ...]:
    """Which decisions labels can teach: those of which both answers occur.

    Parameters
    ----------
    health
        float32 (N,).
    diagnosis
        float32 (N, 2).
    """
    columns: Sequence[NDArray[np.float32]] = (health, diagnosis[:, 0], diagnosis[:, 1])
    return tuple(name for name, own in zip(STAGES, columns, strict=True) if (own == 0).any() and (own == 1).any())
