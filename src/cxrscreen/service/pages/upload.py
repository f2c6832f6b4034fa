"""The page to send images from; its script does the sending and follows what becomes of each file."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from cxrscreen.service.access import Principal, Role, require
from cxrscreen.service.context import Here
from cxrscreen.service.pages.routing import page, pages_router

router = pages_router()


@router.get("/upload")
def upload(request: Request, here: Here, _asking: Annotated[Principal, Depends(require(Role.READER))]) -> HTMLResponse:
    """Show the drop zone."""
    settings = here.settings
    mebibytes = min(settings.max_file_bytes, settings.max_request_bytes) // 2**20
    return page(request, "upload", largest_mib=mebibytes, largest_request=settings.max_request_bytes)
