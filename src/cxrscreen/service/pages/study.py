"""The page of one study: the radiograph, what the systems said, the person's earlier images, the readers' answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from sqlalchemy.orm import Session

from cxrscreen.service.api.asking import AuditLog, Id, Viewer
from cxrscreen.service.context import Context, Here
from cxrscreen.service.pages.answers import (
    Answer,
    answers_of,
    differ,
    measurements,
    open_work,
    scales,
    title_of,
    unasked,
)
from cxrscreen.service.pages.measured import point_words
from cxrscreen.service.pages.routing import page, pages_router
from cxrscreen.service.pages.timeline import events_of, timeline
from cxrscreen.service.problems import NotFoundError
from cxrscreen.service.store.models import Image, Study
from cxrscreen.service.store.results import record_of
from cxrscreen.service.store.studies import Search, doubtful_studies, earlier_studies, find_studies, is_lateral

router = pages_router()

_DOUBTFUL_FEW: Final = 5
"""A placeholder for a number can have any number of studies."""

ImageId = Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")]


@dataclass(frozen=True)
class Missed:
    """An image that a system gave no answer on.

    Parameters
    ----------
    number
        Its place among the study's images, from 1.
    image
        The image.
    title
        Of the system.
    refused
        Whether the gate refused it; otherwise it was set aside.
    reason
        In sentences, empty where none is known.
    """

    number: int
    image: Image
    title: str
    refused: bool
    reason: str


class State(BaseModel):
    """How far a study is, for a page that waits."""

    state: Literal["waiting", "screened", "refused", "failed"]
    finding: str | None
    urgency: float | None


@router.get("/studies/{study_id}")
def study(
    study_id: Id, request: Request, here: Here, _asking: Viewer, log: AuditLog, image: ImageId = None
) -> HTMLResponse:
    """Show a study; with several images, one of them."""
    with here.database.reading() as session:
        found = study_of(session, study_id)
        shown = _chosen(found.images, image)
        answers = [] if shown is None else answers_of(shown, here.settings.used_systems[0])
        others = earlier_studies(session, found)
        doubtful = doubtful_studies(session, found, limit=_DOUBTFUL_FEW + 1)
        answer = page(
            request,
            "study",
            study=found,
            image=shown,
            answers=answers,
            differ=differ(answers),
            work=[] if shown is None else open_work(shown),
            unasked=[] if shown is None else unasked(shown, here.settings.systems),
            missed=[] if shown is None else missed(found.images, shown),
            measured=measurements(here.files, answers[0]) if answers else [],
            others=others,
            doubtful=doubtful[:_DOUBTFUL_FEW],
            more_doubtful=len(doubtful) > _DOUBTFUL_FEW,
            line=timeline(events_of([found, *others], found.id)),
            next_study=_next(session, found),
            points={answer.title: _points(here, answer) for answer in answers},
            scales=scales(),
        )
    log("study.seen", "study", study_id)
    return answer


@router.get("/studies/{study_id}/state")
def state(study_id: Id, here: Here, _asking: Viewer, log: AuditLog) -> State:
    """Tell how far a study is; a page that waits asks again and again."""
    with here.database.reading() as session:
        found = State.model_validate(study_of(session, study_id), from_attributes=True)
    log("study.state_seen", "study", study_id, sparsely=True)
    return found


def missed(images: Sequence[Image], shown: Image) -> list[Missed]:
    """List the images that a system refused or set aside, other than the one shown, which tells that of itself.

    A lateral view beside the frontal one is none: most studies have it, and no system here is made for it.
    """
    found = []
    for number, image in enumerate(images, 1):
        if image is shown:
            continue
        latest = {result.system: result for result in image.results}
        for result in latest.values():
            if result.status == "refused" and not is_lateral(result):
                verdict = record_of(result).verdict
                reason = "" if verdict is None else " ".join(concern.sentence for concern in verdict.concerns)
                found.append(Missed(number, image, title_of(result.system), refused=True, reason=reason))
        for work in open_work(image):
            if work.state == "set_aside":
                found.append(Missed(number, image, work.title, refused=False, reason=work.reason or ""))
    return found


def study_of(session: Session, study_id: str) -> Study:
    """Give a study.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    found = session.get(Study, study_id)
    if found is None:
        raise NotFoundError("There is no such study; it may have been deleted. Open it from the worklist.")
    return found


def _points(here: Context, answer: Answer) -> Mapping[str, str]:
    return point_words(here.settings, answer.result.system, answer.result.bundle)


def _chosen(images: Sequence[Image], image_id: str | None) -> Image | None:
    if image_id is not None:
        wanted = next((image for image in images if image.id == image_id), None)
        if wanted is None:
            raise NotFoundError("The study has no such image; open it from the worklist.")
        return wanted
    # The one that makes the study urgent is what the reader came for.
    return max(images, key=_urgency, default=None)


def _urgency(image: Image) -> float:
    return max((result.triage_score or 0.0 for result in image.results), default=-1.0)


_NEXT_FEW: Final = 2


def _next(session: Session, current: Study) -> str | None:
    """Return the most urgent study that nobody has read, other than this one."""
    search = Search(reviewed=False, states=("screened", "refused", "failed"))
    found, _ = find_studies(session, search, limit=_NEXT_FEW)
    return next((study.id for study in found if study.id != current.id), None)
