"""One's own account: another password, tokens for one's programs, and the end of all sessions."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from cxrscreen.service.access import Role
from cxrscreen.service.api.asking import AuditLog, Viewer
from cxrscreen.service.context import Here
from cxrscreen.service.pages.routing import page, pages_router
from cxrscreen.service.problems import ConflictError
from cxrscreen.service.security import accounts
from cxrscreen.service.security.tokens import tokens

router = pages_router()


@router.get("/account")
def account(request: Request, here: Here, asking: Viewer, log: AuditLog) -> HTMLResponse:
    """Show who is signed in, and what they may change about it."""
    if asking.kind != "session" or asking.account_id is None:
        raise ConflictError("This page is about a person's account; sign in with a name and a password.")
    with here.database.reading() as session:
        user = accounts.account(session, asking.account_id)
        answer = page(
            request,
            "account",
            user=user,
            tokens=[token for token in tokens(session, user.id) if token.revoked_at is None],
            roles=[role.name.lower() for role in Role if role <= asking.role],
            now=here.now(),
        )
    log("token.listed", "account", asking.account_id)
    return answer
