import pytest
import torch
from torch import nn

from cxrscreen.nets.fc_densenet import FCDenseNet


def parameters(network: nn.Module) -> int:
    return sum(values.numel() for values in network.parameters())


@pytest.mark.parametrize(("depth", "millions"), [(103, 9.4), (67, 3.5)])
def test_the_size_is_the_published_one(depth, millions):
    # Published for 11 classes of colour images.
    network = FCDenseNet(depth, num_outputs=11, in_channels=3)
    assert parameters(network) / 1e6 == pytest.approx(millions, abs=0.1)
    # As many convolutions as the name says, each transition up and the head counted.
    assert sum(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in network.modules()) == depth


def test_a_grey_network_with_four_classes():
    network = FCDenseNet(103, num_outputs=4, in_channels=1)
    colour = FCDenseNet(103, num_outputs=11, in_channels=3)
    # 256 channels reach the head; a grey stem lacks two of three kernels.
    assert parameters(colour) - parameters(network) == 7 * (256 + 1) + 2 * 9 * 48


@pytest.mark.parametrize("depth", [67, 103])
def test_logits_have_the_size_of_the_image(depth):
    network = FCDenseNet(depth).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(2, 1, 32, 64))
    assert logits.shape == (2, 4, 32, 64)
    assert torch.isfinite(logits).all()


def test_only_the_new_features_of_a_block_go_up():
    network = FCDenseNet(67)
    assert [layer.in_channels for layer in network.upsampling] == [80] * 5
    assert network.up[0].layers[0].norm.num_features == 80 + 48 + 5 * 80


def test_a_step_lowers_the_loss():
    torch.manual_seed(0)
    network = FCDenseNet(67)
    image = torch.randn(2, 1, 32, 32)
    truth = (image[:, 0] > 0).long()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(network(image), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
