import pytest
import torch
from torch import nn

from cxrscreen.nets.unet import UNet


def test_the_mask_has_the_size_of_the_image():
    with torch.inference_mode():
        assert UNet(num_outputs=2, in_channels=3, width=4).eval()(torch.rand(2, 3, 32, 48)).shape == (2, 2, 32, 48)


def test_channels_double_at_each_halving():
    network = UNet(width=64)
    assert [block[0].out_channels for block in network.encoder] == [64, 128, 256, 512, 1024]
    assert [block[0].in_channels for block in network.decoder] == [1024, 512, 256, 128]
    assert sum(isinstance(part, nn.Conv2d) for part in network.modules()) == 19


@pytest.mark.parametrize("level", range(4))
def test_every_skip_connection_reaches_the_output(level):
    torch.manual_seed(0)
    # Batch statistics keep the deep maps from fading, as a trained network's do.
    network = UNet(width=4).train()
    image = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        before = network(image)
        # The first half of a decoder's input is its skip connection.
        network.decoder[3 - level][0].weight[:, : 4 * 2**level] = 0
        assert not torch.allclose(network(image), before, rtol=1e-3)
