"""A copy of a bundle whose deciding networks have forgotten, layer by layer from the output, what they learnt."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cxrscreen.errors import BundleError
from cxrscreen.runtime.weights import sha256, tensor_spans
from cxrscreen.systems.bundle import Bundle, write_card
from cxrscreen.systems.decisions import decisions_of

_TYPES: Mapping[str, type[np.floating]] = {"F16": np.float16, "F32": np.float32}


def randomised_copy(bundle: Bundle, folder: Path, share: float, seed: int) -> Bundle:
    """Copy a bundle with the last layers of its deciding networks randomised.

    The values of each kernel or matrix are shuffled, so that their distribution stays and nothing overflows. A graph
    carries its weights' digest as text of fixed length, which is replaced, as are the card's checksums.

    Parameters
    ----------
    bundle
        What is copied; a deciding network has its weights in ``NETWORK.safetensors``, as its system's decisions say.
    folder
        Where to; made, must not exist.
    share
        Share of the layers, in [0, 1], counted from the output; at least the last layer.
    seed
        Of the shuffling; a layer is shuffled the same way whatever the share.

    Raises
    ------
    BundleError
        If a deciding network's weights are missing or no graph names them.
    """
    folder.mkdir(parents=True)
    for name in bundle.card.files:
        shutil.copyfile(bundle.file(name), folder / name)
    graphs = sorted(folder.glob("*.onnx"))
    named = {decision.stage: decision.network for decision in decisions_of(bundle.card.system)}
    for network in dict.fromkeys(named.get(stage) or stage for stage in bundle.card.stages):
        weights = folder / f"{network}.safetensors"
        if not weights.is_file():
            raise BundleError(f"The bundle {bundle.card.bundle_id} has no {weights.name}: its maps cannot be tested.")
        old = sha256(weights).encode()
        pointing = [graph for graph in graphs if old in graph.read_bytes()]
        if not pointing:
            raise BundleError(f"No graph of {bundle.card.bundle_id} names {weights.name}: export the bundle again.")
        _shuffle_last(weights, layers_in_order(weights, pointing[0]), share, seed)
        new = sha256(weights).encode()
        for graph in pointing:
            graph.write_bytes(graph.read_bytes().replace(old, new))
    files = {name: sha256(folder / name) for name in bundle.card.files}
    return write_card(folder, bundle.card.model_copy(update={"files": files}))


def layers_in_order(weights: Path, graph: Path) -> tuple[str, ...]:
    """Names of the kernels and matrices of a network, from its input to its output.

    An exported graph casts its float16 kernels in the order of the network's layers before anything else, so the first
    mention of a name gives its place.
    """
    content = graph.read_bytes()
    kernels = [name for name, span in tensor_spans(weights).items() if len(span.shape) > 1]
    return tuple(sorted(kernels, key=lambda name: content.find(name.encode())))


def _shuffle_last(weights: Path, layers: tuple[str, ...], share: float, seed: int) -> None:
    spans, content = tensor_spans(weights), bytearray(weights.read_bytes())
    count = max(1, round(share * len(layers)))
    for index in range(len(layers) - count, len(layers)):
        span = spans[layers[index]]
        kind = np.dtype(_TYPES[span.dtype])
        values = np.frombuffer(content, kind, span.length // kind.itemsize, span.offset)
        np.random.default_rng([seed, index]).shuffle(values)
    weights.write_bytes(content)
