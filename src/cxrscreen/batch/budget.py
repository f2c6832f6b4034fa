"""How much memory the radiographs at work may take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

BYTES_PER_PIXEL = 40
"""Of a radiograph at work: pixels and three maps in float32, masks, and what the steps between need for a while."""


class MemoryBudget:
    """Lets as many radiographs be worked on at the same time as fit into a number of bytes; one always may.

    A radiograph's size is known once it is read, so that those which wait hold their pixels, 4 bytes each, on top.

    Parameters
    ----------
    limit
        Bytes for all of them; None: no bound.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def held_for(self, pixels: int) -> Iterator[None]:
        """Wait until a radiograph of so many pixels fits beside those at work, and hold its share while it is."""
        share = pixels * BYTES_PER_PIXEL
        with self._changed:
            self._changed.wait_for(lambda: self._limit is None or not self._held or self._held + share <= self._limit)
            self._held += share
        try:
            yield
        finally:
            with self._changed:
                self._held -= share
                self._changed.notify_all()
