"""Radiographs in object stores, by fsspec URL."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import takewhile
from typing import Any, Final
from urllib.parse import urlsplit

import fsspec

from cxrscreen.batch.cluster.items import Item, key_of
from cxrscreen.batch.folders import RESULTS, RUN_FILE, output_on_ray
from cxrscreen.errors import CxrscreenError, UnreadableImageError
from cxrscreen.imaging.limits import DEFAULT_LIMITS, ReadLimits

_STAMPS: Final = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "updated", "created")
_WEB: Final = ("http", "https")
_CHAIN: Final = re.compile(r"::(?=[\w+.-]+://)")
"""Between the URLs of a chain, such as ``zip://1.dcm::s3://bucket/archive.zip``."""


class SourceError(CxrscreenError):
    """A source that cannot be listed."""


def list_objects(url: str) -> Iterator[Item]:
    """List the objects below a URL, in order of name.

    What is hidden below what was named (a name that starts with a dot) is left out, and so is what a batch wrote.

    Parameters
    ----------
    url
        For example ``s3://bucket/prefix``, ``gs://...``, ``az://...``: one object, a prefix, or a pattern of either.

    Raises
    ------
    SourceError
        If the URL holds what may be secret, its driver is not installed, or the store refuses.
    """
    checked_address(url)
    try:
        files, path = fsspec.core.url_to_fs(url)
        found = _found(files, path)
        if not found:
            yield Item(key_of(url), "object", url)

        @cache
        def is_output(root: str) -> bool:
            return bool(files.exists(f"{root}/{RUN_FILE}") and files.exists(f"{root}/{RESULTS}"))

        for name in sorted(found):
            root = output_on_ray(f"/{name}")
            if root is None or not is_output(root.removeprefix("/")):
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
    """Refuse a URL with what may be secret in it, since it would be written into every row.

    Raises
    ------
    SourceError
        If it has a password, or is an address of the web with a user or a query, or is no URL at all.
    """
    for link in _CHAIN.split(url):
        try:
            parts = urlsplit(link)
        except ValueError as error:
            raise SourceError(
                f"An address that starts with {link.partition('://')[0]}:// is no URL: check the brackets in the name "
                "of its host or bucket."
            ) from error
        if parts.password is not None:
            raise SourceError(
                f"{shown_address(link)} holds a password: give it by the environment or the store's own configuration."
            )
        if parts.scheme in _WEB and (parts.query or parts.username is not None):
            raise SourceError(
                f"{shown_address(link)} holds a query or a user, which may be secret: name the object by its store's "
                "own URL, and give keys by the environment or the store's own configuration."
            )
    return url


def shown_address(url: str) -> str:
    """Return a URL without what may be secret in it: user, password and query.

    Raises
    ------
    ValueError
        If it is none; :func:`checked_address` says so.
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}"


def _found(files: Any, path: str) -> dict[str, Any]:
    """List by name what lies at a path, below it, or below what matches it."""
    if _is_pattern(path):
        found = {}
        entered = None
        for name, listed in sorted(files.glob(path, detail=True).items()):
            if listed.get("type") != "directory":
                found[name] = listed
            elif entered is None or not name.startswith(f"{entered}/"):
                entered = name.rstrip("/")
                found |= files.find(name, detail=True)
    else:
        found = files.find(path, detail=True)
    # As a shell does: what somebody writes with its dot is not hidden to them.
    parts = path.rstrip("/").split("/")
    named = len(list(takewhile(lambda part: part.startswith(".") or not _is_pattern(part), parts)))
    return {
        name: listed
        for name, listed in found.items()
        if listed.get("type") == "file" and not any(part.startswith(".") for part in name.split("/")[named:])
    }


def _is_pattern(path: str) -> bool:
    return any(sign in path for sign in "*?[")
