"""Images come in: one, many or a zip in a request."""

from datetime import date
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData, UploadFile

from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import AuditLog, Id, Reader, Viewer
from cxrscreen.service.api.views import Submission, submission_view
from cxrscreen.service.context import Context, Here
from cxrscreen.service.intake import Receipt, Said, Sender, Upload, take_in
from cxrscreen.service.problems import NotFoundError, Problem, ServiceError, problem
from cxrscreen.service.store import models

router = APIRouter(prefix=f"{PREFIX}/submissions", tags=["submissions"])

_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "DICOM, PNG, JPEG, WebP or TIFF files, or zip archives of them.",
                        },
                        "patient": {
                            "type": "string",
                            "maxLength": 128,
                            "description": "The hospital's number of the person, for pictures; DICOM says it itself.",
                        },
                        "taken_on": {"type": "string", "format": "date", "description": "For pictures."},
                    },
                }
            }
        },
    }
}


class Refusal(Problem):
    """Why nothing of an upload was accepted."""

    submission: str
    reasons: list[str]


@router.post("", status_code=202, openapi_extra=_FORM, responses={422: {"model": Refusal}})
async def submit(request: Request, asking: Reader, here: Here, log: AuditLog) -> Submission:
    """Send images; what is accepted or a duplicate is durable when this answers, and is screened after.

    Sending the same content again gives the same image, so a request without an answer may be repeated. An answer of
    202 says that at least one file is here; the others have a reason.
    """
    settings = here.settings
    # Read here and not as an argument, so that nobody's bytes are taken before it is known who sends them.
    async with request.form(max_files=settings.max_files, max_fields=16) as form:
        uploads, said = _uploads(form), _said(form)
        receipt = await run_in_threadpool(take_in, here, uploads, Sender(asking.name, "api"), said)
    await run_in_threadpool(log, "submission.sent", "submission", receipt.submission_id, files=len(receipt.taken))
    if not receipt.accepted:
        raise NothingAcceptedError(receipt)
    return await run_in_threadpool(_submission, here, receipt.submission_id)


@router.get("/{submission_id}")
def submission(submission_id: Id, here: Here, _asking: Viewer, log: AuditLog) -> Submission:
    """Tell what became of an upload, and how far its images are."""
    log("submission.seen", "submission", submission_id, sparsely=True)
    return _submission(here, submission_id)


class NothingAcceptedError(ServiceError):
    """An upload of which every file was refused.

    Parameters
    ----------
    receipt
        With the reasons.
    """

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(f"None of the {len(receipt.taken)} files was accepted; see the reasons.")
        self.receipt = receipt


def answer_refusal(request: Request, error: Exception) -> JSONResponse:
    """Answer an upload of which nothing was accepted: with the one status of all reasons, or 422."""
    assert isinstance(error, NothingAcceptedError)
    problems = [item.problem for item in error.receipt.taken if item.problem is not None]
    statuses = {problem.status for problem in problems}
    detail = str(problems[0] if len(problems) == 1 else error)
    return problem(
        request,
        statuses.pop() if len(statuses) == 1 else 422,
        detail,
        submission=error.receipt.submission_id,
        reasons=[str(problem) for problem in problems],
    )


def _uploads(form: FormData) -> list[Upload]:
    files = [value for value in form.getlist("files") if isinstance(value, UploadFile)]
    if not files:
        raise ServiceError("No file was sent; send one or more in the field 'files' of a multipart form.")
    return [Upload(file.file, file.filename) for file in files]


def _said(form: FormData) -> Said:
    patient, taken_on = form.get("patient"), form.get("taken_on")
    try:
        when = date.fromisoformat(taken_on) if isinstance(taken_on, str) and taken_on else None
    except ValueError:
        raise ServiceError("The field 'taken_on' is no date; write it as 2020-03-31.") from None
    return Said(patient if isinstance(patient, str) else None, when)


def _submission(here: Context, submission_id: str) -> Submission:
    with here.database.reading() as session:
        found = session.get(models.Submission, submission_id)
        if found is None:
            raise NotFoundError("There is no such submission; check its identifier.")
        return submission_view(found)
