import pytest
import torch

from cxrscreen.nets.classifier import BACKGROUND, place_weights
from cxrscreen.nets.densenet import DenseNet121

# Names and shapes in torchvision's densenet121-a639ec97.pth, in their present spelling.
TORCHVISION = {
    "features.conv0.weight": (64, 3, 7, 7),
    "features.norm0.running_var": (64,),
    "features.denseblock1.denselayer1.norm1.weight": (64,),
    "features.denseblock1.denselayer1.conv1.weight": (128, 64, 1, 1),
    "features.denseblock1.denselayer6.conv2.weight": (32, 128, 3, 3),
    "features.transition1.norm.bias": (256,),
    "features.transition1.conv.weight": (128, 256, 1, 1),
    "features.denseblock3.denselayer24.norm1.running_mean": (992,),
    "features.transition3.conv.weight": (512, 1024, 1, 1),
    "features.denseblock4.denselayer16.conv1.weight": (128, 992, 1, 1),
    "features.norm5.num_batches_tracked": (),
    "classifier.weight": (1000, 1024),
    "classifier.bias": (1000,),
}


def test_parameters_and_names_are_those_of_torchvision():
    network = DenseNet121(num_outputs=1000, in_channels=3)
    assert sum(values.numel() for values in network.parameters()) == 7_978_856
    state = network.state_dict()
    assert len(state) == 727
    assert {name: tuple(state[name].shape) for name in TORCHVISION} == TORCHVISION


@pytest.mark.parametrize(("rows", "columns"), [(64, 96), (33, 70)])
def test_shapes_and_the_way_from_features_to_logits(rows, columns):
    network = DenseNet121(num_outputs=3).eval()
    with torch.inference_mode():
        image = torch.rand(2, 1, rows, columns)
        features, logits = network.feature_maps(image), network(image)
    assert features.shape == (2, 1024, rows // 32, columns // 32)
    assert features.min() >= 0
    torch.testing.assert_close(logits, network.classifier(features.mean(dim=(2, 3))))


def test_pooling_over_the_lungs_counts_each_place_by_its_lung_pixels():
    network = DenseNet121(num_outputs=2, pooling="lungs").eval()
    image = torch.full((1, 1, 64, 96), BACKGROUND)
    image[:, :, :32, :32] = 0.5
    image[:, :, 32:48, 64:] = 2.0
    weights = place_weights(image)
    torch.testing.assert_close(weights, torch.tensor([[[[2 / 3, 0, 0], [0, 0, 1 / 3]]]]))
    with torch.inference_mode():
        features = network.feature_maps(image)
        expected = features[:, :, 0, 0] * 2 / 3 + features[:, :, 1, 2] / 3
        torch.testing.assert_close(network(image), network.classifier(expected))


def test_an_image_without_lung_gives_the_bias():
    network = DenseNet121(pooling="lungs").eval()
    network.classifier.bias.data.fill_(0.7)
    with torch.inference_mode():
        assert network(torch.full((1, 1, 64, 64), BACKGROUND)).item() == pytest.approx(0.7)


def test_dropout_acts_while_training_alone():
    network = DenseNet121(dropout=0.5).eval()
    image = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(network(image), network(image))
        network.train()
        network.features.eval()
        assert not torch.equal(network(image), network(image))
