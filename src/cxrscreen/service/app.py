"""The web application; every route is registered here and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.service.access import Access, Authenticator, Principal, Role, bearer_token
from cxrscreen.service.api import (
    feedback,
    images,
    openapi,
    operations,
    results,
    statistics,
    studies,
    submissions,
    systems,
)
from cxrscreen.service.context import Context, open_context
from cxrscreen.service.pictures import Gallery
from cxrscreen.service.problems import Problem, handle_problems
from cxrscreen.service.requests import RequestRecord, SizeLimit
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
)
"""Every route of the service; each router holds its own prefix."""


def create_app(settings: Settings, context: Context | None = None) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    settings
        Without a token in them nobody can sign in.
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
    app.state.access = Access(_authenticators(settings))
    app.state.metrics = operations.Metrics(opened)
    app.state.gallery = Gallery(opened)
    handle_problems(app)
    app.add_exception_handler(submissions.NothingAcceptedError, submissions.answer_refusal)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(SizeLimit, largest=settings.max_request_bytes)
    app.add_middleware(RequestRecord)
    return app


def _authenticators(settings: Settings) -> tuple[Authenticator, ...]:
    if settings.api_token is None:
        return ()
    return (bearer_token(settings.api_token.get_secret_value(), Principal("settings token", Role.ADMIN, "token")),)
