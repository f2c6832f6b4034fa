"""The page and the licence that go with an export, in words."""

from cxrscreen import RESEARCH_USE
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.interchange.description import decides, digest_of, path_of, words_of
from cxrscreen.systems.interchange.networks import Network

NOT_TO_CONCLUDE = (
    "The comparison on a phantom shows that the networks were carried over, not that they are right. A network without "
    "the steps before and after it answers another question than the card's figures are of. Thresholds belong to the "
    "whole system and to the images named beside them; at another hospital they must be set again."
)


def page_of(bundle: Bundle, networks: tuple[Network, ...], name: str, how: str) -> str:
    """Write the page of an export, Markdown.

    Parameters
    ----------
    bundle, networks
        What is exported.
    name
        Of the format.
    how
        What the folder holds and how it is used, Markdown.
    """
    card = bundle.card
    lines = [
        f"# {card.bundle_id} as {name}",
        f"**{RESEARCH_USE}**",
        card.summary,
        how,
        "## From a radiograph to an answer",
        path_of(card.system),
        "## Networks",
        *(line for network in networks for line in _network(bundle, network)),
        "## Operating points",
        *_points(bundle, networks),
        "## Not for",
        "\n".join(f"- {line}" for line in card.not_for),
        "## Limits",
        "\n".join(f"- {line}" for line in card.limits),
        "## What must not be concluded",
        NOT_TO_CONCLUDE,
        "## Licence",
        card.licence,
        f"Made from the bundle whose card has the SHA-256 `{digest_of(bundle)}`; the card lies beside this page or in "
        "`models/bundle`, and says how the system was measured. `cxrscreen import-check` compares this folder with it.",
    ]
    return "\n\n".join(lines) + "\n"


def licence_of(bundle: Bundle) -> str:
    """The text of the file ``LICENSE``."""
    return (
        f"{bundle.card.bundle_id}\n\n{bundle.card.licence}\n\n{RESEARCH_USE}\n\nThe code that made these files, "
        "cxrscreen, is licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).\n"
    )


def _network(bundle: Bundle, network: Network) -> list[str]:
    words = words_of(bundle.card.system, network.name)
    channels, rows, columns = network.whole.image_shape
    low, high = words.value_range
    rest = ", ".join(f"`{graph.name}`" for graph in network.graphs[1:])
    lines = [
        f"### {network.name}: {words.title}",
        f"- Input `image`: float32 (batch, {channels}, {rows}, {columns}) in [{low:g}, {high:g}]. {words.image}",
        f"- Outputs: {', '.join(f'`{name}` {_shape(shape)}' for name, shape in network.whole.outputs.items())}.",
        f"- Answer: {words.answer}",
    ]
    if rest:
        lines.append(f"- Other graphs of the same weights: {rest}.")
    return [lines[0], "\n".join(lines[1:])]


def _points(bundle: Bundle, networks: tuple[Network, ...]) -> list[str]:
    rows = ["| Decision | Network | Point | Threshold | Rule | Temperature |", "|---|---|---|---|---|---|"]
    for network in networks:
        for stage in decides(bundle, network.name):
            card = bundle.card.stages[stage]
            for name, point in card.operating_points.items():
                used = " (in use)" if name == card.default else ""
                rows.append(
                    f"| {stage} | {network.name} | {name}{used} | {point.threshold:g} | {point.rule} | "
                    f"{card.temperature:g} |"
                )
    return ["\n".join(rows)]


def _shape(shape: tuple[int, ...]) -> str:
    return f"(batch, {', '.join(map(str, shape))})"
