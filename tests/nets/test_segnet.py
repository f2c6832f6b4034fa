import pytest
import torch
from torch.nn import functional as F

from cxrscreen.nets.segnet import SegNet, unpool


@pytest.fixture
def deterministic():
    """Ask torch to be deterministic or not; other tests may have left it either way."""
    before = torch.are_deterministic_algorithms_enabled()
    yield torch.use_deterministic_algorithms
    torch.use_deterministic_algorithms(before)


def test_the_mask_has_the_size_of_the_image():
    with torch.inference_mode():
        assert SegNet(num_outputs=2, in_channels=3, width=4).eval()(torch.rand(2, 3, 32, 64)).shape == (2, 2, 32, 64)


def test_the_decoder_mirrors_the_encoder_of_vgg16():
    network = SegNet()
    sizes = [
        [(each.in_channels, each.out_channels) for each in stage if isinstance(each, torch.nn.Conv2d)]
        for stage in (*network.encoder, *network.decoder)
    ]
    assert [len(stage) for stage in sizes] == [2, 2, 3, 3, 3, 3, 3, 3, 2, 2]
    assert sizes[:5] == [
        [(1, 64), (64, 64)],
        [(64, 128), (128, 128)],
        [(128, 256), (256, 256), (256, 256)],
        [(256, 512), (512, 512), (512, 512)],
        [(512, 512), (512, 512), (512, 512)],
    ]
    assert sizes[5:] == [
        [(512, 512), (512, 512), (512, 512)],
        [(512, 512), (512, 512), (512, 256)],
        [(256, 256), (256, 256), (256, 128)],
        [(128, 128), (128, 64)],
        [(64, 64), (64, 64)],
    ]


def test_unpooling_is_torchs(deterministic):
    deterministic(False)
    image = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    values, places = F.max_pool2d(image, 2, return_indices=True)
    back = unpool(values, places)
    torch.testing.assert_close(back, F.max_unpool2d(values, places, 2))
    assert torch.equal(back[back != 0], image[back != 0])


def test_it_trains_where_torch_must_be_deterministic(deterministic):
    deterministic(True)
    network = SegNet(width=4)
    network(torch.rand(2, 1, 32, 32)).sum().backward()
    assert all(values.grad is not None for values in network.parameters())
