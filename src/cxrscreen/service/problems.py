"""What can go wrong for a client, told as problem details (RFC 9457): a status, a title and one clear sentence."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from starlette.exceptions import HTTPException

from cxrscreen.errors import CxrscreenError
from cxrscreen.service.logs import places_of
from cxrscreen.service.store.database import DatabaseError
from cxrscreen.service.store.files import FilesError

_LOG = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"


class ServiceError(CxrscreenError):
    """A request that cannot be met; its text is one sentence without patient data."""

    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers of the answer."""
        return {}


class NotSignedInError(ServiceError):
    """A request without valid credentials."""

    status = HTTPStatus.UNAUTHORIZED

    @property
    def headers(self) -> Mapping[str, str]:
        """By which way programs sign in (RFC 9110, section 11.6.1)."""
        return {"WWW-Authenticate": "Bearer"}


class ForbiddenError(ServiceError):
    """A request that the role of who asks does not allow."""

    status = HTTPStatus.FORBIDDEN


class NotFoundError(ServiceError):
    """Something that does not exist, or no longer."""

    status = HTTPStatus.NOT_FOUND


class ConflictError(ServiceError):
    """Something that cannot be done in the present state of what it is asked of."""

    status = HTTPStatus.CONFLICT


class TooLargeError(ServiceError):
    """An upload with more bytes, pixels, frames or files than the settings allow."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedContentError(ServiceError):
    """An upload whose content is of no kind that is read."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class UnreadableUploadError(ServiceError):
    """An upload of a known kind that is damaged, or no single radiograph."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class Problem(BaseModel):
    """The body of every answer with an error status (RFC 9457, section 3).

    ``type`` is left out, which stands for ``about:blank``: the status says it all.
    """

    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong and what to do, in one sentence.")
    request: str = Field(description="The number under which the service's log speaks of this request.")


def handle_problems(app: FastAPI) -> None:
    """Make the application answer every expected error with problem details."""
    app.add_exception_handler(CxrscreenError, _expected)
    app.add_exception_handler(DataError, _not_to_be_kept)
    app.add_exception_handler(IntegrityError, _crossed)
    # Of the operating system's errors the full disk is the likely one: an upload waits there until it is whole.
    for kind in (OperationalError, NoConnectionError, DatabaseError, FilesError, OSError):
        app.add_exception_handler(kind, _away)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _refused)


def problem(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Build an answer with problem details.

    Parameters
    ----------
    request
        What is answered.
    status
        HTTP status.
    detail
        One sentence.
    headers
        Further headers.
    more
        Further members of the body.
    """
    body = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, request=getattr(request.state, "number", "")
    )
    return JSONResponse({**body.model_dump(), **more}, status, dict(headers or {}), MEDIA_TYPE)


def unforeseen(request: Request, error: Exception) -> JSONResponse:
    """Log an error that nobody foresaw and build the answer, which does not repeat it."""
    # The text of the error may hold what was sent; its kind and place do not.
    _LOG.error("request failed", error=type(error).__name__, places=places_of(error))
    detail = "The service met an unexpected fault; try again, and give its log the number of this request."
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _expected(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ServiceError):
        return problem(request, error.status, str(error), error.headers)
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


def _away(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("store failed", error=type(error).__name__, places=places_of(error))
    detail = "The service cannot reach its database or disk at the moment; try again in a minute."
    return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "60"})


def _not_to_be_kept(request: Request, error: Exception) -> JSONResponse:
    # PostgreSQL takes no zero character, nor a text or number that is longer than its column.
    _LOG.info("not to be kept", error=type(error).__name__, places=places_of(error))
    detail = "The request holds characters or numbers that the database cannot keep; leave them out."
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def _crossed(request: Request, error: Exception) -> JSONResponse:
    # Two did at one moment what only one can do, such as making an account of one name; the database let one through.
    _LOG.warning("crossed", error=type(error).__name__, places=places_of(error))
    return problem(request, HTTPStatus.CONFLICT, "Somebody changed it at the same moment; load it again.")


def _malformed(request: Request, error: Exception) -> JSONResponse:
    # What was sent is not repeated, for it may be about a patient.
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    detail = f"The request is not as the interface describes it; correct {faults[0].split(':')[0]}."
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail, faults=faults)


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(request, error.status_code, f"{error.detail}.".replace("..", "."), error.headers)
