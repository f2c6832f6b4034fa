import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from cxrscreen.errors import BundleError
from cxrscreen.runtime.engine import EngineSettings, engine_for, load_engine, with_precision

from .conftest import SIDE, masked_image

BACKENDS = ("openvino", "onnxruntime", "torch")


@pytest.mark.parametrize("backend", BACKENDS[:2])
@pytest.mark.parametrize("graph", ["stage", "guided", "lungs"])
def test_compiled_engines_give_what_torch_gives(exported, graph, backend):
    image = masked_image(batch=2)
    engines = [load_engine(exported.folder / f"{graph}.onnx", backend=name) for name in (backend, "torch")]
    compiled, reference = (engine(image) for engine in engines)
    assert engines[0].outputs == engines[1].outputs == tuple(compiled) == tuple(reference)
    assert engines[0].image_shape == engines[1].image_shape == (1, SIDE, SIDE)
    for name, values in reference.items():
        assert compiled[name].dtype == values.dtype == np.float32
        np.testing.assert_allclose(compiled[name], values, rtol=0, atol=1e-4 * np.abs(values).max())


def test_the_reference_is_the_network_that_was_exported(exported):
    image = masked_image()
    with torch.inference_mode():
        expected = exported.classifier(torch.from_numpy(image)).numpy()
    logits = load_engine(exported.folder / "stage.onnx", backend="torch")(image)["logits"]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_the_class_weights_are_at_hand(exported):
    engine = load_engine(exported.folder / "stage.onnx")
    results = engine(masked_image(batch=2))
    weights = engine.weights["classifier.weight"]
    np.testing.assert_allclose(
        results["pooled"] @ weights.T + engine.weights["classifier.bias"], results["logits"], atol=1e-4
    )


def test_bf16_is_near_f32(exported):
    image = masked_image()
    exact = load_engine(exported.folder / "stage.onnx")(image)["pooled"]
    fast = load_engine(exported.folder / "stage.onnx", precision="bf16")(image)["pooled"]
    np.testing.assert_allclose(fast, exact, rtol=0, atol=0.05 * exact.max())


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_other_engines_have_f32_alone(exported, backend):
    with pytest.raises(BundleError, match=f"The engine {backend} computes in f32 alone: choose openvino for bf16"):
        load_engine(exported.folder / "stage.onnx", backend=backend, precision="bf16")


