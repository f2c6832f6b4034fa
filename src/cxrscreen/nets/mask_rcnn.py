"""Mask R-CNN as a network that gives one mask; torchvision's, which must be installed for it.

He, Gkioxari, Dollar, Girshick: Mask R-CNN, ICCV 2017. Its region pooling and non-maximum suppression are compiled parts
of torchvision, which nothing else here needs.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from scipy.ndimage import find_objects, label
from torch import Tensor, nn

from cxrscreen.errors import RecipeError

SMALLEST = 2
"""A region narrower or lower than this, in pixels, is no instance."""
LIKELY = 0.5
"""Score from which an instance counts."""
_LOGIT_LIMIT = 1e-4


class MaskRCNN(nn.Module):
    """Mask R-CNN with a ResNet-50 and a feature pyramid, random weights, one class besides the background.

    Parameters
    ----------
    side
        Side of the images, which are not resized.

    Raises
    ------
    RecipeError
        If torchvision is not installed, or is another build than torch.

    Notes
    -----
    Input float (N, 1, H, W) in [-1, 1]; output logits (N, 1, H, W) of the union of the instances that are likely.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        build = _torchvision().maskrcnn_resnet50_fpn
        grey = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        self.detector: nn.Module = build(
            weights=None, weights_backbone=None, num_classes=2, min_size=side, max_size=side, **grey
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mask; for evaluation alone, training asks for :meth:`losses`."""
        found = self.detector(self._shown(x))
        return torch.stack([union_logits(each, (x.shape[2], x.shape[3])) for each in found])

    def losses(self, x: Tensor, target: Tensor) -> Tensor:
        """Sum of the losses of regions, boxes, classes and masks; ``target`` float (N, 1, H, W), 1 inside."""
        losses: Mapping[str, Tensor] = self.detector(self._shown(x), [instances_of(each[0]) for each in target])
        return torch.stack(list(losses.values())).sum()

    @staticmethod
    def _shown(x: Tensor) -> list[Tensor]:
        return list(((x + 1) / 2).expand(-1, 3, -1, -1))


def instances_of(target: Tensor) -> dict[str, Tensor]:
    """Separate a mask into its connected regions, as torchvision wants them.

    Parameters
    ----------
    target
        float (H, W), 1 inside; anything else is outside.

    Returns
    -------
    dict
        ``boxes`` float (R, 4) as left, top, right, bottom; ``labels`` int64 (R,) of ones; ``masks`` uint8 (R, H, W).
    """
    inside = (target == 1).cpu().numpy()
    numbered, _ = label(inside)
    boxes, masks = [], []
    for number, place in enumerate(find_objects(numbered), start=1):
        rows, columns = place
        if min(rows.stop - rows.start, columns.stop - columns.start) >= SMALLEST:
            boxes.append([columns.start, rows.start, columns.stop, rows.stop])
            masks.append(numbered == number)
    stacked = np.stack(masks) if masks else np.zeros((0, *inside.shape), bool)
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32, device=target.device).reshape(-1, 4),
        "labels": torch.ones(len(boxes), dtype=torch.int64, device=target.device),
        "masks": torch.from_numpy(stacked.astype(np.uint8)).to(target.device),
    }


def union_logits(found: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
    """Logits of the union of an image's likely instances.

    Parameters
    ----------
    found
        ``scores`` (R,) and ``masks`` (R, 1, H, W), both in [0, 1].
    size
        H and W.

    Returns
    -------
    Tensor
        float (1, H, W): of the largest probability among the instances at each pixel.
    """
    likely = found["masks"][found["scores"] >= LIKELY]
    highest = likely.amax(dim=0) if len(likely) else found["masks"].new_zeros(1, *size)
    return torch.logit(highest.clamp(_LOGIT_LIMIT, 1 - _LOGIT_LIMIT))


def _torchvision() -> Any:
    try:
        return import_module("torchvision.models.detection")
    except (ImportError, RuntimeError) as error:
        # A torchvision of another build than torch fails with a RuntimeError.
        raise RecipeError(
            "Mask R-CNN needs torchvision, which is not installed here or does not fit this torch: install the "
            "torchvision that belongs to this torch, or leave this comparator out."
        ) from error
