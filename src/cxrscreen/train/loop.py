"""One phase of training with Lightning: resumable, validated on averaged weights, the best kept."""

import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from cxrscreen.errors import RecipeError
from cxrscreen.train.recipe import Compute, Phase

SCORE = "validation_score"
"""What a task logs after each epoch; larger is better."""


class Task(lightning.LightningModule):
    """A network with its optimiser; tasks add the training and validation steps."""

    def __init__(self, network: nn.Module, phase: Phase, steps: int, seed: int) -> None:
        super().__init__()
        # Convolutions on CPU and on tensor cores are fastest with channels last.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.phase = phase
        self.steps = steps
        self.seed = seed

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Begin each step from a seed of its own, so that a resumed run draws what an uninterrupted one draws."""
        torch.manual_seed(1_000_003 * self.seed + self.global_step)

    def configure_optimizers(self) -> Any:
        """AdamW (no decay on vectors: biases and normalisation) with one cosine cycle."""
        decayed = [p for p in self.parameters() if p.requires_grad and p.ndim > 1]
        free = [p for p in self.parameters() if p.requires_grad and p.ndim <= 1]
        optimiser: Optimizer = AdamW(
            [{"params": decayed, "weight_decay": self.phase.weight_decay}, {"params": free, "weight_decay": 0.0}],
            lr=self.phase.learning_rate,
        )
        cycle = OneCycleLR(
            optimiser,
            max_lr=self.phase.learning_rate,
            total_steps=self.steps,
            # Torch divides by zero where the rise takes exactly one step.
            pct_start=self.phase.warmup if round(self.phase.warmup * self.steps, 6) != 1 else 1.01 / self.steps,
            cycle_momentum=False,
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def fit(
    task: Task, training: DataLoader[Any], validation: DataLoader[Any], phase: Phase, compute: Compute, folder: Path
) -> dict[str, Tensor]:
    """Run a phase, or go on where it stopped.

    Parameters
    ----------
    task
        Logs :data:`SCORE` in its validation.
    training, validation
        Loaders.
    phase, compute
        Settings.
    folder
        Receives checkpoints after every epoch and ``metrics.csv``; a run that finds ``last.ckpt`` resumes.

    Returns
    -------
    dict
        State of ``task.network`` (averaged weights, if on) at the best validation score, float32, on the CPU.
    """
    if compute.threads is not None:
        torch.set_num_threads(compute.threads)
    keep = ModelCheckpoint(folder, filename="best", monitor=SCORE, mode="max", enable_version_counter=False)
    latest = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    early = EarlyStopping(SCORE, mode="max", patience=phase.patience)
    callbacks: list[Callback] = [keep, latest, early, RichProgressBar()]
    if phase.ema > 0:
        callbacks.append(EMAWeightAveraging(decay=phase.ema))
    _set_history_aside(folder)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Loading happens in the training process by design: two cores, and augmentation is cheap beside the network.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # A task may freeze normalisation on purpose.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        trainer = _trainer(phase, compute, callbacks, folder)
        last = folder / "last.ckpt"
        # The checkpoints are this machine's own files, not downloads: full unpickling is safe and needed to resume.
        trainer.fit(task, training, validation, ckpt_path=str(last) if last.is_file() else None, weights_only=False)
    return kept_state(folder, "best")


def kept_state(folder: Path, name: Literal["best", "last"]) -> dict[str, Tensor]:
    """Read the network's state that :func:`fit` left in a folder: at the best validation score, or at the end."""
    state = torch.load(folder / f"{name}.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    prefix = "network."
    return {name[len(prefix) :]: value.float() for name, value in state.items() if name.startswith(prefix)}


def _trainer(phase: Phase, compute: Compute, callbacks: list[Callback], folder: Path) -> lightning.Trainer:
    try:
        return lightning.Trainer(
            accelerator=compute.accelerator,
            devices=1,
            precision=compute.precision,
            max_epochs=phase.epochs,
            callbacks=callbacks,
            logger=CSVLogger(folder, name="", version=""),
            log_every_n_steps=20,
            num_sanity_val_steps=0,
            deterministic=True,
            gradient_clip_val=1.0,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"The recipe's compute settings do not fit this machine: {reason}") from error


def _set_history_aside(folder: Path) -> None:
    """Keep the curve of the run before a stop, which the logger would write over."""
    history = folder / "metrics.csv"
    if history.is_file():
        history.rename(folder / f"metrics-{len(list(folder.glob('metrics-*.csv'))) + 1}.csv")
