"""Who holds what is being sent: a name that no other running process has, and that a restarted one has again."""

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from cxrscreen.service.store.columns import new_id

if sys.platform != "win32":
    import fcntl


@contextmanager
def own_holder(folder: Path) -> Iterator[str]:
    """Hold a name for as long as the context lasts, or until the process is gone.

    The name is the machine's, the folder's and the lowest number whose lock is free: two servers on one machine have
    different ones, and whoever is started again after a kill finds what it had in hand without waiting for a lease.

    Parameters
    ----------
    folder
        The service's.

    Yields
    ------
    str
        At most 128 characters.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    # Containers may share a machine's name.
    place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    named = f"{platform.node()[:64]}:{place}"
    if sys.platform == "win32":
        yield f"{named}:{new_id()}"
        return
    for number in count():
        path = folder / f"exchange-{number}.lock"
        path.touch(mode=0o600)
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"{named}:{number}"
            return
