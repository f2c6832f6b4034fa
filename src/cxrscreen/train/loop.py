"""One phase of training with Lightning: resumable, validated on averaged weights, the best kept."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.plugins.environments import TorchElasticEnvironment  # type: ignore[attr-defined]
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from cxrscreen.errors import RecipeError
from cxrscreen.train.crew import FIRST, Crew, batch_share, crew_for, placed
from cxrscreen.train.recipe import Compute, Phase
from cxrscreen.train.shares import OneResult, training_share, validation_share
from cxrscreen.train.together import assembled, tell

SCORE = "validation_score"
"""What a task logs after each epoch; larger is better."""

Listener = Callable[[Path, int, Mapping[str, float]], None]
"""Is told a phase's folder, the epoch, from 0, and what was logged in it."""
FINISHED = "finished"
"""Left in a phase's folder when it has ended: a checkpoint does not tell that patience ended it."""
_LISTENERS: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


class Task(lightning.LightningModule):
    """A network with its optimiser; tasks add the training and validation steps.

    A task collects what its validation steps find in the list ``_seen``, a value for each batch, and judges the epoch
    by it when it ends; what its training steps find it may collect so in ``_learned``. Where several processes train,
    each validates a part of the images, and the lists of all are joined before the epoch is judged. What a task logs by
    itself must be the same in every process.
    """

    def __init__(self, network: nn.Module, phase: Phase, steps: int, seed: int) -> None:
        super().__init__()
        # Convolutions on CPU and on tensor cores are fastest with channels last.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.phase = phase
        self.steps = steps
        self.seed = seed
        self._seen: list[Any] = []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Begin each step from a seed of its own, so that a resumed run draws what an uninterrupted one draws."""
        # Apart from process to process, or all would drop the same units.
        torch.manual_seed(1_000_003 * self.seed + self.global_step + (self.global_rank << 40))

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


@dataclass(frozen=True, eq=False)
class Work:
    """A phase as the first process tells the others to train it; see :func:`fit`.

    Parameters
    ----------
    resume
        Whether the folder holds a checkpoint to go on from.
    """

    task: Task
    training: DataLoader[Any]
    validation: DataLoader[Any]
    phase: Phase
    compute: Compute
    folder: Path
    resume: bool


def fit(
    task: Task, training: DataLoader[Any], validation: DataLoader[Any], phase: Phase, compute: Compute, folder: Path
) -> dict[str, Tensor]:
    """Run a phase, or go on where it stopped; on as many devices as the recipe asks for, or torchrun has started.

    Parameters
    ----------
    task
        Logs :data:`SCORE` in its validation.
    training, validation
        Loaders of a single process; with several, each takes its part of every training batch, and the validation
        batches in turns.
    phase, compute
        Settings.
    folder
        Receives checkpoints after every epoch and ``metrics.csv``; a run that finds ``last.ckpt`` resumes, also on
        another number of devices and after the folder was moved; a finished one is read, not trained further. The
        first process alone writes; all of them must see it.

    Returns
    -------
    dict
        State of ``task.network`` (averaged weights, if on) at the best validation score, float32, on the CPU.

    Raises
    ------
    RecipeError
        If the compute settings do not fit this machine or how the training was started, or a batch cannot be shared out
        evenly.
    CxrscreenError
        If one of several processes ended.
    """
    crew = crew_for(compute)
    batch_share(phase.batch, crew.size)
    if (folder / FINISHED).is_file():
        return kept_state(folder, "best")
    _set_history_aside(folder)
    work = Work(task, training, validation, phase, compute, folder, resume=(folder / "last.ckpt").is_file())
    if crew.size == 1:
        run_share(work, crew)
    else:
        with placed(crew):
            # Settings that do not fit are found before others are started.
            _trainer(work, crew, [])
            with assembled(crew):
                tell(work)
                run_share(work, crew)
    return kept_state(folder, "best")


def run_share(work: Work, crew: Crew) -> None:
    """Compute one process's share of a phase; :func:`fit` is what others call.

    Raises
    ------
    RecipeError
        If the compute settings do not fit this machine, or the work folder is not to be seen from here.
    """
    phase, compute, several = work.phase, work.compute, crew.size > 1
    last = work.folder / "last.ckpt"
    if work.resume and not last.is_file():
        raise RecipeError("A node does not see the checkpoints: put the work folder where all nodes see it.")
    _set_threads(compute, crew)
    keep = _Kept(work.folder, filename="best", monitor=SCORE, mode="max", enable_version_counter=False)
    latest = _Kept(work.folder, filename="last", enable_version_counter=False)
    callbacks: list[Callback] = [
        _Tell(work.folder),
        keep,
        latest,
        EarlyStopping(SCORE, mode="max", patience=phase.patience),
    ]
    if crew.rank == FIRST:
        callbacks.append(RichProgressBar() if Console().is_terminal else _EpochLines(work.folder))
    training, validation = work.training, work.validation
    if several:
        shared = len(validation) >= crew.size
        callbacks.append(OneResult(validated=shared))
        training = training_share(training, crew.rank, crew.size)
        validation = validation_share(validation, crew.rank, crew.size) if shared else validation
    if phase.ema > 0:
        callbacks.append(EMAWeightAveraging(decay=phase.ema))
    with warnings.catch_warnings():
        # Loading happens in the training process by design: two cores, and augmentation is cheap beside the network.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # A task may freeze normalisation on purpose.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        # What tasks log of an epoch is the same in every process, as Task asks of them.
        warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
        # The name that takes its place is younger than the oldest torch that will do.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers. is deprecated.*")
        trainer = _trainer(work, crew, callbacks)
        # The checkpoints are this machine's own files, not downloads: full unpickling is safe and needed to resume.
        trainer.fit(work.task, training, validation, ckpt_path=str(last) if work.resume else None, weights_only=False)
    if crew.rank == FIRST:
        (work.folder / FINISHED).touch()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell of every epoch of the phases that are trained within the block, in the first process."""
    token = _LISTENERS.set((*_LISTENERS.get(), listener))
    try:
        yield
    finally:
        _LISTENERS.reset(token)


