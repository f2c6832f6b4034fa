"""ONNX: each graph of a bundle in one file with its weights, what it is written into it and into a JSON beside it."""

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import external_data_helper, helper

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.errors import BundleError
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.interchange.description import description_of, words_of
from cxrscreen.systems.interchange.networks import Graph, Network
from cxrscreen.systems.interchange.pages import page_of
from cxrscreen.systems.interchange.phantom import Difference, differences, network_images, own_answers

DESCRIPTION = "cxrscreen.description"
"""Key of the model's metadata under which its whole description stands, as JSON."""
_ERRORS_ONLY = 3


def write(bundle: Bundle, networks: tuple[Network, ...], folder: Path) -> None:
    """Write ``NAME.onnx`` and ``NAME.json`` for each graph, and a page.

    Raises
    ------
    BundleError
        If a graph does not pass ONNX's checker.
    """
    for network in networks:
        for graph in network.graphs:
            write_model(bundle, network, graph, folder / f"{graph.name}.onnx")
            description = description_of(bundle, network, graph)
            (folder / f"{graph.name}.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    text = page_of(
        bundle,
        networks,
        "ONNX",
        "Each `NAME.onnx` holds its weights; the file `NAME.json` beside it says what goes in, what comes out and how "
        f"the answer is read, and stands in the model's metadata under `{DESCRIPTION}` too. The axis `batch` is free.",
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def compare(bundle: Bundle, networks: tuple[Network, ...], folder: Path) -> dict[str, dict[str, Difference]]:
    """Run every exported graph in ONNX Runtime beside the bundle's own engine, on a phantom; differences by graph.

    Raises
    ------
    BundleError
        If a file is missing, is no such model, or its description is not the bundle's.
    """
    return {
        graph.name: compare_model(bundle, network, graph, folder / f"{graph.name}.onnx")
        for network in networks
        for graph in network.graphs
    }


def write_model(bundle: Bundle, network: Network, graph: Graph, file: Path) -> None:
    """Write one graph with its weights inside; raises as :func:`write`."""
    model = onnx.load(graph.file)
    external_data_helper.convert_model_from_external_data(model)
    description = description_of(bundle, network, graph)
    about = {
        "bundle": bundle.card.bundle_id,
        "bundle_sha256": description["bundle_sha256"],
        "licence": bundle.card.licence,
        "research_use": RESEARCH_USE,
        "pooling": graph.pooling,
        DESCRIPTION: json.dumps(description),
    }
    del model.metadata_props[:]
    helper.set_model_props(model, {name: value for name, value in about.items() if value})
    model.producer_name, model.producer_version = "cxrscreen", __version__
    model.doc_string = f"{description['title']}. {bundle.card.summary} {RESEARCH_USE}"
    check_model(model, graph.name)
    onnx.save(model, file)


def check_model(model: onnx.ModelProto, name: str) -> None:
    """Pass a model through ONNX's checker with the inference of shapes; raises a ``BundleError`` where it fails."""
    try:
        onnx.checker.check_model(model, full_check=True)
    # The inference of shapes has errors of its own.
    except Exception as fault:
        raise BundleError(f"The graph {name} does not pass the checker of ONNX: export it again.") from fault


def compare_model(bundle: Bundle, network: Network, graph: Graph, file: Path) -> dict[str, Difference]:
    """Compare one exported file; raises as :func:`compare`."""
    image = network_images(graph, words_of(bundle.card.system, network.name).value_range)
    answers, about = run_model(file, image)
    expected = json.dumps(description_of(bundle, network, graph))
    if about.get(DESCRIPTION) != expected:
        raise BundleError(f"The model {file.name} describes itself otherwise than its bundle does: export it again.")
    return differences(answers, own_answers(graph, image))


def run_model(file: Path, image: NDArray[np.float32]) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Run an ONNX file in ONNX Runtime; answers by name, and its metadata.

    Raises
    ------
    BundleError
        If ONNX Runtime is not installed, or the file is missing, damaged or takes another image.
    """
    try:
        import onnxruntime as ort  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as fault:
        raise BundleError("An export is compared in ONNX Runtime: install cxrscreen[interchange].") from fault
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {session.get_inputs()[0].name: image})
    # The library's own errors have no common base below Exception.
    except Exception as fault:
        raise BundleError(f"The model {file.name} is missing, damaged or takes another image: export again.") from fault
    return dict(zip(names, values, strict=True)), dict(session.get_modelmeta().custom_metadata_map)
