"""Radiographs in object stores, by fsspec URL."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import fsspec

from cxrscreen.batch.cluster.items import Item, key_of
from cxrscreen.errors import CxrscreenError, UnreadableImageError
from cxrscreen.imaging.limits import DEFAULT_LIMITS, ReadLimits

_STAMPS: Final = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "updated", "created")


class SourceError(CxrscreenError):
    """A source that cannot be listed."""


def list_objects(url: str) -> Iterator[Item]:
    """List the objects below a URL, in order of name; hidden ones (a name that starts with a dot) are left out.

    Parameters
    ----------
    url
        For example ``s3://bucket/prefix``, ``gs://...``, ``az://...``: one object, a prefix, or a pattern.

    Raises
    ------
    SourceError
        If the URL holds a password, its driver is not installed, or the store refuses.
    """
    checked_address(url)
    try:
        files, path = fsspec.core.url_to_fs(url)
        found = files.glob(path, detail=True) if _is_pattern(path) else files.find(path, detail=True)
        if not found:
            yield Item(key_of(url), "object", url)
        for name in sorted(found):
            if found[name].get("type") == "file" and not any(part.startswith(".") for part in name.split("/")):
                address = files.unstrip_protocol(name)
                yield Item(key_of(address), "object", address, stamp_in(found[name]), found[name].get("size"))
    except ImportError as error:
        raise SourceError(
            f"{urlsplit(url).scheme}:// needs a driver that is not installed: pip install s3fs, gcsfs or adlfs."
        ) from error
    except CxrscreenError:
        raise
    except Exception as error:
        raise SourceError(
            f"{shown_address(url)} cannot be listed ({type(error).__name__}): check the URL and your rights."
        ) from error


def content_of(url: str, size: int | None, *, limits: ReadLimits = DEFAULT_LIMITS) -> bytes:
    """Get an object.

    Raises
    ------
    UnreadableImageError
        If it is too large, is not there any more, or the store refuses.
    """
    name = url.rsplit("/", 1)[-1]
    if size is not None and size > limits.max_bytes:
        raise UnreadableImageError(f"{name} is far too large ({size / 2**20:.0f} MiB); export the one image.")
    try:
        files, path = fsspec.core.url_to_fs(url)
        content: bytes = files.cat_file(path, start=0, end=limits.max_bytes + 1)
    except FileNotFoundError as error:
        raise UnreadableImageError(f"{name} does not exist; check the name.") from error
    except Exception as error:
        raise UnreadableImageError(
            f"{name} cannot be fetched ({type(error).__name__}); check the store and your rights, then resume."
        ) from error
    if len(content) > limits.max_bytes:
        raise UnreadableImageError(f"{name} is far too large; export the one image.")
    return content


def stamp_in(listed: Mapping[str, Any]) -> str:
    """What changes when an object does: its size, and its entity tag or time, from a store's own listing."""
    told = [f"{listed[name]}" for name in _STAMPS if listed.get(name) is not None]
    return f"{listed.get('size', '')}-{told[0]}" if told else f"{listed.get('size', '')}"


def checked_address(url: str) -> str:
    """Refuse a URL with a password in it, which would be written into every row.

    Raises
    ------
    SourceError
        If it has one.
    """
    if urlsplit(url).password is not None:
        raise SourceError(
            f"{shown_address(url)} holds a password: give it by the environment or the store's own configuration."
        )
    return url


def shown_address(url: str) -> str:
    """Return a URL without what may be secret in it: user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}"


def _is_pattern(path: str) -> bool:
    return any(sign in path for sign in "*?[")
