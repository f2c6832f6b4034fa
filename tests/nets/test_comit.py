import pytest
import torch
from torch.nn import functional as F

from cxrscreen.nets.comit import TASKS, ComitNet, LiteEncoder, VggEncoder, unpool
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.nets.vgg import VGG


def small(**settings):
    torch.manual_seed(0)
    return ComitNet(VggEncoder(VGG(16, 1, width=1 / 32)), nodes=(6, 4), **settings)


def test_the_papers_decoders_mirror_the_encoder():
    network = small()
    kernels = [m for m in network.lungs.blocks.modules() if isinstance(m, torch.nn.Conv2d)]
    encoder = [m for m in network.encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(kernels) == len(encoder) == 13
    # Read backwards, each takes what the encoder's gives and gives what that takes, but for the grey stem.
    backwards = [kernel for block in reversed(network.lungs.blocks) for kernel in block.modules()]
    backwards = [m for m in backwards if isinstance(m, torch.nn.Conv2d)]
    assert [m.in_channels for m in backwards] == [m.out_channels for m in reversed(encoder)]
    assert [m.out_channels for m in backwards][:-1] == [m.in_channels for m in reversed(encoder)][:-1]
    assert network.lungs.reduce is None


def test_every_task_has_its_shape():
    network = small().eval()
    with torch.inference_mode():
        outputs = network(torch.rand(2, 1, 64, 96) * 4 - 1)
    assert outputs.lungs.shape == outputs.disease.shape == (2, 2, 64, 96)
    assert outputs.health.shape == outputs.diagnosis.shape == (2, 2)
    assert outputs.features.shape == (2, 16, 2, 3)
    torch.testing.assert_close(outputs.pooled, outputs.features.mean(dim=(2, 3)))
    with torch.inference_mode():
        hidden = F.relu(network.diagnosis.first(outputs.pooled))
        by_hand = network.diagnosis.last(F.relu(network.diagnosis.second(hidden)))
    torch.testing.assert_close(outputs.diagnosis, by_hand)


def test_the_small_encoder_joins_its_maps():
    network = ComitNet(
        LiteEncoder(EfficientNetLite0(1)), widths=(4, 4, 8, 8), joins="maps", nodes=(6, 4), tasks=("disease",)
    ).eval()
    assert network.encoder.channels == (16, 24, 40, 112, 1280)
    with torch.inference_mode():
        image = torch.rand(1, 1, 64, 64)
        outputs = network(image)
        torch.testing.assert_close(outputs.features, EfficientNetLite0.feature_maps(network.encoder.backbone, image))
    assert outputs.disease.shape == (1, 2, 64, 64)
    assert outputs.lungs is None
    assert outputs.diagnosis is None


@pytest.mark.parametrize("tasks", [("diagnosis",), ("lungs", "diagnosis"), ("disease", "health")])
def test_a_task_that_is_left_out_costs_nothing(tasks):
    network = small(tasks=tasks)
    outputs = network(torch.rand(1, 1, 32, 32))
    assert [name for name in TASKS if getattr(outputs, name) is not None] == list(tasks)
    assert sum(p.numel() for p in network.parameters()) < sum(p.numel() for p in small().parameters())


def test_unpooling_puts_values_where_the_maxima_lay():
    maps = torch.tensor([[[[1.0, 2.0, 0.0, 5.0], [0.0, 1.0, 4.0, 1.0]]]])
    values = torch.tensor([[[[7.0, 9.0]]]])
    assert unpool(values, maps).tolist() == [[[[0, 7, 0, 9], [0, 0, 0, 0]]]]
    # Torch's own, which remembers an index, gives the same, where a maximum is shared too.
    values = torch.rand(2, 3, 4, 6)
    for maps in (torch.rand(2, 3, 8, 12), torch.randint(0, 2, (2, 3, 8, 12)).float(), torch.zeros(2, 3, 8, 12)):
        _, places = F.max_pool2d(maps, 2, return_indices=True)
        torch.testing.assert_close(unpool(values, maps), F.max_unpool2d(values, places, 2))


def test_putting_maxima_back_needs_the_encoders_widths():
    with pytest.raises(ValueError, match="encoder's own widths"):
        small(widths=(2, 2, 2, 2, 2))


def test_tasks_share_the_encoder():
    network = small()
    network(torch.rand(2, 1, 32, 32)).lungs.sum().backward()
    assert network.get_parameter("encoder.backbone.features.0.weight").grad.abs().sum() > 0
    assert network.get_parameter("disease.head.weight").grad is None
