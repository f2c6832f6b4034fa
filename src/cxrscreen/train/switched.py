"""The losses of COMiT-Net: Eq. 2, 3, 5 and 7, and their sum with a switch for each image and task, Eq. 8."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from cxrscreen.data.masks import IGNORE

Over = Literal["images", "labelled"]
Name = TypeVar("Name", bound=str)


class Term(NamedTuple):
    """The loss of one task for each image, float (N,), 0 where the switch, bool (N,), is off."""

    loss: Tensor
    on: Tensor


def switched_sum(terms: Mapping[Name, Term], weights: Mapping[Name, float], over: Over = "images") -> Tensor:
    r"""Eq. 8: :math:`\sum_i T_{1i} Z_{1i} + T_{2i} Z_{2i} + T_{3i} Z_{3i} + T_{4i} Z_{4i}`, as a mean over a batch.

    Parameters
    ----------
    terms
        By task. What belongs to a switch that is off gets a gradient of exactly zero.
    weights
        By task; the paper weights all alike.
    over
        ``images``: each task's sum over the number of images in the batch, Eq. 8 but for that constant. ``labelled``:
        over the number of images whose switch is on, so that a task with few labels counts as much as the others.

    Returns
    -------
    Tensor
        float (), 0 where no switch is on.
    """
    total = torch.zeros(())
    for name, (loss, on) in terms.items():
        count = len(loss) if over == "images" else on.sum().clamp(min=1)
        total = total.to(loss.device) + weights[name] * loss.sum() / count
    return total


def mask_term(logits: Tensor, target: Tensor, inside_weight: float = 1.0) -> Term:
    """Eq. 2 and Eq. 3: binary cross-entropy of a mask, of lungs or of disease.

    The paper prints a sum over pixels, which would outweigh a label by fifty thousand to one although "each loss is
    weighted equally"; this is their mean. The number of pixels as the task's weight in :func:`switched_sum` gives the
    sum back.

    Parameters
    ----------
    logits
        float (N, 2, H, W), background and foreground; their softmax is the paper's prediction.
    target
        (N, H, W): 0, 1, or :data:`~cxrscreen.data.masks.IGNORE` where it is not known; an image without a mask is
        ignored everywhere, which is the switch.
    inside_weight
        Weight of foreground pixels; the paper's is 1.
    """
    known = target != IGNORE
    truth = torch.where(known, target, 0).long()
    # With two channels the cross-entropy of the softmax is the binary one of its foreground.
    entropy = F.cross_entropy(logits.float(), truth, reduction="none")
    each = known * (1.0 + (inside_weight - 1.0) * truth)
    counts = known.sum(dim=(1, 2))
    return Term((entropy * each).sum(dim=(1, 2)) / counts.clamp(min=1), counts > 0)


def health_term(logits: Tensor, truth: Tensor) -> Term:
    """Eq. 5: cross-entropy of healthy against unhealthy.

    Parameters
    ----------
    logits
        float (N, 2), healthy and unhealthy.
    truth
        float (N,): 1 unhealthy, 0 healthy, NaN not known.
    """
    on = torch.isfinite(truth)
    entropy = F.cross_entropy(logits.float(), torch.where(on, truth, 0.0).long(), reduction="none")
    return Term(entropy * on, on)


def diagnosis_term(logits: Tensor, truth: Tensor) -> Term:
    """Eq. 7: two binary cross-entropies, of COVID-19 and of other disease, added.

    Parameters
    ----------
    logits
        float (N, 2), COVID-19 and other disease.
    truth
        float (N, 2): 1, 0, or NaN where it is not known; each of the two has a switch of its own.
    """
    known = torch.isfinite(truth)
    entropy = F.binary_cross_entropy_with_logits(logits.float(), torch.where(known, truth, 0.0), reduction="none")
    return Term((entropy * known).sum(dim=1), known.any(dim=1))
