"""The interface's description."""

from copy import deepcopy
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request

from cxrscreen.service.access import Principal, Role, require
from cxrscreen.service.api import PREFIX
from cxrscreen.service.problems import MEDIA_TYPE

router = APIRouter(prefix=PREFIX, tags=["interface"])

_PROBLEMS: Final = ("#/components/schemas/Problem", "#/components/schemas/Refusal")
_SPOKEN: Final = {"/dicom-web/": "application/dicom+json", "/fhir/": "application/fhir+json"}
"""Media types of what other standards' routes answer as JSON, by where they are."""


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request, _principal: Annotated[Principal, Depends(require(Role.VIEWER))]) -> dict[str, Any]:
    """Describe the interface (OpenAPI)."""
    return interface(request.app)


def interface(app: FastAPI) -> dict[str, Any]:
    """Describe an application's routes, each answer under the media type that it is sent as.

    Parameters
    ----------
    app
        The application; FastAPI itself gives all of a route's answers the one type of its good ones.
    """
    # FastAPI keeps its own, and several requests may ask for it at once.
    described: dict[str, Any] = deepcopy(app.openapi())
    for path, operations in described["paths"].items():
        spoken = next((kind for begin, kind in _SPOKEN.items() if path.startswith(begin)), "application/json")
        for operation in operations.values():
            for answer in operation["responses"].values():
                _name_kinds(answer.get("content", {}), spoken)
    return described


def _name_kinds(content: dict[str, Any], spoken: str) -> None:
    for kind in list(content):
        if content[kind].get("schema", {}).get("$ref") in _PROBLEMS:
            content[MEDIA_TYPE] = content.pop(kind)
        elif kind == "application/json":
            content[spoken] = content.pop(kind)