def test_a_fixed_number_of_images_gives_the_same_and_takes_no_other(exported):
    image = masked_image(batch=2)
    fixed = load_engine(exported.folder / "guided.onnx", batch=2)
    free = load_engine(exported.folder / "guided.onnx")
    assert fixed.image_shape == free.image_shape
    np.testing.assert_allclose(fixed(image)["guided"], free(image)["guided"], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="compiled for 2 images a call, got 1"):
        fixed(image[:1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_do_not_mix_their_results(exported, backend):
    engine = load_engine(exported.folder / "guided.onnx", backend=backend, threads=1, streams=2)
    images = [masked_image(seed=seed) for seed in range(12)]
    alone = [engine(image)["guided"] for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = [results["guided"] for results in pool.map(engine, images)]
    np.testing.assert_array_equal(together, alone)


def test_results_outlive_the_next_call(exported):
    engine = load_engine(exported.folder / "stage.onnx")
    first = engine(masked_image(seed=1))["features"]
    kept = first.copy()
    engine(masked_image(seed=2))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("backend", BACKENDS)
def test_read_only_and_strided_images_are_taken(exported, backend):
    engine = load_engine(exported.folder / "stage.onnx", backend=backend)
    image = masked_image()
    mirrored = np.ascontiguousarray(image[..., ::-1])
    image.flags.writeable = False
    np.testing.assert_array_equal(engine(image[..., ::-1])["logits"], engine(mirrored)["logits"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, SIDE, SIDE)),
        np.zeros((SIDE, SIDE), np.float32),
        np.zeros((1, 3, SIDE, SIDE), np.float32),
        np.zeros((1, 1, SIDE, SIDE + 32), np.float32),
        np.zeros((0, 1, SIDE, SIDE), np.float32),
    ],
)
def test_another_shape_or_type_is_refused(exported, backend, image):
    with pytest.raises(ValueError, match=r"image must be float32 \(N, 1, 64, 64\)"):
        load_engine(exported.folder / "stage.onnx", backend=backend)(image)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("damage", ["no graph", "no weights", "short graph", "short weights", "other weights", "text"])
def test_a_broken_bundle_is_one_sentence(exported, tmp_path, backend, damage):
    graph, weights = tmp_path / "stage.onnx", tmp_path / "stage.safetensors"
    shutil.copy(exported.folder / graph.name, graph)
    shutil.copy(exported.folder / weights.name, weights)
    load_engine(graph, backend=backend)
    if damage.startswith("no"):
        (graph if damage == "no graph" else weights).unlink()
    elif damage == "short graph":
        graph.write_bytes(graph.read_bytes()[:-100])
    elif damage == "short weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "other weights":
        changed = bytearray(weights.read_bytes())
        changed[-1] ^= 1
        weights.write_bytes(changed)
    else:
        graph.write_text("not a graph")
    with pytest.raises(BundleError) as caught:
        load_engine(graph, backend=backend)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_cache_folder_is_filled_and_gives_the_same(exported, tmp_path):
    image = masked_image()
    graph = exported.folder / "stage.onnx"
    results = [load_engine(graph, cache=tmp_path / "cache")(image)["logits"] for _ in range(2)]
    assert any((tmp_path / "cache").iterdir())
    np.testing.assert_array_equal(results[0], results[1])


def test_the_default_engine_runs_without_torch(exported):
    program = (
        "import sys, pathlib, numpy as np\n"
        "from cxrscreen.runtime.engine import load_engine\n"
        f"engine = load_engine(pathlib.Path({str(exported.folder / 'stage.onnx')!r}))\n"
        f"engine(np.zeros((1, 1, {SIDE}, {SIDE}), np.float32))\n"
        "assert not {'torch', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(("backend", "extra"), [("torch", "train"), ("onnxruntime", "runtime")])
def test_an_engine_that_is_not_installed_says_how_to_install_it(exported, monkeypatch, backend, extra):
    monkeypatch.setitem(sys.modules, backend, None)
    monkeypatch.delitem(sys.modules, f"cxrscreen.runtime.{backend}_engine", raising=False)
    with pytest.raises(BundleError, match=rf"install cxrscreen\[{extra}\]"):
        load_engine(exported.folder / "stage.onnx", backend=backend)


MEASURED = {"precision": {"default": "bf16"}}


@pytest.mark.parametrize(
    ("asked", "card", "taken"),
    [
        (EngineSettings(), {}, "f32"),
        (EngineSettings(), MEASURED, "bf16"),
        (EngineSettings(precision="f32"), MEASURED, "f32"),
        (EngineSettings("torch"), MEASURED, "f32"),
    ],
)
def test_the_card_names_the_precision_where_none_is_asked_for(asked, card, taken):
    assert with_precision(asked, card).precision == taken


def test_a_precision_of_another_version_is_one_sentence():
    with pytest.raises(BundleError, match="asks for the precision 'int2'"):
        with_precision(EngineSettings(), {"precision": {"default": "int2"}})


def test_a_network_without_an_8_bit_graph_runs_in_f32(exported):
    image, graph = masked_image(), exported.folder / "stage.onnx"
    exact = load_engine(graph)(image)["logits"]
    np.testing.assert_array_equal(engine_for(graph, EngineSettings(precision="int8"))(image)["logits"], exact)
    with pytest.raises(BundleError, match=r"stage-int8\.xml is missing"):
        load_engine(graph, precision="int8")


_ALL_AT_ONCE = """
import sys, threading
from pathlib import Path
import numpy as np
from cxrscreen.runtime.openvino_engine import OpenVinoEngine

engine = OpenVinoEngine(Path(sys.argv[1]), threads=1, streams=4)
sys.setswitchinterval(1e-6)
image, barrier = np.zeros((1, *engine.image_shape), np.float32), threading.Barrier(6)
threads = [threading.Thread(target=lambda: (barrier.wait(), engine(image))) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_first_calls_may_come_from_several_threads_at_once(exported):
    # Two first arrays at once made three in four fresh processes wait for ever.
    command = [sys.executable, "-c", _ALL_AT_ONCE, str(exported.folder / "stage.onnx")]
    for _ in range(2):
        subprocess.run(command, check=True, timeout=60)
