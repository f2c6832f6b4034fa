"""Requests that Schemathesis draws from the interface's own description, with real identifiers and with others.

Each operation has to do its work at least once, so that none is tried with unknown identifiers alone; no answer is a
5xx, and each is as the description says. A longer run, with other requests each time: ``make test-interface``.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import requests
import uvicorn
from argon2 import PasswordHasher
from fastapi import Response
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from sqlalchemy import select

from cxrscreen.service.access import Role
from cxrscreen.service.api import systems
from cxrscreen.service.app import create_app
from cxrscreen.service.context import Context
from cxrscreen.service.security import passwords
from cxrscreen.service.security.accounts import add_account
from cxrscreen.service.security.sessions import open_session, set_cookie
from cxrscreen.service.security.tokens import make_token
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.models import Image, Result, Submission
from cxrscreen.service.store.people import User

pytestmark = pytest.mark.services

TOKEN = "a token for tests only"
PASSWORD, NEXT_PASSWORD = "walrus bicycle tangerine", "lemon gravel submarine"
EXAMPLES = int(os.environ.get("CXRSCREEN_EXAMPLES", "0"))
"""Requests for each operation and each of the two modes; 0: few, and the same each time."""
FEW = 8

REFUSES = {
    "GET /sign-in/provider": "no identity provider is set up",
    "GET /sign-in/provider/back": "no identity provider is set up",
    "POST /dicom-web/studies": "no form of DICOM files comes whole out of Schemathesis; see test_dicomweb.py",
    "POST /dicom-web/studies/{study_uid}": "as above",
    "POST /api/v1/deliveries/{delivery_id}/again": "nothing goes to other systems here; see test_dicom_exchange.py",
    "GET /fhir/DiagnosticReport/{resource_id}": "resources are made for those who fetch them; see test_feed.py",
    "GET /fhir/Observation/{resource_id}": "as above",
}
"""Operations that cannot do their work here, and why."""
STORING = "POST /dicom-web/"
"""Operations that tell what became of each file in DICOM's own form, whatever the status."""
IN_A_SESSION = ("POST /api/v1/tokens", "DELETE /api/v1/sessions", "PUT /api/v1/session/password")
"""Operations for people in a browser; everything else is asked with a token."""


@dataclass
class Known:
    """What there is: values of path parameters by name, some of them only to be deleted."""

    lasting: dict[str, list[str]]
    passing: dict[str, list[str]]
    bodies: dict[str, list[Any]] = field(default_factory=dict)

    def parameters(self, operation: str, names: list[str]) -> list[dict[str, str]]:
        values = self.passing if operation.startswith("DELETE") else self.lasting
        missing = [name for name in names if name not in values]
        assert not missing, f"{operation}: say here which values of {missing[0]} there are"
        most = max(len(values[name]) for name in names)
        return [{name: values[name][n % len(values[name])] for name in names} for n in range(most)]


def test_every_operation_does_its_work_and_none_breaks(served: str, context: Context, known: Known) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    schema = schemathesis.openapi.from_url(f"{served}/api/v1/openapi.json", headers=_token())
    schemathesis.serializer("multipart/related")(_related)
    _teach(schema, known)
    answers: dict[str, Counter[int]] = {}
    wrong: list[str] = []
    with requests.Session() as client:
        for found in schema.get_all_operations():
            operation = found.ok()
            answers[operation.label] = Counter()
            for mode in schemathesis.GenerationMode:
                try:
                    _try(operation, mode, client, served, context, answers[operation.label])
                except (Exception, BaseExceptionGroup) as error:
                    wrong.append(f"{operation.label} ({mode.value}): {_sentences(error)}")
    assert not wrong, "\n\n".join(wrong)
    idle = {label for label, statuses in answers.items() if not any(200 <= status < 400 for status in statuses)}
    assert idle == set(REFUSES), {label: answers.get(label) for label in idle ^ set(REFUSES)}
    assert all(statuses != {404: statuses[404]} for label, statuses in answers.items() if label not in REFUSES)