def kept_state(folder: Path, name: Literal["best", "last"]) -> dict[str, Tensor]:
    """Read the network's state that :func:`fit` left in a folder: at the best validation score, or at the end."""
    state = torch.load(folder / f"{name}.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    prefix = "network."
    return {name[len(prefix) :]: value.float() for name, value in state.items() if name.startswith(prefix)}


class _Kept(ModelCheckpoint):
    """Goes on where the folder was moved or mounted elsewhere: Lightning's own then forgets the best score."""

    @property
    def state_key(self) -> str:
        """Lightning's own, by which checkpoints from before this class are found."""
        return str(super().state_key).replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state over as if it had been written in the present folder."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        moved = {name: here(path) for name, path in state_dict.items() if name.endswith("_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | moved | {"dirpath": self.dirpath, "best_k_models": best})


class _Tell(Checkpoint):
    """Tells the listeners what an epoch logged; as a checkpoint callback it comes when all of it is logged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Tell."""
        if trainer.is_global_zero and _LISTENERS.get():
            logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
            for listener in _LISTENERS.get():
                listener(self.folder, trainer.current_epoch, logged)


class _EpochLines(Callback):
    """Stands in for the bar in a log, where it would show nothing until the end."""

    def __init__(self, folder: Path) -> None:
        self.phase = "/".join(folder.parts[-2:])
        self.console = Console(stderr=True)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Say a line."""
        score = float(trainer.callback_metrics[SCORE])
        epoch = f"epoch {trainer.current_epoch + 1} of at most {trainer.max_epochs}"
        self.console.print(
            f"{self.phase}: {epoch}, validation score {score:.4f}", highlight=False, soft_wrap=True, markup=False
        )


def _trainer(work: Work, crew: Crew, callbacks: list[Callback]) -> lightning.Trainer:
    several: dict[str, Any] = {}
    if crew.size > 1:
        several = {
            # Buffers are averaged by OneResult; sending the first process's before each step would undo that.
            "strategy": DDPStrategy(
                find_unused_parameters=work.compute.strategy == "ddp_find_unused_parameters_true",
                broadcast_buffers=False,
            ),
            "plugins": [TorchElasticEnvironment()],
            "num_nodes": crew.nodes,
            # Torch has it for GPUs alone.
            "sync_batchnorm": torch.cuda.is_available() and work.compute.accelerator != "cpu",
        }
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    try:
        return lightning.Trainer(
            accelerator=work.compute.accelerator,
            devices=crew.local_size,
            precision=work.compute.precision,
            max_epochs=work.phase.epochs,
            callbacks=callbacks,
            logger=CSVLogger(work.folder, name="", version=""),
            log_every_n_steps=20,
            num_sanity_val_steps=0,
            deterministic=True,
            gradient_clip_val=1.0,
            enable_model_summary=False,
            enable_progress_bar=any(isinstance(callback, RichProgressBar) for callback in callbacks),
            use_distributed_sampler=False,
            **several,
        )
    except (MisconfigurationException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"The recipe's compute settings do not fit this machine: {reason}") from error


def _set_threads(compute: Compute, crew: Crew) -> None:
    if compute.threads is not None:
        torch.set_num_threads(compute.threads)
    elif crew.size > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // crew.local_size))


def _set_history_aside(folder: Path) -> None:
    """Keep the curve of the run before a stop, which the logger would write over."""
    history = folder / "metrics.csv"
    if history.is_file():
        history.rename(folder / f"metrics-{len(list(folder.glob('metrics-*.csv'))) + 1}.csv")
