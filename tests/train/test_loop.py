import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from cxrscreen.errors import RecipeError
from cxrscreen.train.batches import EvenBatches
from cxrscreen.train.loop import SCORE, Task, fit, kept_state
from cxrscreen.train.recipe import Compute, Phase

PHASE = Phase(epochs=4, batch=4, batches=3, learning_rate=1e-2, ema=0.5)
COMPUTE = Compute(precision="32-true", accelerator="cpu", threads=1)


class Toy(Task):
    """A network with dropout, which a resumed run must draw as an uninterrupted one does."""

    stop_at = None

    def training_step(self, batch, batch_idx):
        if self.stop_at == (self.current_epoch, batch_idx):
            raise RuntimeError("pulled the plug")
        return F.mse_loss(self.network(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log(SCORE, -F.mse_loss(self.network(batch[0]), batch[1]))


class Drawn(TensorDataset):
    def __getitem__(self, draw):
        return super().__getitem__(draw[0])


class Worsening(Toy):
    """Its first epoch is its best."""

    def validation_step(self, batch, batch_idx):
        self.log(SCORE, -float(self.current_epoch))


def run(folder, stop_at=None, phase=PHASE, kind=Toy):
    torch.manual_seed(0)
    values = torch.randn(12, 5)
    data = (values, values.sum(dim=1, keepdim=True))
    network = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.5), nn.Linear(16, 1))
    sampler = EvenBatches(["a", "b"] * 6, ["s"] * 12, weights={}, batch=4, batches=3, seed=0)
    task = kind(network, phase, phase.epochs * 3, seed=0)
    task.stop_at = stop_at
    training = DataLoader(Drawn(*data), batch_sampler=sampler)
    return fit(task, training, DataLoader(TensorDataset(*data)), phase, COMPUTE, folder)


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(tmp_path / "cut", stop_at=(2, 1))
    resumed = run(tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value)
    assert (tmp_path / "cut" / "metrics-1.csv").is_file()


def test_a_log_has_a_line_for_each_epoch(tmp_path, capsys):
    run(tmp_path / "network" / "phase1", phase=PHASE.model_copy(update={"epochs": 2}))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("network/phase1: epoch ")]
    assert [line.partition(", validation score ")[0] for line in lines] == [
        "network/phase1: epoch 1 of at most 2",
        "network/phase1: epoch 2 of at most 2",
    ]
    assert all(float(line.partition(", validation score ")[2]) < 0 for line in lines)


def test_a_finished_run_gives_its_result_again(tmp_path):
    first = run(tmp_path)
    second = run(tmp_path)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value)


def test_a_run_that_patience_ended_does_not_go_on(tmp_path):
    phase = PHASE.model_copy(update={"epochs": 8, "patience": 2})
    first, last = run(tmp_path, phase=phase, kind=Worsening), kept_state(tmp_path, "last")
    # Epoch 3, which is never reached, would raise.
    second = run(tmp_path, stop_at=(3, 0), phase=phase, kind=Worsening)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0)
        torch.testing.assert_close(kept_state(tmp_path, "last")[name], last[name], rtol=0, atol=0)
    assert not (tmp_path / "metrics-1.csv").exists()


def test_a_run_that_was_stopped_and_moved_keeps_its_best_epoch(tmp_path):
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(tmp_path / "here", stop_at=(2, 0), kind=Worsening)
    best = kept_state(tmp_path / "here", "best")
    shutil.move(tmp_path / "here", tmp_path / "there")
    resumed = run(tmp_path / "there", kind=Worsening)
    for name, value in best.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0)
    assert not (tmp_path / "here").exists()


def test_compute_settings_that_do_not_fit_are_named(tmp_path):
    data = DataLoader(TensorDataset(torch.zeros(1, 5)))
    with pytest.raises(RecipeError, match="do not fit this machine"):
        fit(Toy(nn.Linear(5, 1), PHASE, 1, 0), data, data, PHASE, Compute(accelerator="abacus"), tmp_path)


def test_every_task_has_the_list_by_which_its_validation_is_shared_out():
    # Looked for before the first epoch begins.
    assert Task(nn.Linear(1, 1), PHASE, 1, 0)._seen == []


@pytest.mark.parametrize("steps", [1, 9, 10, 11])
def test_any_number_of_steps_has_a_learning_rate(steps):
    task = Task(nn.Linear(1, 1), Phase(epochs=1, warmup=0.1), steps, 0)
    scheduler = task.configure_optimizers()["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        if len(rates) < steps:
            scheduler.step()
    assert all(rate > 0 for rate in rates)
