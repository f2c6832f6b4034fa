"""Learning new images without forgetting the old ones: Eq. 2 of the cascade paper."""

import torch
from torch import Tensor
from torch.nn import functional as F


def incremental_loss(
    logits: Tensor, truth: Tensor, teacher: Tensor, weight: float, offset: Tensor | float = 0.0
) -> Tensor:
    r"""Cross-entropy on all images plus distillation on the old ones (Yeh et al. 2020, Eq. 2).

    .. math:: L = \frac{1}{|D|} \left( \sum_{D} \ell_{CE} + \lambda \sum_{D_o} \ell_{KL} \right)

    with the Kullback-Leibler divergence from the pre-trained network's output to this one's.

    Parameters
    ----------
    logits
        Float (N,): this network's.
    truth
        Float (N,) in [0, 1]; may be smoothed.
    teacher
        Float (N,): logits of the pre-trained network for the images of D_o, NaN for new ones.
    weight
        Lambda, at least 0; 0 is plain training on D.
    offset
        Added to the logits in the cross-entropy alone: the teacher's are held to as they are.

    Returns
    -------
    Tensor
        Scalar.
    """
    entropy = F.binary_cross_entropy_with_logits(logits + offset, truth, reduction="sum")
    old = ~torch.isnan(teacher)
    return (entropy + weight * binary_divergence(teacher[old], logits[old]).sum()) / len(logits)


def binary_divergence(teacher: Tensor, logits: Tensor) -> Tensor:
    """Kullback-Leibler divergence of two-class outputs given as logits, from teacher to network; (N,), at least 0."""
    share = torch.sigmoid(teacher)
    yes = F.logsigmoid(teacher) - F.logsigmoid(logits)
    no = F.logsigmoid(-teacher) - F.logsigmoid(-logits)
    return share * yes + (1 - share) * no
