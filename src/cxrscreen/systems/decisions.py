"""What a system says of its decisions, so that whoever measures needs to know no system by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from cxrscreen.errors import BundleError
from cxrscreen.systems.registry import part_of, systems


@dataclass(frozen=True)
class Decision:
    """One decision of a system.

    Parameters
    ----------
    stage
        Its name in every screening and in the card.
    words
        In words short enough for a table, for example "pneumonia / normal".
    protocols
        Protocols whose question it answers; an audit takes the first one unless told otherwise.
    control
        Label of images among which the disease cannot tell where an image comes from.
    network
        Name of the files of the network that decides; empty: the stage's.
    """

    stage: str
    words: str
    protocols: tuple[str, ...]
    control: str
    network: str = ""


def decisions_of(system: str) -> tuple[Decision, ...]:
    """Give the decisions of a system in their order.

    Raises
    ------
    BundleError
        If this version has no such system.
    """
    return cast(tuple[Decision, ...], part_of(system, "decisions").DECISIONS)


def decision_for(system: str, protocol: str) -> Decision:
    """Give the decision by which a system answers a protocol's question.

    Raises
    ------
    BundleError
        If it answers no such question, or this version has no such system.
    """
    for decision in decisions_of(system):
        if protocol in decision.protocols:
            return decision
    known = ", ".join(protocol for decision in decisions_of(system) for protocol in decision.protocols)
    raise BundleError(f"The system {system} does not decide what {protocol} asks: use one of {known}.")


def all_decisions() -> Iterator[Decision]:
    """Every decision of every system, those of the first one first."""
    for system in systems():
        yield from decisions_of(system)
