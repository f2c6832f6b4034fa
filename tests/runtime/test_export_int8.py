import shutil

import numpy as np
import pytest

from cxrscreen.errors import BundleError
from cxrscreen.runtime.engine import EngineSettings, engine_for, load_engine
from cxrscreen.runtime.export_int8 import export_int8

from .conftest import masked_image


@pytest.fixture(scope="module")
def folder(exports, tmp_path_factory):
    made = tmp_path_factory.mktemp("int8")
    for name in ("lungs.onnx", "lungs.safetensors"):
        shutil.copy(exports.folder / name, made / name)
    export_int8(made / "lungs.onnx", [masked_image(seed=seed) for seed in range(8)])
    return made


def test_the_8_bit_twin_is_near_and_keeps_the_weights_at_hand(folder):
    graph, image = folder / "lungs.onnx", masked_image(seed=99)
    exact, coarse = load_engine(graph), engine_for(graph, EngineSettings(precision="int8"), batch=1)
    assert (coarse.image_shape, coarse.outputs) == (exact.image_shape, exact.outputs)
    expected, found = exact(image)["logits"], coarse(image)["logits"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.15 * np.abs(expected).max())
    # Eight bits do not give the same.
    assert np.abs(found - expected).max() > 1e-4 * np.abs(expected).max()
    np.testing.assert_array_equal(coarse.weights["head.weight"], exact.weights["head.weight"])


def test_a_twin_of_other_weights_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        shutil.copy(file, tmp_path / file.name)
    weights = tmp_path / "lungs.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(BundleError, match="not those of its graph"):
        load_engine(tmp_path / "lungs.onnx", precision="int8")


def test_nothing_to_calibrate_with_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="no image"):
        export_int8(folder / "lungs.onnx", [])
    with pytest.raises(ValueError, match="image must be float32"):
        export_int8(folder / "lungs.onnx", [np.zeros((1, 1, 8, 8), np.float32)])
    with pytest.raises(BundleError, match="cannot be read"):
        export_int8(tmp_path / "none.onnx", [masked_image()])
