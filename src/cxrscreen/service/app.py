"""The web application; every route is registered here and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.service import pages
from cxrscreen.service.access import Access, Authenticator, Principal, Role, bearer_token
from cxrscreen.service.api import (
    accounts,
    audit_log,
    deliveries,
    dicomweb_retrieve,
    dicomweb_search,
    dicomweb_store,
    feedback,
    fhir,
    images,
    openapi,
    operations,
    results,
    sign_in,
    statistics,
    studies,
    submissions,
    systems,
    tokens,
)
from cxrscreen.service.context import Context, open_context
from cxrscreen.service.pictures import Gallery
from cxrscreen.service.problems import Problem, handle_problems
from cxrscreen.service.requests import RequestRecord, SizeLimit
from cxrscreen.service.security.first_admin import make_first_admin
from cxrscreen.service.security.headers import HeaderLimit, SecurityHeaders
from cxrscreen.service.security.identity_provider import provider_of
from cxrscreen.service.security.recognise import by_cookie, by_token
from cxrscreen.service.security.refusals import note_refusal
from cxrscreen.service.settings import Settings

ROUTERS: tuple[APIRouter, ...] = (
    operations.router,
    openapi.router,
    submissions.router,
    studies.router,
    images.router,
    results.router,
    feedback.router,
    statistics.router,
    systems.router,
    sign_in.router,
    accounts.router,
    tokens.router,
    audit_log.router,
    dicomweb_store.router,
    dicomweb_search.router,
    dicomweb_retrieve.router,
    fhir.router,
    deliveries.router,
    *pages.ROUTERS,
)
"""Every route of the service; each router holds its own prefix."""
IMAGES_AT = ("/api/v1/submissions", "/dicom-web/studies")
"""Where, and below which, bodies may be large."""


def create_app(settings: Settings, context: Context | None = None) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    settings
        Without a token, a first administrator or an identity provider in them, accounts are made on the console.
    context
        An open store; None: opened from the settings, and closed with the application.

    Returns
    -------
    fastapi.FastAPI
        With ``state.context``, ``state.access``, ``state.gallery`` and ``state.metrics``.

    Raises
    ------
    CxrscreenError
        If the store cannot be opened.
    """
    opened = open_context(settings) if context is None else context

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        if context is None:
            opened.close()

    app = FastAPI(
        title="cxrscreen",
        version=__version__,
        summary="Chest X-ray screening",
        description=RESEARCH_USE,
        # The description is a route of ours with a role; pages that load scripts from elsewhere are left out.
        openapi_url=None,
        lifespan=lifespan,
        responses={"4XX": {"model": Problem, "description": "Problem details (RFC 9457)."}},
    )
    app.state.context = opened
    make_first_admin(opened)
    app.state.access = Access(_authenticators(opened), note_refusal)
    app.state.provider = provider_of(settings)
    app.state.metrics = operations.Metrics(opened)
    app.state.gallery = Gallery(opened)
    handle_problems(app)
    app.add_exception_handler(submissions.NothingAcceptedError, submissions.answer_refusal)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(SizeLimit, largest=settings.max_request_bytes, images_at=IMAGES_AT)
    app.add_middleware(HeaderLimit)
    app.add_middleware(RequestRecord)
    app.add_middleware(SecurityHeaders, behind_tls=settings.behind_tls)
    return app


def _authenticators(context: Context) -> tuple[Authenticator, ...]:
    known = (by_token(context), by_cookie(context))
    token = context.settings.api_token
    if token is None:
        return known
    return (bearer_token(token.get_secret_value(), Principal("settings token", Role.ADMIN, "token")), *known)
