"""The learning-rate range test: the loss while the rate rises, and the rate at which it falls fastest.

Smith: Cyclical learning rates for training neural networks, WACV 2017 (reference [91] of the COVID-CXNet paper; its
Fig. 10).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.signal import savgol_filter
from torch import Tensor, nn
from torch.optim import Adam

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import RecipeError

LOWEST, HIGHEST = 1e-7, 1.0
SMOOTHING = 0.9
"""Share of the loss so far in the smoothed one, which is drawn and ends the test; it lags, so no slope is of it."""
BLOWN_UP = 4.0
"""Smoothed loss, in multiples of its least, at which the test ends."""
FEWEST = 8
WINDOW = 0.2
"""Share of the steps over which a slope is taken."""


@dataclass(frozen=True, eq=False)
class RangeTest:
    """The course of a test.

    Parameters
    ----------
    rates
        float64 (N,), rising by one factor from step to step.
    losses
        float64 (N,), of each step's batch, before the step.
    smoothed
        float64 (N,), the bias-corrected exponential mean of the losses.
    suggestion
        The rate at which the loss falls fastest along the logarithm of the rate, see :func:`steepest`.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    suggestion: float


def check_range(steps: int, lowest: float, highest: float) -> None:
    """Raise a :class:`RecipeError` where a test of so many steps between these rates could tell nothing."""
    if steps < FEWEST or not 0 < lowest < highest < math.inf:
        raise RecipeError(f"A range test needs {FEWEST} steps or more, and rates that rise from above 0: change them.")


def learning_rate_range(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
) -> RangeTest:
    """Train with Adam while the learning rate rises exponentially; the network is given back as it was.

    Parameters
    ----------
    network
        As it would start its training.
    batches
        Images and truth, at least ``steps`` of them.
    loss
        From logits and truth to the mean loss.
    steps
        Batches to learn from; the test ends sooner where the loss blows up.
    lowest, highest
        The rates at the first and at the last step.

    Raises
    ------
    RecipeError
        If the loss is no number from the start, or there are too few steps to tell anything.
    """
    check_range(steps, lowest, highest)
    before = {name: values.detach().clone() for name, values in network.state_dict().items()}
    training = network.training
    rates = np.geomspace(lowest, highest, steps)
    optimiser = Adam([values for values in network.parameters() if values.requires_grad], lr=lowest)
    losses: list[float] = []
    network.train()
    try:
        for rate, (images, truth) in zip(rates, batches, strict=False):
            optimiser.param_groups[0]["lr"] = float(rate)
            value = loss(network(images), truth)
            if not torch.isfinite(value):
                break
            losses.append(float(value.detach()))
            smooth = smoothed(losses)
            if len(losses) > FEWEST and smooth[-1] > BLOWN_UP * smooth.min():
                break
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    finally:
        network.load_state_dict(before)
        network.train(training)
    if len(losses) < FEWEST:
        raise RecipeError("The loss blew up or the batches ended within a few steps: begin at a lower rate.")
    course, raw = rates[: len(losses)], np.array(losses)
    return RangeTest(course, raw, smoothed(losses), steepest(course, raw))


def smoothed(losses: list[float]) -> NDArray[np.float64]:
    """Exponential mean, each value divided by the weight it has so far, so that the first losses count in full."""
    mean, result = 0.0, []
    for number, value in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        result.append(mean / (1 - SMOOTHING**number))
    return np.array(result)


def steepest(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """Rate at which the loss falls fastest, along the logarithm of the rate, before its least value.

    Loss and slope at each step are those of a straight line through a :data:`WINDOW` of the steps around it (Savitzky
    and Golay), since from batch to batch the loss jumps.

    Parameters
    ----------
    rates
        float64 (N,), rising by one factor from step to step; N at least 3.
    losses
        float64 (N,), of the batches.
    """
    window = 2 * max(1, round(WINDOW * len(losses) / 2)) + 1
    level, slope = (savgol_filter(losses, window, polyorder=1, deriv=order) for order in (0, 1))
    last = max(int(level.argmin()), 1)
    return float(rates[int(slope[: last + 1].argmin())])


def range_figure(test: RangeTest, title: str) -> Figure:
    """Draw the loss over the learning rate, with the suggestion."""
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(test.rates, test.losses, color="#999999", linewidth=0.8, label="loss of each batch")
    axes.plot(test.rates, test.smoothed, color="#0072B2", linewidth=1.8, label="smoothed")
    axes.axvline(test.suggestion, color="#D55E00", linewidth=1.4, linestyle="--")
    axes.set(xscale="log", xlabel="Learning rate", ylabel="Loss", ylim=(0, 1.6 * float(np.median(test.smoothed[:5]))))
    axes.set_title(title, fontsize=11, loc="left")
    axes.legend(frameon=False, fontsize=9, loc="lower left", title=f"falls fastest at {test.suggestion:.1e}")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        "A suggestion for where to begin, from one pass over training batches; with another seed it moves, and it says "
        f"nothing of how well\nthe network will do. {RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure
