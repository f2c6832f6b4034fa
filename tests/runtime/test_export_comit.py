import numpy as np
import pytest
import torch

from cxrscreen.errors import RecipeError
from cxrscreen.nets.comit import ComitNet, VggEncoder
from cxrscreen.nets.vgg import VGG
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export_comit import export_comit


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = ComitNet(VggEncoder(VGG(16, 1, width=1 / 16)), nodes=(6, 5), tasks=("lungs", "health", "diagnosis"))
    for values in made.state_dict().values():
        # Kernels are stored in half precision.
        if values.ndim > 1:
            values.copy_(values.half().float())
    return made.eval()


def test_the_graph_answers_as_the_network_does(network, tmp_path):
    export_comit(network, 64, tmp_path / "comit.safetensors", tmp_path / "comit.onnx")
    engine = load_engine(tmp_path / "comit.onnx", threads=1)
    assert engine.image_shape == (1, 64, 64)
    assert engine.outputs == ("lungs", "health", "diagnosis", "features", "pooled")
    image = np.random.default_rng(0).uniform(-1, 3, (3, 1, 64, 64)).astype(np.float32)
    found = engine(image)
    with torch.inference_mode():
        expected = network(torch.from_numpy(image))
    np.testing.assert_allclose(found["lungs"][:, 0], expected.lungs.softmax(dim=1)[:, 1].numpy(), atol=1e-4)
    odds = expected.health[:, 1] - expected.health[:, 0]
    np.testing.assert_allclose(found["health"][:, 0], odds.numpy(), atol=1e-4)
    for name in ("diagnosis", "features", "pooled"):
        np.testing.assert_allclose(found[name], getattr(expected, name).numpy(), atol=1e-4)
    np.testing.assert_array_equal(
        engine.weights["diagnosis.last.weight"], network.get_parameter("diagnosis.last.weight").detach().numpy()
    )


def test_a_side_that_does_not_halve_five_times_is_a_sentence(network, tmp_path):
    with pytest.raises(RecipeError, match="input side of 72 pixels does not fit"):
        export_comit(network, 72, tmp_path / "comit.safetensors", tmp_path / "comit.onnx")
