"""What a person names, listed: folders, patterns, manifests, object stores and DICOMweb archives."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cxrscreen.batch.cluster.dicomweb import is_archive, list_archive
from cxrscreen.batch.cluster.items import Item, distinct, key_of
from cxrscreen.batch.cluster.objects import list_objects
from cxrscreen.batch.finished import stamp_of
from cxrscreen.batch.folders import is_earlier_result
from cxrscreen.data.manifest import load_manifest
from cxrscreen.imaging.find import find_images

_FILE: Final = "file://"


def items_of(sources: Sequence[str]) -> list[Item]:
    """List the radiographs of sources, each once; what an earlier run wrote is none.

    Parameters
    ----------
    sources
        Local files, folders and patterns; manifests (``.csv``, whose paths may be URLs); fsspec URLs such as
        ``s3://bucket/prefix``; archives as ``dicomweb+https://host/path?StudyDate=20200101-20201231``.

    Returns
    -------
    list of Item
        In the order named; a name that matches nothing stays, so that it fails with a reason.

    Raises
    ------
    SourceError
        If an object store or an archive cannot be listed.
    ManifestError
        If a manifest is wrong.
    """
    return distinct(item for source in sources for item in _listed(source))


def _listed(source: str) -> Iterable[Item]:
    if is_archive(source):
        return list_archive(source)
    if source.startswith(_FILE):
        return _files([source.removeprefix(_FILE)])
    if "://" in source:
        return list_objects(source)
    if source.lower().endswith(".csv") and Path(source).is_file():
        return _of_manifest(source)
    return _files([source])


def _files(paths: Iterable[Path | str]) -> Iterator[Item]:
    for path in find_images(paths):
        if not is_earlier_result(path):
            # Workers may have another working directory.
            yield Item(key_of(os.path.realpath(path)), "file", str(path.absolute()), stamp_of(path) or "")


def _of_manifest(source: str) -> Iterator[Item]:
    manifest = load_manifest(source)
    for named in manifest.table["path"]:
        if "://" in named:
            yield from _listed(named)
        else:
            yield from _files([manifest.root / named])
