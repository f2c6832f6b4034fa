"""Several processes that train as one: the first prepares and tells the others what to compute."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import IO, Any

import torch
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from cxrscreen.errors import CxrscreenError
from cxrscreen.train.crew import FIRST, Crew

PATIENCE = timedelta(days=7)
"""The others wait while the first process reads images or measures; one that has died is noticed by its connection."""
HERE = "here"
"""Counts, in the store of a crew that started itself, the processes that have come."""
ARRIVAL = timedelta(minutes=10)
FOLLOW = (sys.executable, "-m", "cxrscreen.train.follow")


@contextmanager
def assembled(crew: Crew) -> Iterator[None]:
    """Bring the other processes of a crew together with this one, the first.

    Those that torchrun started stay together until :func:`dismiss`; those started here end with the block.

    Raises
    ------
    CxrscreenError
        If another process ended before its work was done.
    """
    if crew.size == 1:
        yield
    elif crew.launched:
        join(crew)
        yield
    else:
        with _started(crew):
            yield


def join(crew: Crew, store: TCPStore | None = None) -> None:
    """Become part of the crew's process group, unless that was done before."""
    if distributed.is_initialized():
        return
    backend = "gloo"
    if torch.cuda.is_available():
        # Gradients go over NCCL, what is told over gloo.
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(crew.local_rank % torch.cuda.device_count())
    distributed.init_process_group(backend, store=store, rank=crew.rank, world_size=crew.size, timeout=PATIENCE)


def tell(what: object) -> None:
    """Give an object, from the first process, to all others; None sends them home."""
    distributed.broadcast_object_list([what], src=FIRST)


def hear() -> Any:
    """Wait for what the first process tells."""
    told: list[Any] = [None]
    distributed.broadcast_object_list(told, src=FIRST)
    return told[0]


def gathered(values: list[Any]) -> list[Any]:
    """Join the lists of all processes, in turns: first values first, as one process would have collected them."""
    lists: list[list[Any]] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(lists, values)
    longest = max(map(len, lists))
    return [own[place] for place in range(longest) for own in lists if place < len(own)]


def dismiss(crew: Crew) -> None:
    """Send the processes that torchrun started home, where there are any; also those that had nothing to do."""
    if crew.launched and crew.size > 1:
        join(crew)
        tell(None)
        distributed.destroy_process_group()


@contextmanager
def _started(crew: Crew) -> Iterator[None]:
    """Start the others on this machine, and end them."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    others: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
    with ExitStack() as files:
        try:
            for rank in range(1, crew.size):
                said = files.enter_context(tempfile.TemporaryFile())
                place = replace(crew, rank=rank, local_rank=rank).environment() | address
                process = subprocess.Popen(FOLLOW, env=os.environ | place, stdout=subprocess.DEVNULL, stderr=said)
                others.append((process, said))
            _await(store, others)
            join(crew, store)
            yield
            for process, _ in others:
                process.wait(ARRIVAL.total_seconds())
        except CxrscreenError:
            raise
        except Exception as error:
            _blame(others, error)
            raise
        finally:
            for process, _ in others:
                process.kill()
                process.wait()
            if distributed.is_initialized():
                distributed.destroy_process_group()


def _await(store: TCPStore, others: list[tuple[subprocess.Popen[bytes], IO[bytes]]]) -> None:
    until = time.monotonic() + ARRIVAL.total_seconds()
    while store.add(HERE, 0) < len(others):
        if any(process.poll() is not None for process, _ in others) or time.monotonic() > until:
            raise RuntimeError("a process did not come")
        time.sleep(0.05)


def _blame(others: list[tuple[subprocess.Popen[bytes], IO[bytes]]], error: Exception) -> None:
    """Say which process ended and what it said, where one did: the fault here only follows from that."""
    # A connection may break a moment before the process on its other side has ended.
    until = time.monotonic() + 3.0
    while time.monotonic() < until and all(process.poll() is None for process, _ in others):
        time.sleep(0.05)
    for rank, (process, said) in enumerate(others, start=1):
        if process.poll():
            said.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
            raise CxrscreenError(
                f"Process {rank} of {len(others) + 1} of the training ended ({words[-1]}): mend that and give the same "
                "command again, which goes on from the last checkpoint."
            ) from error
