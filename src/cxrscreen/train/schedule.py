"""A phase with a choice of schedule; without torch, so that a recipe can be read where nothing is trained."""

from typing import Literal

from pydantic import Field

from cxrscreen.train.recipe import Phase


class PlateauPhase(Phase):
    """A run of the loop with a choice of schedule.

    Attributes
    ----------
    schedule
        ``cycle``: AdamW with one cosine cycle, as everywhere here. ``plateau``: Adam (weight decay as an L2 penalty on
        all parameters), whose learning rate is divided by ten where the training loss stands; ``warmup`` has no effect.
    decay_after
        Epochs without a lower training loss before the learning rate falls.
    l1
        Weight of the sum of the parameters' absolute values in the loss; 0: none.
    """

    schedule: Literal["cycle", "plateau"] = "cycle"
    decay_after: int = Field(default=5, ge=1)
    l1: float = Field(default=0.0, ge=0)
