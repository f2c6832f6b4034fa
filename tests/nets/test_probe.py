import torch

from cxrscreen.nets.probe import ProbeNet


def test_gives_a_logit_per_class_for_any_side_and_is_small():
    network = ProbeNet(5).eval()
    assert network(torch.zeros(2, 1, 96, 96)).shape == (2, 5)
    assert network(torch.zeros(1, 1, 48, 40)).shape == (1, 5)
    assert 0.3e6 < sum(weights.numel() for weights in network.parameters()) < 1e6


def test_every_weight_learns():
    network = ProbeNet(3)
    network(torch.randn(4, 1, 32, 32)).square().sum().backward()
    assert all(weights.grad is not None and weights.grad.abs().sum() > 0 for weights in network.parameters())
