"""Training as the limited-data papers describe it: Adam, a learning rate that falls where the loss stands, L1."""

from typing import Any

from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from cxrscreen.train.loop import Task
from cxrscreen.train.schedule import PlateauPhase

EPOCH_LOSS = "epoch_loss"
"""Mean training loss of an epoch, which the falling learning rate looks at."""
FALL = 0.1
"""Factor of the learning rate where the loss no longer improves."""


class PlateauTask(Task):
    """A task whose phase may choose its schedule; subclasses give their loss to :meth:`penalised`.

    A plain :class:`~cxrscreen.train.recipe.Phase` has the cycle and no penalty.
    """

    def penalised(self, loss: Tensor) -> Tensor:
        """Log a batch's loss, and add the L1 penalty."""
        self.log("loss", loss, prog_bar=True)
        # The schedule looks at it, which must fall at the same moment in every process.
        self.log(EPOCH_LOSS, loss, on_step=False, on_epoch=True, sync_dist=True)
        if isinstance(self.phase, PlateauPhase) and self.phase.l1 > 0:
            absolute = sum((values.abs().sum() for values in self.network.parameters()), start=loss.new_zeros(()))
            loss = loss + self.phase.l1 * absolute
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with one cycle, or Adam with a falling learning rate."""
        if not isinstance(self.phase, PlateauPhase) or self.phase.schedule == "cycle":
            return super().configure_optimizers()
        optimiser = Adam(self.network.parameters(), self.phase.learning_rate, weight_decay=self.phase.weight_decay)
        falling = ReduceLROnPlateau(optimiser, factor=FALL, patience=self.phase.decay_after)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": falling, "monitor": EPOCH_LOSS}}
