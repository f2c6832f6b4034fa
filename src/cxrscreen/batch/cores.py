"""The processor's cores, and libraries that must not all take them at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2


def available_cores() -> int:
    """Cores that this process may use; a container or ``taskset`` may leave it fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def calm_libraries(jobs: int) -> Iterator[None]:
    """Keep OpenCV from starting threads of its own while several jobs have a core each."""
    before = cv2.getNumThreads()
    if jobs > 1:
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
