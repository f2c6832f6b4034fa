"""Training a mask by a network of instances, judged as any other mask is."""

from typing import cast

from torch import Tensor

from cxrscreen.nets.mask_rcnn import MaskRCNN
from cxrscreen.train.segmenter import MaskTask


class InstanceTask(MaskTask):
    """The network's own losses; the validation score is the mean Dice of the union at 0.5."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        image, target = batch
        return self.penalised(cast(MaskRCNN, self.network).losses(image, target))
