"""What the processor can do: its matrix product, its memory, and the networks alone in the engine's own loop."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov

from cxrscreen.runtime.engine import Precision, int8_graph
from cxrscreen.systems.bundle import Bundle

GEMM_SIDE = 2048
COPY_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Pass:
    """One network as the cascade asks it for a radiograph: its graph and the images of a call."""

    name: str
    batch: int


def cascade_passes(bundle: Bundle) -> tuple[Pass, ...]:
    """What one radiograph costs with all maps; a mirrored stage 3 sees it twice."""
    twice = 2 if bundle.card.preprocessing.get("mirrored") else 1
    return Pass("lungs", 1), Pass("pneumonia", 1), Pass("covid19-guided", twice)


def compiled(bundle: Bundle, wanted: Pass, precision: Precision, cores: int, hint: str) -> ov.CompiledModel:
    """A network as the pipeline runs it: only the lungs may be coarser than f32."""
    graph = bundle.file(f"{wanted.name}.onnx")
    inside = precision if wanted.name == "lungs" else "f32"
    core = ov.Core()
    model = core.read_model(int8_graph(graph) if inside == "int8" else graph)
    model.reshape([wanted.batch, *model.input(0).partial_shape[1:]])
    settings = {
        "PERFORMANCE_HINT": hint,
        "INFERENCE_PRECISION_HINT": "bf16" if inside == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": cores,
    }
    return core.compile_model(model, "CPU", settings)


def networks_alone(bundle: Bundle, precision: Precision, cores: int, seconds: float) -> dict[str, Any]:
    """Radiographs a second of the networks alone: asynchronous requests driven by the engine, nothing else done.

    As OpenVINO's benchmark_app with the throughput hint measures, one network after the other; a radiograph takes the
    sum of their times.
    """
    found: dict[str, Any] = {}
    for wanted in cascade_passes(bundle):
        model = compiled(bundle, wanted, precision, cores, "THROUGHPUT")
        queue = ov.AsyncInferQueue(model)
        image = np.zeros([wanted.batch, *(side.get_length() for side in model.input(0).partial_shape[1:])], np.float32)
        calls = 0
        for _ in range(4):
            queue.start_async([image])
        queue.wait_all()
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            queue.start_async([image])
            calls += 1
        queue.wait_all()
        found[wanted.name] = (time.perf_counter() - begun) / calls
    whole = sum(found.values())
    return {
        "precision": precision,
        "milliseconds_a_call": {name: round(1e3 * each, 3) for name, each in found.items()},
        "images_a_second": round(1.0 / whole, 2),
    }


def gemm_gflops(rounds: int) -> float:
    """GFLOP/s of a float32 matrix product of side 2048 on OpenVINO: the peak that fractions refer to."""
    op = ov.opset13
    left, right = (op.parameter([GEMM_SIDE, GEMM_SIDE], np.float32) for _ in range(2))
    model = ov.Model([op.matmul(left, right, False, False)], [left, right])
    request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    values = np.random.default_rng(0).random((2, GEMM_SIDE, GEMM_SIDE), np.float32)
    return 2 * GEMM_SIDE**3 / best(lambda: request.infer([values[0], values[1]]), rounds) / 1e9


def copy_gbytes(rounds: int) -> float:
    """GB/s read and written by a copy of 256 MiB on one thread."""
    source = np.ones(COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    return 2 * COPY_BYTES / best(lambda: np.copyto(target, source), rounds) / 1e9


def best(work: Callable[[], object], rounds: int) -> float:
    """Shortest of some rounds, seconds: a peak is what is possible."""
    work()
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def network_work(bundle: Bundle, wanted: Pass) -> tuple[float, float]:
    """GFLOP (two per multiply-add) and GB of a call: weights once, inputs and outputs of every layer once."""
    import torch  # noqa: PLC0415 - counts, and only here
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    from cxrscreen.runtime.torch_engine import TorchEngine  # noqa: PLC0415

    engine = TorchEngine(bundle.file(f"{wanted.name}.onnx"))
    image = np.zeros((wanted.batch, *engine.image_shape), np.float32)
    sizes: list[int] = []

    def noted(_: torch.nn.Module, given: tuple[Any, ...], result: Any) -> None:
        tensors = [value for value in (*given, result) if isinstance(value, torch.Tensor)]
        sizes.append(sum(value.numel() * value.element_size() for value in tensors))

    handles = [
        part.register_forward_hook(noted)
        for part in engine._network.modules()
        if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear)
    ]
    with FlopCounterMode(display=False) as counter:
        engine(image)
    for handle in handles:
        handle.remove()
    weights = sum(value.size * 4 for value in engine.weights.values())
    return counter.get_total_flops() / 1e9, (sum(sizes) + weights) / 1e9


def floor(bundle: Bundle, precision: Precision, cores: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Each network against the shorter of what its arithmetic and its memory traffic allow at best, in f32."""
    peak, bandwidth = gemm_gflops(rounds), copy_gbytes(rounds)
    alone = networks_alone(bundle, precision, cores, seconds)
    networks = {}
    for wanted in cascade_passes(bundle):
        gflop, gbyte = network_work(bundle, wanted)
        least = 1e3 * max(gflop / peak, gbyte / bandwidth)
        taken = alone["milliseconds_a_call"][wanted.name]
        networks[wanted.name] = {
            "gflop": round(gflop, 3),
            "gbyte": round(gbyte, 4),
            "least_milliseconds": round(least, 3),
            "milliseconds": taken,
            "share_of_the_possible": round(least / taken, 3),
        }
    return {
        "gemm_gflops": round(peak),
        "copy_gbytes_a_second": round(bandwidth, 1),
        "networks_alone": alone,
        "networks": networks,
    }


def spread_of(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": round(statistics.median(values), 5), "min": round(min(values), 5), "max": round(max(values), 5)}
