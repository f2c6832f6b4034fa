import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cxrscreen.errors import RecipeError
from cxrscreen.train.learning_rate_range import learning_rate_range, range_figure, smoothed, steepest


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, 1))


def batches(count):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        x = torch.randn(32, 4, generator=generator)
        yield x, x.sum(dim=1, keepdim=True)


def test_the_loss_falls_and_blows_up_and_the_network_stays(network):
    before = {name: values.clone() for name, values in network.state_dict().items()}
    test = learning_rate_range(network.eval(), batches(120), F.mse_loss, steps=120, highest=30.0)
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    assert not network.training
    assert test.smoothed.min() < 0.6 * test.smoothed[0]
    # Steepest while the loss falls: most of it is still there a little before, and little of it a little later.
    start = test.losses[:40].mean()
    fall = start - test.smoothed.min()
    at = int(np.flatnonzero(test.rates == test.suggestion)[0])
    assert test.losses[at - 20 : at - 8].mean() > start - 0.35 * fall
    assert test.losses[at + 8 : at + 16].mean() < start - 0.6 * fall
    assert len(test.rates) == len(test.losses) == len(test.smoothed) < 120
    again = learning_rate_range(network, batches(120), F.mse_loss, steps=120, highest=30.0)
    np.testing.assert_array_equal(again.losses, test.losses)


def test_by_hand():
    np.testing.assert_allclose(smoothed([2.0, 4.0]), [2.0, (0.09 * 2 + 0.1 * 4) / 0.19])
    rates = np.geomspace(1e-6, 1.0, 7)
    assert steepest(rates, np.array([1.0, 1.0, 0.9, 0.5, 0.1, 0.1, 3.0])) == rates[3]
    # What falls after the least is not asked.
    assert steepest(rates, np.array([1.0, 0.9, 0.5, 0.4, 9.0, 9.0, 1.0])) == rates[1]


@pytest.mark.parametrize("steps", [60, 300])
@pytest.mark.parametrize("where", [1e-4, 3e-3])
def test_the_steepest_rate_of_a_known_curve_is_found(steps, where):
    # A sigmoid of the rate's logarithm, steepest at one rate, which blows up later; batches scatter about it.
    rates = np.geomspace(1e-7, 1.0, steps)
    fall = 1.5 / (1 + np.exp(-np.log(rates / where) / 0.8))
    losses = 2.0 - fall + 3.0 * (rates / 0.3) ** 2 + np.random.default_rng(0).normal(0, 0.03, steps)
    assert where / 1.5 < steepest(rates, losses) < where * 1.5


@pytest.mark.parametrize("change", [{"steps": 3}, {"steps": 20, "lowest": 0.0}, {"steps": 20, "lowest": 1e9}])
def test_what_cannot_be_told_is_refused(network, change):
    with pytest.raises(RecipeError):
        learning_rate_range(network, batches(20), F.mse_loss, **change)


def test_a_loss_that_is_no_number_is_refused(network):
    with pytest.raises(RecipeError, match="blew up"):
        learning_rate_range(network, batches(20), lambda a, b: F.mse_loss(a, b) * float("nan"), steps=20)


def test_the_figure_names_the_rate(network):
    test = learning_rate_range(network, batches(40), F.mse_loss, steps=40)
    axes = range_figure(test, "Range").axes[0]
    assert f"{test.suggestion:.1e}" in axes.get_legend().get_title().get_text()
    assert axes.get_xscale() == "log"
