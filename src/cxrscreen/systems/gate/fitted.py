"""The fitted part of the gate: logistic regressions over named measures, and thresholds, from one JSON file."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

FARTHEST = 4.0
"""Standardised measures are cut at this many standard deviations, so that no single one decides by being absurd."""

Scope = Literal["frontal", "lateral", "ct_slice", "not_a_chest"]


class Part(BaseModel):
    """Base of the file's parts: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Logistic(Part):
    """A (multinomial) logistic regression.

    Attributes
    ----------
    measures
        Names of its inputs.
    mean, scale
        Of each input, over the images it was fitted on.
    classes
        Names of its outputs.
    weights
        One row for each class, one column for each measure.
    bias
        One for each class.
    """

    measures: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    classes: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        inputs, outputs = len(self.measures), len(self.classes)
        rows = {len(row) for row in self.weights}
        if {len(self.mean), len(self.scale), *rows} != {inputs} or {len(self.weights), len(self.bias)} != {outputs}:
            raise ValueError("its lists differ in length")
        return self

    def probabilities(self, measures: Mapping[str, float]) -> dict[str, float]:
        """Probability of each class, in [0, 1], summing to 1."""
        values = np.array([measures[name] for name in self.measures])
        standard = np.clip((values - np.array(self.mean)) / np.array(self.scale), -FARTHEST, FARTHEST)
        logits: NDArray[np.float64] = np.array(self.weights) @ standard + np.array(self.bias)
        powers = np.exp(logits - logits.max())
        return dict(zip(self.classes, (powers / powers.sum()).tolist(), strict=True))


class Thresholds(Part):
    """From where on the gate objects.

    Attributes
    ----------
    out_of_scope
        Of one minus the probability of a frontal chest.
    photograph, child
        Of their probabilities.
    cut_off
        Share of the lungs' box that runs along an edge of the image; the top, the sides and the bottom.
    letters
        Number of burned-in letters.
    too_small
        Shorter side, pixels.
    """

    out_of_scope: float = Field(gt=0, lt=1)
    photograph: float = Field(gt=0, lt=1)
    child: float = Field(gt=0, lt=1)
    cut_off: float = Field(gt=0, le=1)
    letters: int = Field(gt=0)
    too_small: int = Field(gt=0)


class Fitted(Part):
    """The file ``fitted.json``.

    Attributes
    ----------
    command
        What wrote it.
    scope
        Frontal chest, lateral chest, CT slice, anything else.
    photograph, child
        Against what they are not.
    thresholds
        From where on the gate objects.
    """

    command: str
    scope: Logistic
    photograph: Logistic
    child: Logistic
    thresholds: Thresholds


@cache
def fitted() -> Fitted:
    """Read what ships with the package."""
    text = (resources.files("cxrscreen.systems.gate") / "fitted.json").read_text(encoding="utf-8")
    return Fitted.model_validate_json(text)
