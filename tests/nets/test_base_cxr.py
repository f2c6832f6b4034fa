import pytest
import torch
from torch import nn

from cxrscreen.nets.base_cxr import BaseCxr


def test_the_layers_are_the_papers():
    network = BaseCxr(side=96, in_channels=3)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size) for c in convolutions] == [(32, (3, 3))] * 5
    assert [m.out_features for m in network.modules() if isinstance(m, nn.Linear)] == [10, 10, 1]
    assert not any(isinstance(m, nn.BatchNorm2d | nn.MaxPool2d | nn.AvgPool2d) for m in network.modules())


def test_logits_follow_from_the_maps():
    network = BaseCxr(side=96, num_outputs=3).eval()
    image = torch.rand(2, 1, 96, 96) * 4 - 1
    features = network.feature_maps(image)
    assert features.shape[:2] == (2, 32)
    assert (features >= 0).all()
    torch.testing.assert_close(network(image), network.classifier(network.pool(features, image)))
    assert network(image).shape == (2, 3)


def test_too_small_an_image_is_refused():
    with pytest.raises(ValueError, match="too small"):
        BaseCxr(side=64)
