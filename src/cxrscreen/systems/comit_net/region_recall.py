"""How much of the known diseased regions is found at a score of one half: the logit is moved after the training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxrscreen.nets.comit import ComitNet
from cxrscreen.systems.comit_net.images import ComitImages

HEAD_BIAS = "disease.head.bias"
"""Of background and region."""


@dataclass(frozen=True)
class RegionMove:
    """What was done to the region's score, for the card.

    Parameters
    ----------
    recall
        The share that was asked for.
    images
        Validation images with a known region, by which the score was moved; 0: it was not.
    offset
        What was added to the logit.
    """

    recall: float
    images: int
    offset: float = 0.0

    @property
    def words(self) -> str:
        """A limit of the bundle."""
        if not self.images:
            return (
                "The recipe's region_recall moved nothing, since no validation image has a known diseased region: 0.5 "
                "is the score as trained."
            )
        before = 1 / (1 + math.exp(self.offset))
        return (
            "The region's score is no probability: it was moved after the training so that 0.5 finds "
            f"{self.recall:.0%} of the known regions of {self.images} validation images, as a mean over them; before, "
            f"that was the score {before:.2g}. In other images more or less may be found."
        )


def offset_for(margins: Sequence[NDArray[np.float32]], recall: float) -> float:
    """Find what to add to a logit so that enough is found.

    Parameters
    ----------
    margins
        For each image the logits of the places within its known region, of any number; 0 divides.
    recall
        Share of a region that is to be found, in (0, 1), as the mean over images.

    Returns
    -------
    float
        The smallest offset with which the mean reaches ``recall``; below 0 where more is found without.
    """
    candidates = np.unique(-np.concatenate(margins))

    def found(offset: np.float32) -> float:
        return float(np.mean([(own >= -offset).mean() for own in margins]))

    # With the largest everything is found, and what is found grows with the offset.
    first, last = 0, len(candidates) - 1
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if found(candidates[middle]) >= recall else (middle + 1, last)
    return float(candidates[first])


def with_region_recall(
    network: ComitNet, images: ComitImages, recall: float, *, mirrored: bool
) -> Mapping[str, Tensor]:
    """Move the logit of the diseased region, so that a score of one half finds the asked share of the known regions.

    The loss decides how dear a missed place is beside a false one, not how many places are missed; where regions are
    rare in training, one half misses most of them.

    Parameters
    ----------
    network
        The trained network, with the task ``disease``; left in evaluation mode.
    images
        Validation images; those without a region say nothing.
    recall
        See :func:`offset_for`.
    mirrored
        Whether screening averages the logits with those of the mirror image.

    Returns
    -------
    mapping
        The state of the network with other biases of the region's two logits; the same where no image has a region.
    """
    network.eval()
    margins = []
    with torch.no_grad():
        for index in np.flatnonzero(images.labelled.diseased).tolist():
            image, _, region, *_ = images[index]
            if not (region == 1).any():
                continue
            logits = _logits(network, image)
            if mirrored:
                logits = (logits + _logits(network, image.flip(-1)).flip(-1)) / 2
            margins.append((logits[1] - logits[0])[region == 1].numpy())
    if not margins:
        return network.state_dict()
    half = offset_for(margins, recall) / 2
    state = dict(network.state_dict())
    state[HEAD_BIAS] = state[HEAD_BIAS] + torch.tensor([-half, half], dtype=state[HEAD_BIAS].dtype)
    return state


def _logits(network: ComitNet, image: Tensor) -> Tensor:
    logits = network(image[None]).disease
    assert logits is not None
    first: Tensor = logits[0].float()
    return first


def offset_between(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> float:
    """What :func:`with_region_recall` added to the logit of the region against the background."""
    background, region = (after[HEAD_BIAS] - before[HEAD_BIAS]).tolist()
    return float(region - background)
