"""What one process of several takes of each batch, and how what they find becomes one result."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.callbacks import Callback
from torch import distributed
from torch.utils.data import DataLoader, Sampler

from cxrscreen.train.crew import batch_share
from cxrscreen.train.together import gathered

T = TypeVar("T")


class ShareOfBatches(Sampler[list[T]]):
    """Of each batch the part of one process; the parts of all processes, in order, are the batch of a single one.

    A part is a stretch of neighbours: :class:`cxrscreen.train.batches.EvenBatches` goes round the groups from place to
    place, so that each part holds them as evenly as its size allows.

    Parameters
    ----------
    batches
        A batch sampler that gives the same batches in every process.
    rank, size
        Of this process, and how many there are.
    """

    def __init__(self, batches: Sampler[list[T]], rank: int, size: int) -> None:
        self.batches, self.rank, self.size = batches, rank, size

    @property
    def sampler(self) -> "ShareOfBatches[T]":
        """Itself: Lightning looks for ``set_epoch`` on a batch sampler's ``sampler``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the batches, where they differ between epochs."""
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[T]]:
        for batch in self.batches:
            part = batch_share(len(batch), self.size)
            yield batch[self.rank * part : (self.rank + 1) * part]


class TurnsOfBatches(Sampler[list[T]]):
    """Every so many-th batch: the processes take turns, none is left out and none is repeated."""

    def __init__(self, batches: Sampler[list[T]], rank: int, size: int) -> None:
        self.batches, self.rank, self.size = batches, rank, size

    def __len__(self) -> int:
        return len(range(self.rank, len(self.batches), self.size))  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[T]]:
        return islice(iter(self.batches), self.rank, None, self.size)


def training_share(loader: DataLoader[Any], rank: int, size: int) -> DataLoader[Any]:
    """A loader of this process's part of every training batch."""
    return _with_batches(loader, ShareOfBatches(_batches_of(loader), rank, size))


def validation_share(loader: DataLoader[Any], rank: int, size: int) -> DataLoader[Any]:
    """A loader of this process's validation batches; there must be one for each process."""
    return _with_batches(loader, TurnsOfBatches(_batches_of(loader), rank, size))


class OneResult(Callback):
    """Makes of what several processes found what a single one would have found.

    After each step the floating-point buffers, which are the running statistics of normalisation, become their mean
    over the processes, before averaged weights take them over. At the end of an epoch every process gets what all have
    collected, in the order of a single process, and judges it by itself: the same figures everywhere, each image once.

    Parameters
    ----------
    validated
        Whether the validation images were shared out.
    """

    def __init__(self, *, validated: bool) -> None:
        self.validated = validated

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:  # noqa: ARG002
        """Average the buffers."""
        average_buffers(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Join what the training steps collected."""
        _join(pl_module, "_learned")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Join what the validation steps collected."""
        if self.validated:
            _join(pl_module, "_seen")


def average_buffers(module: torch.nn.Module) -> None:
    """Set each floating-point buffer to its mean over the processes, in one exchange."""
    buffers = [values for values in module.buffers() if values.is_floating_point()]
    if not buffers:
        return
    with torch.no_grad():
        joined = torch.cat([values.reshape(-1).float() for values in buffers])
        distributed.all_reduce(joined)
        joined /= distributed.get_world_size()
        for values, mean in zip(buffers, torch.split(joined, [values.numel() for values in buffers]), strict=True):
            values.copy_(mean.view_as(values))


def _join(module: LightningModule, name: str) -> None:
    found = getattr(module, name, None)
    if found is not None:
        # In place: the task holds on to its list.
        found[:] = gathered(move_data_to_device(found, torch.device("cpu")))


def _batches_of(loader: DataLoader[Any]) -> Sampler[list[Any]]:
    if loader.batch_sampler is None:
        raise ValueError("a loader without batches cannot be shared out")
    return loader.batch_sampler  # type: ignore[return-value]


def _with_batches(loader: DataLoader[Any], batches: Sampler[list[Any]]) -> DataLoader[Any]:
    return DataLoader(
        loader.dataset,
        batch_sampler=batches,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
        persistent_workers=loader.persistent_workers,
    )
