import numpy as np
import pytest
import torch

from cxrscreen.errors import RecipeError
from cxrscreen.nets import fc_densenet
from cxrscreen.nets.fc_densenet import FCDenseNet
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export_organs import export_organs


def test_the_engine_answers_as_the_network(tmp_path, monkeypatch):
    monkeypatch.setitem(fc_densenet.LAYERS, 67, ((1, 1, 1, 1, 1), 1))
    torch.manual_seed(0)
    network = FCDenseNet(67)
    with torch.no_grad():
        network(torch.randn(4, 1, 32, 32))
    export_organs(network, 32, tmp_path / "a.safetensors", tmp_path / "a.onnx")
    image = np.random.default_rng(0).standard_normal((3, 1, 32, 32)).astype(np.float32)
    found, reference = (
        load_engine(tmp_path / "a.onnx", backend=name)(image)["logits"] for name in ("openvino", "torch")
    )
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(image)).numpy()
    assert found.shape == (3, 4, 32, 32)
    np.testing.assert_allclose(reference, found, atol=1e-4 * np.abs(expected).max())
    # Kernels are stored in half precision.
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())


def test_a_side_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="multiple of 32"):
        export_organs(FCDenseNet(67), 48, tmp_path / "a.safetensors", tmp_path / "a.onnx")
