"""A MONAI Bundle: metadata, networks that its ConfigParser builds, their states, and a run over a folder of images.

After MONAI's bundle specification (docs/source/mb_specification.rst of Project-MONAI/MONAI).
"""

import json
import shutil
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cxrscreen.errors import BundleError
from cxrscreen.runtime.export_modules import answers_of, build, definition_of, fill, read_state, write_state
from cxrscreen.runtime.weights import Weights
from cxrscreen.systems.bundle import CARD, Bundle, open_bundle
from cxrscreen.systems.interchange.description import (
    channels_of,
    deciding,
    description_of,
    digest_of,
    identity,
    words_of,
)
from cxrscreen.systems.interchange.networks import Graph, Network
from cxrscreen.systems.interchange.pages import licence_of, page_of
from cxrscreen.systems.interchange.phantom import Difference, differences, network_images, own_answers

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
METADATA, INFERENCE = Path("configs", "metadata.json"), Path("configs", "inference.json")
OWN = Path("models", "bundle")
"""Where the bundle itself lies, whose graphs and preprocessing the run uses."""
VERSIONS = ("monai_version", "pytorch_version", "numpy_version", "required_packages_version")
"""Of the machine that exports: no part of the comparison with the bundle."""


def write(bundle: Bundle, networks: tuple[Network, ...], folder: Path) -> None:
    """Write the MONAI Bundle.

    Raises
    ------
    BundleError
        If MONAI is not installed, or the weights belong to no network of this version.
    """
    _monai()
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir()
    (folder / OWN).mkdir()
    for name in (CARD, *bundle.card.files):
        shutil.copyfile(bundle.file(name), folder / OWN / name)
    main = deciding(bundle, networks)
    for network in networks:
        module = build(_definition(network))
        fill(module, _weights(network))
        write_state(module, folder / "models" / _state_file(network, main))
    _write_json(folder / METADATA, metadata_of(bundle, networks))
    _write_json(folder / INFERENCE, inference_of(bundle, networks))
    text = page_of(
        bundle,
        networks,
        "a MONAI Bundle",
        "`python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json "
        "--bundle_root . --dataset_dir IMAGES --output_dir RESULTS` screens a folder of radiographs (DICOM, PNG, "
        "JPEG, TIFF) with the networks of this folder and the steps of `cxrscreen`, which must be installed; it writes "
        "`screenings.json` and a lung mask for each image. Where weights under `models` were changed, those are used, "
        f"and the results say so. `network_def` is {main.name}, with its state in `models/model.pt`; the other "
        "networks have a file of their name. There is no training configuration: `cxrscreen train` trains.",
    )
    (folder / "docs" / "README.md").write_text(text, encoding="utf-8")
    (folder / "docs" / "license.txt").write_text(licence_of(bundle), encoding="utf-8")


def compare(bundle: Bundle, networks: tuple[Network, ...], folder: Path) -> dict[str, dict[str, Difference]]:
    """Build every network by MONAI's parser, fill it from its file and run it beside the bundle's engine.

    Raises
    ------
    BundleError
        If MONAI is not installed, a configuration is not what the bundle asks for, a file is missing, or the copy of
        the bundle is another one.
    """
    # Expressions of a configuration are run, so that only one that is known word for word is parsed.
    if _read_json(folder / INFERENCE) != _plain(inference_of(bundle, networks)):
        raise BundleError(f"The file {INFERENCE} is not that of its bundle: export it again.")
    expected, found = _plain(metadata_of(bundle, networks)), _read_json(folder / METADATA)
    if {**found, **dict.fromkeys(VERSIONS)} != {**expected, **dict.fromkeys(VERSIONS)}:
        raise BundleError(f"The file {METADATA} is not that of its bundle: export it again.")
    if digest_of(open_bundle(folder / OWN)) != digest_of(bundle):
        raise BundleError(f"The bundle in {OWN} is not the one that this folder was made from: export it again.")
    parser = config_parser(folder)
    main, compared = deciding(bundle, networks), {}
    for network in networks:
        module = parser.get_parsed_content(f"networks#{network.name}")
        read_state(module, folder / "models" / _state_file(network, main))
        image = network_images(network.whole, words_of(bundle.card.system, network.name).value_range)
        compared[network.name] = differences(answers_of(module, image), own_answers(network.whole, image))
    return compared


