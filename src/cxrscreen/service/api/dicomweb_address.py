"""Addresses of DICOMweb: where it is, how its answers name what they speak of."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Path, Request

from cxrscreen.service.context import Context

PREFIX: Final = "/dicom-web"
JSON: Final = "application/dicom+json"

Uid = Annotated[str, Path(pattern=r"^[0-9][0-9.]{0,63}$", description="A DICOM UID.")]
Attributes = dict[str, Any]
"""A data set in the DICOM JSON model (PS3.18 annex F)."""


def base_of(request: Request, here: Context) -> str:
    """Return the address of the service's DICOMweb: under the public address, or as this request came."""
    public = here.settings.public_url or str(request.base_url)
    return public.rstrip("/") + PREFIX


def address(base: str, study: str, series: str | None = None, instance: str | None = None) -> str:
    """Return the address of a study, a series or an instance."""
    found = f"{base}/studies/{study}"
    if series is not None:
        found += f"/series/{series}"
    return found if instance is None else f"{found}/instances/{instance}"


def element(tag: str, vr: str, *values: object) -> Mapping[str, Any]:
    """Write one attribute."""
    kept = [value for value in values if value is not None and value != ""]
    return {tag: {"vr": vr, "Value": kept} if kept else {"vr": vr}}
