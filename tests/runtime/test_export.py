from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from cxrscreen.errors import RecipeError
from cxrscreen.nets import densenet
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.unet import UNet
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export import export_classifier, export_segmenter

from .conftest import SHORT, SIDE, masked_image, settled


def test_the_weights_load_back_into_torch(exported):
    state = load_file(exported.folder / "stage.safetensors")
    report = DenseNet121(num_outputs=2).load_state_dict(state, strict=False)
    assert not report.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in report.missing_keys)
    own = exported.classifier.state_dict()
    for name, values in state.items():
        torch.testing.assert_close(values.float(), own[name], rtol=0, atol=0)


@pytest.mark.parametrize(("graph", "weights"), [("stage", "stage"), ("guided", "stage"), ("lungs", "lungs")])
def test_a_graph_holds_no_weights_and_no_paths(exported, graph, weights):
    raw = (exported.folder / f"{graph}.onnx").read_bytes()
    assert len(raw) < 60_000
    for trace in (b".py", b"stack_trace", b"site-packages", bytes(Path.home())):
        assert trace not in raw
    model = onnx.load_from_string(raw)
    names = set(load_file(exported.folder / f"{weights}.safetensors"))
    outside = {tensor.name for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL}
    assert outside == names
    onnx.checker.check_model(exported.folder / f"{graph}.onnx")


@pytest.mark.parametrize("graph", ["stage", "guided", "lungs"])
def test_onnx_runtime_reads_the_same_files(exported, graph):
    runtime = pytest.importorskip("onnxruntime")
    image = masked_image(batch=3)
    session = runtime.InferenceSession(exported.folder / f"{graph}.onnx", providers=["CPUExecutionProvider"])
    expected = load_engine(exported.folder / f"{graph}.onnx", backend="torch")(image)
    for output, values in zip(session.get_outputs(), session.run(None, {"image": image}), strict=True):
        scale = np.abs(expected[output.name]).max()
        np.testing.assert_allclose(values, expected[output.name], atol=1e-4 * scale)


def test_pooling_over_the_lungs_is_the_same_on_every_engine(tmp_path, monkeypatch):
    monkeypatch.setattr(densenet, "BLOCK_LAYERS", SHORT)
    network = settled(DenseNet121(num_outputs=2, pooling="lungs"))
    export_classifier(network, SIDE, tmp_path / "a.safetensors", tmp_path / "a.onnx")
    image = 4 * masked_image(batch=3) - 1
    image[2] = -1
    with torch.inference_mode():
        expected = network(torch.from_numpy(image)).numpy()
    for kind in ("openvino", "torch"):
        outputs = load_engine(tmp_path / "a.onnx", backend=kind)(image)
        np.testing.assert_allclose(outputs["logits"], expected, rtol=0, atol=2e-4)
        assert not np.allclose(outputs["pooled"], outputs["features"].mean(axis=(2, 3)), atol=1e-2)


def test_export_leaves_the_network_as_it_was(tmp_path):
    network = UNet(width=2).train().double()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    export_segmenter(network, 16, tmp_path / "a.safetensors", tmp_path / "a.onnx")
    assert network.training
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


def test_a_side_that_does_not_fit_and_scattered_files_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="multiple of 32"):
        export_classifier(DenseNet121(), 80, tmp_path / "a.safetensors", tmp_path / "a.onnx")
    with pytest.raises(RecipeError, match="multiple of 16"):
        export_segmenter(UNet(width=2), 0, tmp_path / "a.safetensors", tmp_path / "a.onnx")
    with pytest.raises(RecipeError, match="one folder"):
        export_segmenter(UNet(width=2), 16, tmp_path / "b" / "a.safetensors", tmp_path / "a.onnx")


@pytest.mark.full_size
def test_the_full_classifier_is_small_and_agrees_with_torch(tmp_path):
    network = settled(DenseNet121(in_channels=3))
    weights, graph = tmp_path / "full.safetensors", tmp_path / "full.onnx"
    export_classifier(network, SIDE, weights, graph)
    assert weights.stat().st_size < 14.6e6
    assert graph.stat().st_size < 300e3
    image = masked_image(channels=3)
    engine = load_engine(graph)
    results = engine(image)
    with torch.inference_mode():
        features = network.feature_maps(torch.from_numpy(image)).numpy()
        logits = network(torch.from_numpy(image)).numpy()
    assert results["features"].shape == (1, 1024, SIDE // 32, SIDE // 32)
    np.testing.assert_allclose(results["features"], features, atol=1e-4 * features.max())
    np.testing.assert_allclose(results["logits"], logits, atol=1e-4 * max(1, np.abs(logits).max()))
    np.testing.assert_allclose(results["pooled"], features.mean(axis=(2, 3)), atol=1e-4 * features.max())
    assert engine.weights["classifier.weight"].shape == (1, 1024)
