"""Radiographs in a DICOMweb archive: QIDO-RS lists them, WADO-RS fetches them (DICOM PS3.18)."""

import io
import logging
import os
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset

from cxrscreen.batch.cluster.items import Item, key_of
from cxrscreen.batch.cluster.objects import SourceError, checked_address, shown_address
from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.silence import without_warnings

TOKEN: Final = "CXRSCREEN_DICOMWEB_TOKEN"
"""Environment variable with a bearer token; each machine has its own, so that none travels through the cluster."""
_SCHEMES: Final = ("dicomweb+https://", "dicomweb+http://")
_MODALITIES: Final = ("CR", "DX")
_PAGE: Final = 500
"""Results that are asked for at once."""
_PATIENCE: Final = (10.0, 120.0)
"""Seconds to connect, and between two pieces of an answer."""
_STUDY, _SERIES, _INSTANCE, _MODALITY = "0020000D", "0020000E", "00080018", "00080060"


def is_archive(source: str) -> bool:
    """Tell whether a source is an archive's address."""
    return source.startswith(_SCHEMES)


def list_archive(source: str) -> Iterator[Item]:
    """List an archive's radiographs.

    Parameters
    ----------
    source
        ``dicomweb+https://host/path?Modality=DX&StudyDate=20200101-20201231``: the service's address and what a series
        must match (QIDO-RS). Without ``Modality``: CR and DX.

    Raises
    ------
    SourceError
        If the address holds a user or a password, or the archive does not answer as it should.
    """
    checked_address(source)
    parts = urlsplit(source.removeprefix("dicomweb+"))
    base = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    if parts.username is not None:
        raise SourceError(f"{shown_address(source)} holds a user: give a token by {TOKEN}.")
    asked = dict(parse_qsl(parts.query))
    modalities = (asked["Modality"],) if "Modality" in asked else _MODALITIES
    client = _client(base)
    try:
        for modality in modalities:
            search = partial(client.search_for_series, search_filters=asked | {"Modality": modality})
            for series in _pages(search, _SERIES):
                study_uid, series_uid = _value(series, _STUDY), _value(series, _SERIES)
                for instance in _pages(partial(client.search_for_instances, study_uid, series_uid), _INSTANCE):
                    place = f"studies/{study_uid}/series/{series_uid}/instances/{_value(instance, _INSTANCE)}"
                    yield Item(key_of(f"{base}/{place}"), "dicomweb", f"{base}/{place}")
    except Exception as error:
        raise SourceError(
            f"{shown_address(source)} cannot be searched ({type(error).__name__}): check address, token ({TOKEN}) and "
            "your rights."
        ) from error


def instance_content(location: str) -> bytes:
    """Fetch one instance, in the transfer syntax in which the archive holds it.

    Parameters
    ----------
    location
        ``.../studies/UID/series/UID/instances/UID``.

    Returns
    -------
    bytes
        A DICOM file.

    Raises
    ------
    UnreadableImageError
        If the archive does not give it.
    """
    base, _, place = location.rpartition("/studies/")
    study_uid, _, series_uid, _, instance_uid = place.split("/")
    try:
        with without_warnings():
            instance = _client(base).retrieve_instance(
                study_uid, series_uid, instance_uid, media_types=(("application/dicom", "*"),)
            )
            return _file_of(instance)
    except Exception as error:
        raise UnreadableImageError(
            f"{instance_uid} cannot be fetched ({type(error).__name__}); check the archive, then resume."
        ) from error


def _pages(search: Callable[..., list[dict[str, Any]]], tag: str) -> Iterator[dict[str, Any]]:
    """Search page by page, each entry once, until a page says nothing new: an archive may answer with fewer at most."""
    seen: set[str] = set()
    received = 0
    while True:
        page = search(limit=_PAGE, offset=received)
        received += len(page)
        new = {uid: entry for entry in page if (uid := _value(entry, tag)) not in seen}
        # Nothing new, and yet something, comes from an archive that knows no offset and has said all it says.
        if not new:
            return
        seen.update(new)
        yield from new.values()


def _value(entry: dict[str, Any], tag: str) -> str:
    return str(entry[tag]["Value"][0])


def _file_of(instance: Dataset) -> bytes:
    content = io.BytesIO()
    instance.save_as(content, enforce_file_format=True)
    return content.getvalue()


@lru_cache(maxsize=8)
def _client(base: str) -> DICOMwebClient:
    # It logs the UIDs that it fetches.
    logging.getLogger("dicomweb_client").setLevel(logging.WARNING)
    token = os.environ.get(TOKEN)
    headers = None if token is None else {"Authorization": f"Bearer {token}"}
    return DICOMwebClient(base, headers=headers, timeout=_PATIENCE)
