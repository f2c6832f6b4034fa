"""The form to sign in; its script sends what is typed to the API."""

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from cxrscreen.service.access import OPEN_TO_ALL
from cxrscreen.service.pages.routing import page, pages_router

router = pages_router()


@router.get("/sign-in", dependencies=[Depends(OPEN_TO_ALL)])
def sign_in(request: Request) -> HTMLResponse:
    """Show the form."""
    return page(
        request,
        "sign_in",
        goes_to=own_path(request.query_params.get("next", "")),
        provider=getattr(request.app.state, "provider", None) is not None,
    )


def own_path(path: str) -> str:
    """Return a path of this service, ``"/worklist"`` for anything that could lead elsewhere."""
    leads_elsewhere = not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isprintable()
    return "/worklist" if leads_elsewhere or path.startswith("/sign-") else path
