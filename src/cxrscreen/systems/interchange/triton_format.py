"""A Triton model repository: ``NAME/config.pbtxt`` and ``NAME/1/model.onnx`` for each graph of a bundle."""

import json
from pathlib import Path

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import BundleError
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.interchange.description import description_of
from cxrscreen.systems.interchange.networks import Graph, Network
from cxrscreen.systems.interchange.onnx_format import DESCRIPTION, compare_model, write_model
from cxrscreen.systems.interchange.pages import page_of
from cxrscreen.systems.interchange.phantom import Difference
from cxrscreen.systems.interchange.triton_config import TritonConfig, read_config, write_config

CONFIG, MODEL = "config.pbtxt", Path("1", "model.onnx")
DELAY = 2000
"""Microseconds that an image waits for others: less than a hundredth of what a radiograph takes in all."""
PIXELS, LARGEST = 64 * 224 * 224, 64
"""Pixels that a batch may have, and images."""
NO_ENSEMBLE = (
    "There is no ensemble: on the way from a radiograph through these networks (see below) lie steps that are code on "
    "arrays and no graph that Triton can hold. A client runs the steps and asks one model after the other; `cxrscreen` "
    "is the reference of such a client. A step that could be a graph is left to the client too, since one cannot."
)


def write(bundle: Bundle, networks: tuple[Network, ...], folder: Path) -> None:
    """Write the repository and a page; raises as :func:`cxrscreen.systems.interchange.onnx_format.write`."""
    for network in networks:
        for graph in network.graphs:
            own = folder / model_name(bundle, graph)
            (own / MODEL).parent.mkdir(parents=True)
            write_model(bundle, network, graph, own / MODEL)
            (own / CONFIG).write_text(write_config(config_of(bundle, network, graph)), encoding="utf-8")
    alone = len(networks) == 1
    text = page_of(
        bundle,
        networks,
        "a Triton model repository",
        "Start the server with `tritonserver --model-repository=DIR`. Each folder is one model for the ONNX Runtime "
        "backend, with dynamic batching; what it is, its operating points and its licence stand in the parameters of "
        f"its `{CONFIG}`. {'' if alone else NO_ENSEMBLE}".strip(),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def compare(bundle: Bundle, networks: tuple[Network, ...], folder: Path) -> dict[str, dict[str, Difference]]:
    """Read each configuration back and run each model in ONNX Runtime as it declares; differences by model.

    Triton itself is not started.

    Raises
    ------
    BundleError
        If a file is missing, a configuration is not what the bundle asks for, or a model cannot be run.
    """
    found = {}
    for network in networks:
        for graph in network.graphs:
            name = model_name(bundle, graph)
            file = folder / name / CONFIG
            if not file.is_file():
                raise BundleError(f"The export lacks {name}/{CONFIG}: export it again.")
            if read_config(file.read_text(encoding="utf-8")) != config_of(bundle, network, graph):
                raise BundleError(f"The file {name}/{CONFIG} is not that of its bundle: export it again.")
            found[name] = compare_model(bundle, network, graph, folder / name / MODEL)
    return found


def model_name(bundle: Bundle, graph: Graph) -> str:
    """The model's name: the bundle's and the graph's, of letters, digits and underscores."""
    plain = f"{bundle.card.name}_{graph.name}"
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in plain)


def config_of(bundle: Bundle, network: Network, graph: Graph) -> TritonConfig:
    """The configuration of one graph."""
    _, rows, columns = graph.image_shape
    return TritonConfig(
        name=model_name(bundle, graph),
        max_batch=max(1, min(LARGEST, PIXELS // (rows * columns))),
        image=("image", graph.image_shape),
        outputs=dict(graph.outputs),
        delay=DELAY,
        parameters={
            "research_use": RESEARCH_USE,
            "licence": bundle.card.licence,
            "bundle": bundle.card.bundle_id,
            DESCRIPTION: json.dumps(description_of(bundle, network, graph)),
        },
    )
