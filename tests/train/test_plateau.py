import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F
from torch.optim import Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset

from cxrscreen.train.loop import SCORE, fit
from cxrscreen.train.plateau import EPOCH_LOSS, PlateauTask
from cxrscreen.train.recipe import Compute
from cxrscreen.train.schedule import PlateauPhase

COMPUTE = Compute(precision="32-true", accelerator="cpu", threads=1)


class Toy(PlateauTask):
    """A network that cannot learn: its images are zeros."""

    def __init__(self, *given):
        super().__init__(*given)
        self.rates = []

    def training_step(self, batch, batch_idx):
        return self.penalised(F.mse_loss(self.network(batch[0]), batch[1]))

    def on_train_epoch_start(self):
        self.rates.append(self.optimizers().param_groups[0]["lr"])

    def validation_step(self, batch, batch_idx):
        self.log(SCORE, -F.mse_loss(self.network(batch[0]), batch[1]))


def data():
    return DataLoader(TensorDataset(torch.zeros(4, 3), torch.ones(4, 1)), batch_size=2)


def test_the_learning_rate_falls_to_a_tenth_where_the_loss_stands(tmp_path):
    phase = PlateauPhase(schedule="plateau", decay_after=1, epochs=6, learning_rate=0.1, ema=0)
    network = nn.Linear(3, 1)
    network.bias.requires_grad_(False)
    task = Toy(network, phase, 12, 0)
    fit(task, data(), data(), phase, COMPUTE, tmp_path)
    # The first epoch is the best; after more than one epoch without a better one, a tenth.
    assert task.rates == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.001])


def test_the_schedules_choose_the_optimiser():
    plateau = PlateauPhase(schedule="plateau", epochs=1, weight_decay=0.1)
    given = Toy(nn.Linear(3, 1), plateau, 1, 0).configure_optimizers()
    assert type(given["optimizer"]) is Adam
    assert given["optimizer"].param_groups[0]["weight_decay"] == 0.1
    assert given["lr_scheduler"]["monitor"] == EPOCH_LOSS
    cycle = Toy(nn.Linear(3, 1), PlateauPhase(epochs=1), 10, 0).configure_optimizers()
    assert type(cycle["optimizer"]) is AdamW


def test_the_l1_penalty_is_the_sum_of_absolute_values(monkeypatch):
    network = nn.Linear(2, 1)
    network.load_state_dict({"weight": torch.tensor([[1.0, -2.0]]), "bias": torch.tensor([0.5])})
    task = Toy(network, PlateauPhase(epochs=1, l1=0.1), 1, 0)
    logged = {}
    monkeypatch.setattr(task, "log", lambda name, value, **_: logged.update({name: float(value)}))
    assert task.penalised(torch.tensor(1.0)).item() == pytest.approx(1.35)
    # What is logged is the loss proper.
    assert logged == {"loss": 1.0, EPOCH_LOSS: 1.0}


@pytest.mark.parametrize("wrong", [{"l1": -1}, {"decay_after": 0}, {"schedule": "steps"}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        PlateauPhase(epochs=1, **wrong)
