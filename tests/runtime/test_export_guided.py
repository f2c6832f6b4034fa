import pytest
from torch import nn

from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.runtime.export_guided import guided_backpropagation


@pytest.mark.parametrize("kind", [DenseNet121, EfficientNetLite0])
def test_parameters_are_shared_under_the_name_that_exporting_strips(kind):
    network = kind(1)
    shared = dict(guided_backpropagation(network).named_parameters())
    own = dict(network.named_parameters())
    assert set(shared) == {f"network.{name}" for name in own}
    assert shared["network.classifier.weight"] is network.classifier.weight


def test_another_network_is_refused():
    with pytest.raises(TypeError, match="Linear is not written out"):
        guided_backpropagation(nn.Linear(2, 1))
