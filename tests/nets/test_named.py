import pytest
import torch
from torch import nn

from cxrscreen.errors import RecipeError
from cxrscreen.nets.named import classifier_named, load_classifier_weights

NAMES = ("densenet121", "efficientnet-lite0", "resnet18")


@pytest.mark.parametrize("name", NAMES)
def test_all_networks_have_one_interface(name):
    network = classifier_named(name, 2, dropout=0.25, pooling="lungs").eval()
    image = torch.full((2, 1, 64, 96), -1.0)
    image[0, :, :32, :64] = 1.0
    with torch.inference_mode():
        middle, last = network.maps_by_depth(image)
        assert middle.shape == (2, network.num_middle_features, 4, 6)
        assert last.shape == (2, network.num_features, 2, 3)
        torch.testing.assert_close(network.feature_maps(image), last)
        pooled = network.pool(last, image)
        torch.testing.assert_close(pooled[0], last[0, :, 0, :2].mean(dim=1))
        torch.testing.assert_close(network.decide(last, image), network.classifier(pooled))
        torch.testing.assert_close(network(image), network.classifier(pooled))
        assert network.weights_of_places(image)[0].sum() == pytest.approx(1)
        network.pooling = "image"
        torch.testing.assert_close(network.pool(last, image), last.mean(dim=(2, 3)))
        assert network.weights_of_places(image).unique().item() == pytest.approx(1 / 6)
    assert network.dropout == 0.25
    assert network.classifier.weight.shape == (2, network.num_features)


@pytest.mark.parametrize("name", NAMES)
def test_weights_go_to_the_right_loader(name, tmp_path):
    network, other = (classifier_named(name) for _ in range(2))
    state = {key: values for key, values in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "own.pth")
    load_classifier_weights(other, tmp_path / "own.pth")
    own = other.state_dict()
    assert all(torch.equal(own[key], values) for key, values in state.items() if not key.startswith("classifier."))
    before = {key: values.clone() for key, values in own.items()}
    load_classifier_weights(other, "none")
    assert all(torch.equal(values, before[key]) for key, values in other.state_dict().items())
    wrong = classifier_named(next(each for each in NAMES if each != name))
    with pytest.raises(RecipeError, match="are no complete|are not those of this ResNet"):
        load_classifier_weights(wrong, tmp_path / "own.pth")


def test_a_network_without_published_weights_is_a_mistake_of_the_program():
    with pytest.raises(TypeError, match="Linear"):
        load_classifier_weights(nn.Linear(1, 1), "none")
