"""One radiograph to be screened, wherever it lies, and a name for it that says nothing about it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "object", "dicomweb"]
"""``file``: a path that every machine sees. ``object``: an fsspec URL. ``dicomweb``: an instance in an archive."""


@dataclass(frozen=True, slots=True)
class Item:
    """One radiograph of a source.

    Parameters
    ----------
    key
        From :func:`key_of`: which radiograph it is, however it was named.
    kind
        How it is opened.
    location
        Where: an absolute path, a URL, or an instance's address in an archive.
    stamp
        What changes when its content does, from the listing; empty where the source has no such thing.
    size
        Bytes, where the listing tells.
    """

    key: str
    kind: Kind
    location: str
    stamp: str = ""
    size: int | None = None


def key_of(identity: str) -> str:
    """Digest what tells a radiograph from every other: 32 hexadecimal digits, for file names and logs."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def distinct(items: Iterable[Item]) -> list[Item]:
    """Keep the first of the items that are the same radiograph, in the order named."""
    found: dict[str, Item] = {}
    for item in items:
        found.setdefault(item.key, item)
    return list(found.values())


def packed(items: Sequence[Item]) -> str:
    """Write items as JSON, ASCII only, so that names that are no UTF-8 survive the way to another machine."""
    return json.dumps([(item.key, item.kind, item.location, item.stamp, item.size) for item in items])


def unpacked(text: str) -> tuple[Item, ...]:
    """Read what :func:`packed` wrote."""
    return tuple(Item(*fields) for fields in json.loads(text))
