"""The form to sign in."""

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from cxrscreen.service.access import OPEN_TO_ALL
from cxrscreen.service.pages.routing import page, pages_router

router = pages_router()


@router.get("/sign-in", dependencies=[Depends(OPEN_TO_ALL)])
def sign_in(request: Request) -> HTMLResponse:
    """Show the form."""
    return sign_in_page(request, goes_to=request.query_params.get("next", ""))


def sign_in_page(request: Request, *, goes_to: str = "", name: str = "", refusal: str | None = None) -> HTMLResponse:
    """Render the form.

    Parameters
    ----------
    request
        What is answered.
    goes_to
        Where to go afterwards; anything but a path of this service becomes the worklist.
    name
        As it was typed before.
    refusal
        Why that did not work, one sentence.

    Returns
    -------
    fastapi.responses.HTMLResponse
        With status 401 where there is a refusal.
    """
    status = 200 if refusal is None else 401
    return page(request, "sign_in", status=status, goes_to=own_path(goes_to), name=name, refusal=refusal)


def own_path(path: str) -> str:
    """Return a path of this service, ``"/worklist"`` for anything that could lead elsewhere."""
    leads_elsewhere = not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isprintable()
    return "/worklist" if leads_elsewhere or path.startswith("/sign-") else path