def _try(
    operation: Any, mode: Any, client: requests.Session, address: str, context: Context, answers: Counter[int]
) -> None:
    from schemathesis import checks

    checks.load_all_checks()
    asked = [getattr(checks, name) for name in (_CHECKS[:1] if operation.label.startswith(STORING) else _CHECKS)]

    @settings(
        max_examples=EXAMPLES or FEW,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call(base_url=address, session=client, headers=_headers(operation.label, context), timeout=60)
        answers[answer.status_code] += 1
        case.validate_response(answer, checks=asked)

    # What takes nothing cannot be asked wrongly.
    with suppress(Unsatisfiable):
        ask()


def _sentences(error: BaseException) -> str:
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else [error]
    return "; ".join(str(part) for part in parts)


_CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


def _teach(schema: Any, known: Known) -> None:
    """Let Schemathesis draw values that there are, as well as its own."""

    @schema.hook("flatmap_path_parameters")
    def real_places(ctx: Any, drawn: dict[str, Any] | None) -> st.SearchStrategy[Any]:
        if not drawn:
            return st.just(drawn)
        return st.sampled_from([*known.parameters(ctx.operation.label, sorted(drawn)), drawn])

    @schema.hook("flatmap_body")
    def real_bodies(ctx: Any, drawn: Any) -> st.SearchStrategy[Any]:
        return st.sampled_from([drawn, *known.bodies.get(ctx.operation.label, [])])


def _related(_context: Any, value: Any) -> dict[str, Any]:
    """Put a DICOM file, or what was drawn in place of one, into the form that STOW-RS takes."""
    content = getattr(value, "data", value)
    file = content if isinstance(content, bytes) else str(content).encode()
    kind = b"Content-Type: application/dicom\r\n\r\n"
    return {"data": b"--part\r\n" + kind + file + b"\r\n--part--\r\n"}


def _token() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}


def _headers(operation: str, context: Context) -> dict[str, str]:
    if operation.startswith(STORING):
        return {**_token(), "Content-Type": 'multipart/related; type="application/dicom"; boundary=part'}
    if operation not in IN_A_SESSION:
        return _token()
    with context.database.writing() as session:
        user = session.scalars(select(User).where(User.name == "anna")).one()
        opened = open_session(session, user, context.now(), context.settings, instead_of=None)
    response = Response()
    set_cookie(response, context.settings, opened)
    (cookie,) = SimpleCookie(response.headers["set-cookie"]).values()
    return {"Cookie": f"{cookie.key}={cookie.value}", "X-CSRF-Token": opened.forgery_token}


@pytest.fixture
def known(context: Context, send: Callable[..., list[str]], work: Callable[[], int], png: Any, dicom: Any) -> Known:
    """A few phantom studies that were screened, accounts and tokens."""
    send(png(90), png(200), dicom())
    spare = send(*(png(120, seed=seed) for seed in range(1, 13)))
    work()
    with context.database.writing() as session:
        images = session.scalars(select(Image).where(Image.id.not_in(spare))).all()
        results = session.scalars(select(Result).where(Result.image_id.not_in(spare))).all()
        submissions = session.scalars(select(Submission.id)).all()
        spares = session.scalars(select(Image.study_id).where(Image.id.in_(spare))).all()
        people = [
            add_account(session, f"person{n}", Role.READER, context.now(), password=PASSWORD).id for n in range(3)
        ]
        add_account(session, "anna", Role.ADMIN, context.now(), password=PASSWORD)
        tokens = [make_token(session, "t", Role.VIEWER, context.now(), owner=None, days=1).token_id for _ in range(12)]
        lasting = {
            "submission_id": list(submissions),
            "study_id": [image.study_id for image in images],
            "image_id": [image.id for image in images],
            "result_id": [result.id for result in results],
            "name": ["lungs", "h2"],
            "file": ["original.png", "h2.png"],
            "account_id": people,
            "delivery_id": [new_id()],
            "resource_id": [str(uuid4())],
            "numbers": ["1"],
            "place": ["7FE00010"],
        }
        shown = next(image for image in images if image.format == "DICOM")
        lasting["study_uid"] = [str(shown.study.study_instance_uid)]
        lasting["series_uid"], lasting["instance_uid"] = [str(shown.series_instance_uid)], [str(shown.sop_instance_uid)]
    result = {"result": lasting["result_id"][0], "agrees": True}
    bodies: dict[str, list[Any]] = {
        "POST /api/v1/images/{image_id}/screenings": [{"system": "quick"}, {"system": "second"}],
        "POST /api/v1/studies/{study_id}/feedback": [{"comment": "Seen."}, {"symptom_onset": "2020-03-01"}, result],
        "POST /api/v1/session": [{"name": "person0", "password": PASSWORD}],
        "PUT /api/v1/session/password": [{"present": PASSWORD, "new": NEXT_PASSWORD}],
        "POST /api/v1/accounts": [{"name": f"new{n}", "role": "viewer", "password": PASSWORD} for n in range(5)],
        "PUT /api/v1/accounts/{account_id}/password": [{"password": NEXT_PASSWORD}],
        "POST /api/v1/submissions": [{"files": [png(60)]}],
    }
    return Known(lasting, {"study_id": list(spares), "token_id": tokens, "account_id": people}, bodies)


@pytest.fixture
def served(context: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The service behind a real socket; its address."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    card = SimpleNamespace(bundle_id="quick@1", stages={})
    monkeypatch.setattr(systems, "_card", lambda _bundle, _name: card)
    app = create_app(context.settings, context)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(30)
