"""What is on its way to other systems, for administrators: counts, what is stuck and why, and one more try."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from cxrscreen.service.api import PREFIX
from cxrscreen.service.api.asking import Admin, AuditLog, Id
from cxrscreen.service.context import Here
from cxrscreen.service.problems import ConflictError, NotFoundError
from cxrscreen.service.store.exchange import Delivery, DeliveryState, Export

router = APIRouter(prefix=f"{PREFIX}/deliveries", tags=["deliveries"])


class OnItsWay(BaseModel):
    """Something on its way."""

    id: str
    destination: str = Field(description="'peer:', 'webhook:' or 'fhir:' and its name in the settings.")
    key: str = Field(description="SOP instance UID of an object, idempotency key of an event.")
    study: str
    state: str = Field(
        description="'pending', 'awaiting' (storage commitment), 'sent', 'refused', or 'superseded' by something newer "
        "of the same study before it had arrived."
    )
    attempts: int = Field(description="Of events; of objects, how often the peer did not take them or keep them.")
    not_before: datetime
    reason: str | None
    created_at: datetime
    ended_at: datetime | None


class Deliveries(BaseModel):
    """Counts by destination and state, and the oldest of those asked for."""

    counts: dict[str, dict[str, int]]
    exports: dict[str, int] = Field(
        description="Results by what became of their DICOM objects: 'waiting', 'leased', 'done', or 'set_aside' after "
        "many tries; screening the image again tries once more."
    )
    deliveries: list[OnItsWay]


@router.get("")
def deliveries(
    here: Here,
    _asking: Admin,
    log: AuditLog,
    state: Annotated[tuple[DeliveryState, ...], Query()] = ("pending", "awaiting", "refused"),
    destination: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Deliveries:
    """Count deliveries, and list the oldest."""
    wanted = select(Delivery).where(Delivery.state.in_(state))
    if destination is not None:
        wanted = wanted.where(Delivery.destination == destination)
    counts: dict[str, dict[str, int]] = {}
    counted = select(Delivery.destination, Delivery.state, func.count()).group_by(Delivery.destination, Delivery.state)
    with here.database.reading() as session:
        for name, kind, count in session.execute(counted):
            counts.setdefault(name, {})[kind] = count
        made = session.execute(select(Export.state, func.count()).group_by(Export.state)).all()
        found = session.scalars(wanted.order_by(Delivery.created_at, Delivery.position).limit(limit)).all()
        listed = [_view(one) for one in found]
    log("delivery.listed", "service", None, sparsely=True)
    return Deliveries(counts=counts, exports={row[0]: row[1] for row in made}, deliveries=listed)


@router.post("/{delivery_id}/again")
def again(delivery_id: Id, here: Here, _asking: Admin, log: AuditLog) -> OnItsWay:
    """Try once more what was refused or waits for its turn."""
    now = here.now()
    with here.database.writing() as session:
        found = session.get(Delivery, delivery_id)
        if found is None:
            raise NotFoundError("There is no such delivery; see the list, or its study was deleted.")
        if found.state == "sent":
            raise ConflictError("It has been sent; nothing is sent twice.")
        if found.state == "superseded":
            raise ConflictError("Something newer was told of its study; the older would overwrite it.")
        found.state, found.not_before, found.ended_at, found.created_at = "pending", now, None, now
        found.transaction_uid = None
        view = _view(found)
    log("delivery.again", "study", view.study, destination=view.destination)
    return view


def _view(one: Delivery) -> OnItsWay:
    return OnItsWay(
        id=one.id,
        destination=one.destination,
        key=one.key,
        study=one.study_id,
        state=one.state,
        attempts=one.attempts,
        not_before=one.not_before,
        reason=one.reason,
        created_at=one.created_at,
        ended_at=one.ended_at,
    )
