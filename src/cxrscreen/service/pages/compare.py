"""Two results side by side: two systems on one image, or an image and another one of the same person."""

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy.orm import Session

from cxrscreen.service.api.asking import AuditLog, Id, Viewer
from cxrscreen.service.context import Here
from cxrscreen.service.pages.answers import answer_of, differ, scales
from cxrscreen.service.pages.routing import page, pages_router
from cxrscreen.service.pages.study import study_of
from cxrscreen.service.problems import ConflictError, NotFoundError
from cxrscreen.service.store.models import Result, Study

router = pages_router()

ResultId = Annotated[str, Query(pattern="^[0-9a-f]{32}$")]


@router.get("/compare")
def compare(
    request: Request, here: Here, _asking: Viewer, log: AuditLog, left: ResultId, right: ResultId
) -> HTMLResponse:
    """Show two results whose views move together."""
    with here.database.reading() as session:
        results = [_result(session, left), _result(session, right)]
        studies = [result.image.study for result in results]
        if not of_one_person(*studies):
            raise ConflictError("The two images are not of the same person; choose both from one person's study.")
        sides = [answer_of(result) for result in results]
        same_image = results[0].image_id == results[1].image_id
        answer = page(
            request,
            "compare",
            sides=sides,
            studies=studies,
            same_image=same_image,
            differ=differ(sides),
            days=_days_between(*studies),
            scales=scales(),
        )
    for study_id in dict.fromkeys(study.id for study in studies):
        log("study.seen", "study", study_id)
    return answer


@router.get("/studies/{study_id}/beside/{other_id}")
def beside(study_id: Id, other_id: Id, here: Here, _asking: Viewer) -> RedirectResponse:
    """Lead to the comparison of another study (left if it is the earlier one) with this one, by one system."""
    with here.database.reading() as session:
        pair = sorted((study_of(session, study_id), study_of(session, other_id)), key=_when)
        wanted = here.settings.used_systems
        found = [_by_system(study) for study in pair]
        system = next((name for name in wanted if all(name in results for results in found)), None)
        if system is None:
            raise ConflictError("No system has screened both studies; ask for the missing screening on their pages.")
        left, right = (results[system].id for results in found)
    return RedirectResponse(f"/compare?left={left}&right={right}", 303)


def of_one_person(one: Study, other: Study) -> bool:
    """Tell whether two studies show the same person, as far as their senders said."""
    return one.id == other.id or (one.patient_id is not None and one.patient_id == other.patient_id)


def _result(session: Session, result_id: str) -> Result:
    found = session.get(Result, result_id)
    if found is None:
        raise NotFoundError("There is no such result; it may have been deleted.")
    return found


def _by_system(study: Study) -> dict[str, Result]:
    """The latest result of each system, that of the most urgent image."""
    found: dict[str, Result] = {}
    for image in study.images:
        for result in image.results:
            held = found.get(result.system)
            if held is None or held.image_id == image.id or (result.triage_score or 0) > (held.triage_score or 0):
                found[result.system] = result
    return found


def _when(study: Study) -> tuple[str, str]:
    day = study.taken_on or study.received_at.date()
    return day.isoformat(), study.received_at.isoformat()


def _days_between(left: Study, right: Study) -> int | None:
    if left.id == right.id or left.taken_on is None or right.taken_on is None:
        return None
    return (right.taken_on - left.taken_on).days
