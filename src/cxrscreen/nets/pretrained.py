"""Published checkpoints -> our networks: DenseNet-121, and classifiers whose names differ little from torchvision's."""

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cxrscreen.errors import RecipeError
from cxrscreen.nets.densenet import DenseNet121

IMAGENET_URL = "https://download.pytorch.org/models/densenet121-a639ec97.pth"
"""torchvision's DenseNet121_Weights.IMAGENET1K_V1; the last part of the name is the start of its SHA-256."""

STEM = "features.conv0.weight"
CONTAINERS = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True)
class LoadReport:
    """What a checkpoint gave.

    Parameters
    ----------
    matched
        Names in the network that were filled.
    left
        Names in the network that keep their initialisation (a head of another size; all for ``"none"``).
    unexpected
        Names in the checkpoint that the network does not have.
    """

    matched: tuple[str, ...]
    left: tuple[str, ...]
    unexpected: tuple[str, ...]


def load_pretrained(network: DenseNet121, weights: str | Path) -> LoadReport:
    """Fill a network from a published checkpoint.

    Read are torchvision's ImageNet layout with its old (``norm.1``) and new (``norm1``) names, CheXNet's
    (``module.densenet121.features...``, with or without ``module.``, ``state_dict`` and ``classifier.0``), Lightning's
    prefix, and this project's own weights. A three-channel stem is summed for a grey network: the same answer as for
    a grey image copied to three channels. A head of another size keeps its initialisation and is reported.

    Parameters
    ----------
    network
        Changed in place, or not at all where an error is raised.
    weights
        ``"imagenet"`` (downloaded once by torch), ``"none"``, or a path to a .pth, .pt, .tar, .ckpt or .safetensors
        file.

    Returns
    -------
    LoadReport
        What was filled and what was not.

    Raises
    ------
    RecipeError
        If the file is missing, is no checkpoint, or lacks a part of DenseNet-121; if the download fails.
    """
    own = {name: values for name, values in network.state_dict().items() if not _is_counter(name)}
    if weights == "none":
        return LoadReport(matched=(), left=tuple(own), unexpected=())
    source = "imagenet" if weights == "imagenet" else str(weights)
    stored = _download() if weights == "imagenet" else read_checkpoint(Path(weights))
    found = {our_name(name): values for name, values in stored.items() if not _is_counter(name)}
    if STEM in found and found[STEM].ndim == 4 and found[STEM].shape[1] == 3 and own[STEM].shape[1] == 1:
        found[STEM] = found[STEM].float().sum(dim=1, keepdim=True)
    matched = {name: found[name] for name in own if name in found and found[name].shape == own[name].shape}
    left = tuple(name for name in own if name not in matched)
    lacking = [name for name in left if not name.startswith("classifier.")]
    if lacking:
        raise RecipeError(
            f"The weights {source} are no complete DenseNet-121 ({len(lacking)} of {len(own)} tensors are missing or "
            "of another shape): give a checkpoint of this network."
        )
    network.load_state_dict(matched, strict=False)
    return LoadReport(tuple(matched), left, tuple(name for name in found if name not in own))


def our_name(name: str) -> str:
    """Translate a published parameter name to ours.

    Parameters
    ----------
    name
        For example ``"module.densenet121.features.denseblock1.denselayer1.norm.1.weight"``.

    Returns
    -------
    str
        For example ``"features.denseblock1.denselayer1.norm1.weight"``; a name of another network as it is.
    """
    name = re.sub(r"^.*?\b(features\.|classifier\.)", r"\1", name)
    name = re.sub(r"(denselayer\d+)\.(norm|conv)\.(\d)\.", r"\1.\2\3.", name)
    return re.sub(r"^classifier\.0\.", "classifier.", name)


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _download() -> Mapping[str, Tensor]:
    try:
        state: Mapping[str, Tensor] = torch.hub.load_state_dict_from_url(
            IMAGENET_URL, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError, pickle.UnpicklingError) as fault:
        raise RecipeError(
            "The ImageNet weights cannot be downloaded here: fetch densenet121-a639ec97.pth elsewhere and give its "
            "path as weights."
        ) from fault
    return state


def fill_classifier(
    network: nn.Module, weights: str | Path, *, what: str, stem: str, renamed: Callable[[str], str] = str
) -> None:
    """Fill a classifier of grey images from a published checkpoint, its linear layer only where the size is the same.

    Parameters
    ----------
    network
        Changed in place, or not at all where an error is raised; its linear layer is ``classifier``.
    weights
        ``"none"``: left as it is; or a path to a checkpoint, with or without DataParallel's ``module.``. A stem of
        three colours is summed: the same answer as for a grey image copied to three channels.
    what
        The network in words, for errors.
    stem
        Name of the first kernel.
    renamed
        From a name in the file, without ``module.``, to that of the network.

    Raises
    ------
    RecipeError
        If the file is missing, or is no checkpoint of this network; for ``"imagenet"``, since no package carries these
        weights.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        raise RecipeError(
            f"No package carries ImageNet weights of {what}: fetch torchvision's file and give its path as weights, or "
            "take the network efficientnet-lite0."
        )
    path = Path(weights)
    found = {renamed(name.removeprefix("module.")): values for name, values in read_checkpoint(path).items()}
    if stem in found:
        found[stem] = found[stem].float().sum(dim=1, keepdim=True)
    own = {name: values for name, values in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    matched = {name: found[name] for name in own if name in found and found[name].shape == own[name].shape}
    lacking = [name for name in own if name not in matched and not name.startswith("classifier.")]
    if lacking:
        raise RecipeError(
            f"The weights {path.name} are not those of {what} ({len(lacking)} of {len(own)} tensors are missing or of "
            "another shape): give a checkpoint of the same network and size."
        )
    network.load_state_dict(matched, strict=False)


def read_checkpoint(path: Path) -> Mapping[str, Tensor]:
    """Read the tensors of a checkpoint by name, as they are stored.

    Raises
    ------
    RecipeError
        If the file is missing or holds no plain tensors.
    """
    if not path.is_file():
        raise RecipeError(f"The weights {path} are missing: give imagenet, none or the path of a checkpoint.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as fault:
        raise RecipeError(
            f"The weights {path} cannot be read as plain tensors: give a .safetensors file or a saved state_dict."
        ) from fault
    if isinstance(content, Mapping):
        for key in CONTAINERS:
            content = content[key] if isinstance(content.get(key), Mapping) else content
        return {
            name: values for name, values in content.items() if isinstance(name, str) and isinstance(values, Tensor)
        }
    raise RecipeError(f"The weights {path} hold no state_dict: give a checkpoint of the network.")
