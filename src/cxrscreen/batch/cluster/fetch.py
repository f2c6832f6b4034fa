"""A local file of a radiograph, for as long as it is read."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxrscreen.batch.cluster.dicomweb import instance_content
from cxrscreen.batch.cluster.items import Item
from cxrscreen.batch.cluster.objects import content_of


@contextmanager
def fetched(item: Item) -> Iterator[Path]:
    """Give a path at which a radiograph can be read; what was fetched for it is gone afterwards.

    Yields
    ------
    Path
        The file itself, or a copy whose name says nothing: in memory on Linux, so that it ends with its process also
        where that is killed, else in a temporary folder.

    Raises
    ------
    UnreadableImageError
        If it cannot be fetched.
    """
    if item.kind == "file":
        yield Path(item.location)
        return
    content = content_of(item.location, item.size) if item.kind == "object" else instance_content(item.location)
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("radiograph"), "wb") as copy:
            copy.write(content)
            copy.flush()
            del content
            yield Path(f"/proc/self/fd/{copy.fileno()}")
        return
    with tempfile.TemporaryDirectory(prefix="cxrscreen-") as folder:
        path = Path(folder) / item.key
        path.write_bytes(content)
        yield path
