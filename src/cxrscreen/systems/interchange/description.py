"""What an exported network says of itself: input, outputs, classes, operating points, calibration, licence, limits."""

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import yaml

from cxrscreen import RESEARCH_USE
from cxrscreen.systems.bundle import CARD, Bundle, sha256_of
from cxrscreen.systems.decisions import decisions_of
from cxrscreen.systems.interchange.networks import Graph, Network
from cxrscreen.systems.registry import systems

MEANINGS = {
    "logits": "Logits; how they become an answer is said under answer.",
    "features": "Maps of the last layer before pooling, not negative: what CAM and Grad-CAM read.",
    "pooled": "What the last linear layer sees.",
    "guided": "Guided gradient of logit 0 with respect to the image, any sign.",
    "maps": "Maps of the early layers, the input of the late ones.",
    "lungs": "Probability of lung at each place.",
    "disease": "Score of disease at each place; no probability where its loss was weighted or the score moved.",
    "health": "Log odds of unhealthy.",
    "diagnosis": "Logits of COVID-19 and of other disease, each for a sigmoid.",
}
"""Of the outputs that :mod:`cxrscreen.runtime` exports, by name."""


@dataclass(frozen=True)
class Words:
    """What a system says of one of its networks, in words.

    Parameters
    ----------
    title
        What the network is.
    image
        What its input is and which function makes it.
    answer
        How its outputs become an answer.
    value_range
        Smallest and largest value of the input.
    classes
        Names of the logits' channels by their number.
    """

    title: str = "A network of this system"
    image: str = "Made by the pipeline of this system; see its package."
    answer: str = "Read by the pipeline of this system; see its package."
    value_range: tuple[float, float] = (-1.0, 3.0)
    classes: dict[int, list[str]] = field(default_factory=dict)


def words_of(system: str, network: str) -> Words:
    """Give what a system says of a network; general words where it says nothing."""
    entry = _said(system).get("networks", {}).get(network)
    return Words() if entry is None else Words(**{**entry, "value_range": tuple(entry.get("value_range", (-1.0, 3.0)))})


def path_of(system: str) -> str:
    """How a system leads from a radiograph through its networks to its answer, in words."""
    said = _said(system).get("path", "The pipeline of this system joins its networks.")
    return str(said).strip()


def decides(bundle: Bundle, network: str) -> dict[str, dict[str, Any]]:
    """Give the decisions that a network makes, as the card has them, by stage; empty for a network that prepares."""
    return {
        decision.stage: {"decides": decision.words, **bundle.card.stages[decision.stage].model_dump(mode="json")}
        for decision in decisions_of(bundle.card.system)
        if (decision.network or decision.stage) == network and decision.stage in bundle.card.stages
    }


def deciding(bundle: Bundle, networks: tuple[Network, ...]) -> Network:
    """The network that makes the system's first decision, or the first network."""
    return next((network for network in networks if decides(bundle, network.name)), networks[0])


def channels_of(words: Words, graph: Graph) -> list[str]:
    """Names of the channels of a graph's first output; numbered where the system does not name them."""
    name, shape = next(iter(graph.outputs.items()))
    named = words.classes.get(shape[0], []) if name == "logits" else []
    return named or [f"{name} {place}" for place in range(shape[0])]


def description_of(bundle: Bundle, network: Network, graph: Graph) -> dict[str, Any]:
    """Describe one graph, as JSON can hold it.

    Parameters
    ----------
    bundle
        Where it comes from.
    network, graph
        The network, and which of its graphs.

    Returns
    -------
    dict
        The same for the same bundle, so that an export can be compared with it.
    """
    card, words = bundle.card, words_of(bundle.card.system, network.name)
    return {
        **identity(bundle),
        "network": network.name,
        "graph": graph.name,
        "title": words.title,
        "opset": graph.opset,
        "inputs": {
            "image": {
                "type": "float32",
                "shape": ["batch", *graph.image_shape],
                # A part of a network takes maps and no grey values.
                "range": list(words.value_range) if graph.image_shape[0] == network.whole.image_shape[0] else None,
                "is": words.image if graph.image_shape[0] == network.whole.image_shape[0] else MEANINGS["maps"],
            }
        },
        "outputs": {
            name: {"type": "float32", "shape": ["batch", *shape], "is": MEANINGS.get(name, "")}
            for name, shape in graph.outputs.items()
        },
        "pooling": graph.pooling or None,
        "answer": words.answer,
        "classes": channels_of(words, graph),
        "decisions": decides(bundle, network.name),
        "preprocessing": card.preprocessing,
        "path": path_of(card.system),
    }


def identity(bundle: Bundle) -> dict[str, Any]:
    """What of a bundle goes with every format: which it is, its licence, what it is and is not for."""
    card = bundle.card
    return {
        "research_use": RESEARCH_USE,
        "bundle": card.bundle_id,
        "bundle_sha256": digest_of(bundle),
        "system": card.system,
        "summary": card.summary,
        "licence": card.licence,
        "intended_use": card.intended_use,
        "not_for": card.not_for,
        "limits": card.limits,
    }


def digest_of(bundle: Bundle) -> str:
    """SHA-256 of the card, which holds that of every other file of the bundle."""
    return sha256_of(bundle.file(CARD))


@cache
def _said(system: str) -> dict[str, Any]:
    """Content of ``words.yaml`` in the system's package, wherever it comes from; empty where there is none."""
    if system not in systems():
        return {}
    file = resources.files(systems()[system]).joinpath("words.yaml")
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