def config_parser(folder: Path) -> Any:
    """MONAI's parser on the run of an exported folder.

    Raises
    ------
    BundleError
        If MONAI is not installed.
    """
    parser = _monai().ConfigParser()
    parser.read_config(str(folder / INFERENCE))
    parser["bundle_root"] = str(folder)
    return parser


def inference_of(bundle: Bundle, networks: tuple[Network, ...]) -> dict[str, Any]:
    """The configuration ``inference.json``: networks, their states and the run."""
    main = deciding(bundle, networks)
    definitions = {network.name: _definition(network) for network in networks}
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/data'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": definitions.pop(main.name),
        "network": "$@network_def.to(@device)",
        "inferer": {"_target_": "SimpleInferer"},
        "networks": {main.name: "@network_def", **definitions},
        "states": {network.name: f"$@bundle_root + '/models/{_state_file(network, main)}'" for network in networks},
        "screener": {
            "_target_": "cxrscreen.systems.interchange.monai_screener.Screener",
            "bundle": f"$@bundle_root + '/{OWN.as_posix()}'",
            "networks": "@networks",
            "states": "@states",
        },
        "run": ["$@screener.screen_folder(@dataset_dir, @output_dir)"],
    }


def metadata_of(bundle: Bundle, networks: tuple[Network, ...]) -> dict[str, Any]:
    """The content of ``metadata.json``: what MONAI asks for, and beside it what a bundle's card says."""
    card, main = bundle.card, deciding(bundle, networks)
    return {
        "schema": SCHEMA,
        "version": card.version,
        "changelog": {card.version: f"Exported from {card.bundle_id}, trained {card.created}."},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"cxrscreen": version("cxrscreen")},
        "name": card.name,
        "task": "Chest radiograph screening, research use only",
        "description": card.summary,
        "authors": "cxrscreen",
        "copyright": card.licence,
        "intended_use": card.intended_use,
        "network_data_format": _data_format(bundle, main),
        "networks": {network.name: _data_format(bundle, network) for network in networks},
        "cxrscreen": {
            **identity(bundle),
            "descriptions": {network.name: description_of(bundle, network, network.whole) for network in networks},
        },
    }


def _data_format(bundle: Bundle, network: Network) -> dict[str, Any]:
    words, graph = words_of(bundle.card.system, network.name), network.whole
    channels, rows, columns = graph.image_shape
    image = _tensor("image", "magnitude", channels, [rows, columns], list(words.value_range), ["grey value"] * channels)
    # What the module itself gives: the graph's other outputs are read from inside of it.
    answers = [name for name in graph.outputs if name not in {"features", "pooled"}]
    outputs = {
        "pred" if name == "logits" else name: _output(graph, name, channels_of(words, graph)) for name in answers
    }
    return {"inputs": {"image": {**image, "modality": "CR"}}, "outputs": outputs}


def _output(graph: Graph, name: str, channels: list[str]) -> dict[str, Any]:
    count, *spatial = graph.outputs[name]
    named = channels if len(channels) == count and name == "logits" else [f"{name} {place}" for place in range(count)]
    kind, form = ("image", "labels") if spatial else ("probabilities", "classes")
    return {**_tensor(kind, form, count, spatial, [], named), "values": "logits" if name == "logits" else name}


def _tensor(
    kind: str, form: str, count: int, spatial: list[int], value_range: list[float], channels: list[str]
) -> dict[str, Any]:
    return {
        "type": kind,
        "format": form,
        "modality": "n/a",
        "num_channels": count,
        "spatial_shape": spatial,
        "dtype": "float32",
        "value_range": value_range,
        "is_patch_data": False,
        "channel_def": {str(place): channel for place, channel in enumerate(channels)},
    }


def _monai() -> Any:
    try:
        return import_module("monai.bundle")
    except ModuleNotFoundError as fault:
        raise BundleError("A MONAI Bundle is made and checked with MONAI: install cxrscreen[interchange].") from fault


def _definition(network: Network) -> dict[str, Any]:
    graph = network.whole
    return definition_of(_weights(network), side=graph.image_shape[1], pooling=graph.pooling or "image")


def _weights(network: Network) -> Weights:
    return Weights(network.whole.file.with_name(network.whole.weights))


def _state_file(network: Network, main: Network) -> str:
    return "model.pt" if network == main else f"{network.name}.pt"


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples are lists."""
    found: dict[str, Any] = json.loads(json.dumps(content))
    return found


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise BundleError(
            f"The file {file.name} of the MONAI Bundle is missing or malformed: export it again."
        ) from fault
    return found if isinstance(found, dict) else {}
