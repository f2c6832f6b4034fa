"""The interface's description."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from cxrscreen.service.access import Principal, Role, require
from cxrscreen.service.api import PREFIX

router = APIRouter(prefix=PREFIX, tags=["interface"])


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request, _principal: Annotated[Principal, Depends(require(Role.VIEWER))]) -> dict[str, Any]:
    """Describe the interface (OpenAPI)."""
    described: dict[str, Any] = request.app.openapi()
    return described
