"""How many processes train as one, and which of them this is; without torch, so that a command can ask at once."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxrscreen.errors import RecipeError

if TYPE_CHECKING:
    from cxrscreen.train.recipe import Compute

FIRST = 0
"""Rank of the process that prepares, writes and decides; the others only compute their shares."""


@dataclass(frozen=True)
class Crew:
    """The processes of a training, seen from one of them; each has one device.

    Parameters
    ----------
    size
        Processes altogether.
    rank
        Of this one, from 0.
    local_size, local_rank
        The same on this node.
    node
        Number of this node, from 0.
    launched
        Whether torchrun started the processes; else the first one starts the others.
    """

    size: int = 1
    rank: int = FIRST
    local_size: int = 1
    local_rank: int = 0
    node: int = 0
    launched: bool = False

    @property
    def nodes(self) -> int:
        """Nodes altogether."""
        return self.size // self.local_size

    def environment(self) -> dict[str, str]:
        """The variables by which torch and Lightning know the place of a process."""
        return {
            "WORLD_SIZE": str(self.size),
            "RANK": str(self.rank),
            "LOCAL_WORLD_SIZE": str(self.local_size),
            "LOCAL_RANK": str(self.local_rank),
            "GROUP_RANK": str(self.node),
        }


def crew_here(environment: Mapping[str, str] | None = None) -> Crew:
    """Read this process's place as torchrun, or the first process of a crew, has written it into the environment."""
    given = os.environ if environment is None else environment
    if "RANK" not in given or "WORLD_SIZE" not in given:
        return Crew()
    size = int(given["WORLD_SIZE"])
    return Crew(
        size,
        int(given["RANK"]),
        int(given.get("LOCAL_WORLD_SIZE", size)),
        int(given.get("LOCAL_RANK", 0)),
        int(given.get("GROUP_RANK", 0)),
        launched="TORCHELASTIC_RUN_ID" in given,
    )


def crew_for(compute: "Compute") -> Crew:
    """The crew that a recipe asks for, seen from its first process.

    Under torchrun the crew is what torchrun has started, whatever its size, as long as the recipe names no other one.

    Raises
    ------
    RecipeError
        If the recipe and torchrun disagree, more than one node is asked for without torchrun, or this is not the first
        process of a crew.
    """
    here = crew_here()
    if not here.launched:
        if compute.nodes > 1:
            raise RecipeError(
                f"The recipe asks for {compute.nodes} nodes, which this command cannot start: start it with torchrun "
                "on each node, see docs/training-at-scale.md."
            )
        return Crew(compute.devices, local_size=compute.devices)
    if (compute.devices, compute.nodes) not in {(1, 1), (here.local_size, here.nodes)}:
        raise RecipeError(
            f"The recipe asks for {compute.nodes} x {compute.devices} processes and torchrun started {here.nodes} x "
            f"{here.local_size}: make them agree, or leave devices and nodes out of the recipe."
        )
    if here.rank != FIRST:
        raise RecipeError(
            "Of the commands that train, torchrun can start `cxrscreen train` alone: start this one by itself."
        )
    return here


def batch_share(batch: int, size: int) -> int:
    """Images of a batch that each process of a crew takes.

    Raises
    ------
    RecipeError
        If they cannot be shared out evenly: the mean of the processes' gradients would not be that of the batch.
    """
    if batch % size:
        raise RecipeError(
            f"A batch of {batch} images cannot be shared out evenly over {size} processes: make it a multiple of that."
        )
    return batch // size


@contextmanager
def placed(crew: Crew) -> Iterator[None]:
    """Write a place into the environment, and take it out again."""
    before = {name: os.environ.get(name) for name in crew.environment()}
    os.environ.update(crew.environment())
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
