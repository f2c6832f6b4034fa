"""The audit log: who saw or did what, when. Rows are only ever added."""

from typing import Any, Literal

from cxrscreen.service.access import Principal
from cxrscreen.service.context import Context
from cxrscreen.service.store.people import AuditEvent

Target = Literal["submission", "study", "image", "result", "service", "account", "token", "audit_log"]


def record(
    context: Context,
    principal: Principal,
    action: str,
    target_kind: Target,
    target_id: str | None,
    *,
    request: str | None = None,
    outcome: Literal["done", "refused"] = "done",
    **details: Any,
) -> None:
    """Add an event, in a transaction of its own.

    Parameters
    ----------
    context
        The store.
    principal
        Who.
    action
        What, for example ``"study.seen"``.
    target_kind, target_id
        Of what; the identifier is the service's own.
    request
        The request's number.
    outcome
        Whether it was done.
    details
        Further facts; no patient data.
    """
    with context.database.writing() as session:
        session.add(
            AuditEvent(
                at=context.now(),
                actor=principal.name[:128],
                actor_kind=principal.kind,
                action=action,
                target_kind=target_kind,
                target_id=target_id,
                outcome=outcome,
                request=request,
                details={"role": principal.role.name.lower(), **details},
            )
        )
