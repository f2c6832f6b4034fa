"""The work on a Ray cluster: actors hold the networks, Ray Data hands them shards and takes their rows."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from cxrscreen import __version__
from cxrscreen.batch.cluster.fetch import fetched
from cxrscreen.batch.cluster.items import packed, unpacked
from cxrscreen.batch.cluster.one_file import Asked, screened_row
from cxrscreen.batch.cluster.rounds import ClusterError
from cxrscreen.batch.cluster.shards import Shard
from cxrscreen.batch.cluster.table import table_of
from cxrscreen.batch.cores import available_cores, calm_libraries
from cxrscreen.errors import BundleError
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import EngineSettings
from cxrscreen.systems.registry import load_system

# Nothing leaves the hospital unless somebody asks for it; read when Ray is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
import ray
import ray.data

_RETRIES: Final = 2
"""Times that a shard is given to another worker when its own has ended."""
_IN_FLIGHT: Final = 2
"""Shards that a worker has at once: one at work, and one at hand. Of one file each it has one, since the second would
be thought to have ended the worker too."""
_PATIENCE: Final = 10.0
"""Seconds for a cluster's head to answer."""
_OBJECT_STORE: Final = 256 * 2**20
"""Bytes for what passes through a cluster of this machine: names and rows, no pixels."""


@dataclass(frozen=True)
class Work:
    """What a worker has to know.

    Parameters
    ----------
    bundle
        A shipped bundle's name, or a folder that every machine sees.
    engine
        What runs the networks, with one thread.
    asked
        What is asked of each file.
    """

    bundle: str
    engine: EngineSettings
    asked: Asked


class Worker:
    """Holds the compiled networks, and screens one file after the other on one core.

    Raises
    ------
    BundleError
        If this machine's bundle or software is not that of the one where the run was started.
    """

    def __init__(self, work: Work) -> None:
        asked = work.asked
        if __version__ != asked.software:
            raise BundleError(f"A node has cxrscreen {__version__}, the run needs {asked.software}: install it there.")
        self._asked = asked
        self._system = load_system(work.bundle, engine=work.engine)
        if self._system.bundle_id != asked.bundle:
            raise BundleError(f"A node has the bundle {self._system.bundle_id}, the run needs {asked.bundle}.")

    def __call__(self, shard: pa.Table) -> pa.Table:
        """Screen a shard.

        Parameters
        ----------
        shard
            One row: its name, and its items as :func:`~cxrscreen.batch.cluster.items.packed` writes them.

        Returns
        -------
        pyarrow.Table
            A row a file, of :data:`~cxrscreen.batch.cluster.table.ROWS`.
        """
        name = {"shard": shard["shard"][0].as_py()}
        with calm_libraries(2):
            rows = [
                screened_row(item, self._system, self._asked, fetched=fetched, read=read) | name
                for item in unpacked(shard["items"][0].as_py())
            ]
        return table_of(rows)


@contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[int]:
    """Be part of a cluster: the one at an address, or one of this machine alone, which ends with this.

    Parameters
    ----------
    address
        ``host:port``, or ``auto`` for the one that this machine belongs to; None: one of this machine, that no other
        can reach.
    workers
        Radiographs at the same time; None: one for each core.

    Yields
    ------
    int
        Workers that the cluster has cores for, at most those asked for.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached or has no free core.
    """
    settings: dict[str, Any] = {"address": address}
    if address is not None:
        check_reachable(address)
    else:
        settings = {
            "address": "local",
            "num_cpus": workers or available_cores(),
            "object_store_memory": _OBJECT_STORE,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    try:
        ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=False)
    except Exception as error:
        # Ray raises the plainest of exceptions for a node that did not start in time.
        where = "on this machine" if address is None else f"at {address}"
        raise ClusterError(
            f"The Ray cluster {where} cannot be used ({type(error).__name__}): check that it runs, with the same "
            "versions of Python and Ray, and that the address is right."
        ) from error
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cores = int(resources.get("CPU", 0))
        if cores < 1:
            raise ClusterError("The Ray cluster has no core for work: add nodes with --num-cpus of at least 1.")
        yield min(cores, workers or cores)
    finally:
        ray.shutdown()


def check_reachable(address: str) -> None:
    """See whether anything listens at ``host:port``; Ray itself would wait for minutes.

    Raises
    ------
    ClusterError
        If nothing does.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"No Ray cluster answers at {address} ({type(error).__name__}): give host:port of its head, and check that "
            "it runs."
        ) from error


def check_memory(memory: int, nodes: Sequence[Mapping[str, Any]]) -> None:
    """See whether any node that works has so many bytes; Ray would wait for one for ever.

    Parameters
    ----------
    memory
        Bytes for each worker.
    nodes
        As ``ray.nodes()`` lists them.

    Raises
    ------
    ClusterError
        If none has.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    most = max((has.get("memory", 0) for has in alive if has.get("CPU", 0) >= 1), default=0)
    if memory > most:
        raise ClusterError(
            f"No node of the Ray cluster has {memory / 2**20:.0f} MiB for a worker, the most is "
            f"{most / 2**20:.0f} MiB: give a smaller --memory, or add a node."
        )


def on_ray(shards: Sequence[Shard], work: Work, *, workers: int, memory: int | None = None) -> Iterator[pa.Table]:
    """Screen shards on the cluster, and give their rows as they come.

    A shard whose worker ends is given to another one, twice; then nothing comes of it.

    Parameters
    ----------
    shards
        The work; not empty.
    work
        What the workers have to know.
    workers
        At most so many at the same time; fewer while the cluster has fewer cores.
    memory
        Bytes that a node must have free for each worker; None: no bound but the cores.

    Raises
    ------
    ClusterError
        If no node has that memory, or the cluster does not do the work at all, for example since none can load the
        bundle.
    """
    if memory is not None:
        check_memory(memory, ray.nodes())  # type: ignore[no-untyped-call]
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # What is lost is noticed and done again by who called this.
    context.max_errored_blocks = -1
    tasks = [{"shard": shard.name, "items": packed(shard.items)} for shard in shards]
    at_once = min(workers, len(shards))
    in_flight = 1 if all(len(shard.items) == 1 for shard in shards) else _IN_FLIGHT
    rows = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map_batches(
        Worker,
        fn_constructor_args=(work,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(
            min_size=1, max_size=at_once, initial_size=at_once, max_tasks_in_flight_per_actor=in_flight
        ),
        num_cpus=1,
        memory=memory,
        max_restarts=-1,
        max_task_retries=_RETRIES,
    )
    try:
        # A block is a shard's rows, since a shard is a task.
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except (ray.exceptions.RayError, RuntimeError) as error:
        raise ClusterError(
            f"The Ray cluster stopped working ({type(error).__name__}): check that every node has this version of "
            "cxrscreen and the bundle, then go on with --resume."
        ) from error
