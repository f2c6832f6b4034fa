"""Every route and every role: a route without a row here fails, and so does a row without a route."""

import re

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import select

from cxrscreen.service.access import Role, requirements_of
from cxrscreen.service.api.asking import _log
from cxrscreen.service.dicom_objects import export_once
from cxrscreen.service.pages.static_files import STATIC
from cxrscreen.service.store.exchange import FhirResource, Instance
from cxrscreen.service.store.models import Image, Result

OPEN, VIEWER, READER, ADMIN = None, Role.VIEWER, Role.READER, Role.ADMIN
A, W = "/api/v1", "/dicom-web"
STUDY = f"{W}/studies/{{study_uid}}"
SERIES = f"{STUDY}/series/{{series_uid}}"
INSTANCE = f"{SERIES}/instances/{{instance_uid}}"

WHO_MAY = {
    ("GET", "/health"): OPEN,
    ("GET", "/ready"): OPEN,
    ("GET", "/metrics"): VIEWER,
    ("GET", f"{A}/openapi.json"): VIEWER,
    ("POST", f"{A}/submissions"): READER,
    ("GET", f"{A}/submissions/{{submission_id}}"): VIEWER,
    ("GET", f"{A}/studies"): VIEWER,
    ("POST", f"{A}/studies/search"): VIEWER,
    ("GET", f"{A}/studies/{{study_id}}"): VIEWER,
    ("GET", f"{A}/studies/{{study_id}}/earlier"): VIEWER,
    ("DELETE", f"{A}/studies/{{study_id}}"): ADMIN,
    ("POST", f"{A}/studies/{{study_id}}/feedback"): READER,
    ("GET", f"{A}/studies/{{study_id}}/feedback"): VIEWER,
    ("GET", f"{A}/images/{{image_id}}"): VIEWER,
    ("GET", f"{A}/images/{{image_id}}/picture.png"): VIEWER,
    ("GET", f"{A}/images/{{image_id}}/file"): READER,
    ("POST", f"{A}/images/{{image_id}}/screenings"): READER,
    ("GET", f"{A}/results/{{result_id}}"): VIEWER,
    ("GET", f"{A}/results/{{result_id}}/maps/{{name}}.png"): VIEWER,
    ("GET", f"{A}/results/{{result_id}}/pictures/{{file}}"): VIEWER,
    ("GET", f"{A}/results/{{result_id}}/report.html"): VIEWER,
    ("GET", f"{A}/results/{{result_id}}/report.pdf"): VIEWER,
    ("GET", f"{A}/statistics"): VIEWER,
    ("GET", f"{A}/systems"): VIEWER,
    ("POST", f"{A}/session"): OPEN,
    ("GET", f"{A}/session"): VIEWER,
    ("DELETE", f"{A}/session"): VIEWER,
    ("DELETE", f"{A}/sessions"): VIEWER,
    ("PUT", f"{A}/session/password"): VIEWER,
    ("GET", "/sign-in/provider"): OPEN,
    ("GET", "/sign-in/provider/back"): OPEN,
    ("GET", f"{A}/accounts"): ADMIN,
    ("POST", f"{A}/accounts"): ADMIN,
    ("PATCH", f"{A}/accounts/{{account_id}}"): ADMIN,
    ("PUT", f"{A}/accounts/{{account_id}}/password"): ADMIN,
    ("DELETE", f"{A}/accounts/{{account_id}}/sessions"): ADMIN,
    ("GET", f"{A}/tokens"): VIEWER,
    ("POST", f"{A}/tokens"): VIEWER,
    ("DELETE", f"{A}/tokens/{{token_id}}"): VIEWER,
    ("GET", f"{A}/audit-log"): ADMIN,
    ("GET", f"{A}/audit-log/export"): ADMIN,
    ("GET", f"{A}/audit-log/check"): ADMIN,
    ("POST", f"{W}/studies"): READER,
    ("POST", f"{W}/studies/{{study_uid}}"): READER,
    ("GET", f"{W}/studies"): VIEWER,
    ("GET", f"{W}/series"): VIEWER,
    ("GET", f"{W}/instances"): VIEWER,
    ("GET", f"{STUDY}/series"): VIEWER,
    ("GET", f"{STUDY}/instances"): VIEWER,
    ("GET", f"{SERIES}/instances"): VIEWER,
    ("GET", STUDY): READER,
    ("GET", SERIES): READER,
    ("GET", INSTANCE): READER,
    ("GET", f"{STUDY}/metadata"): READER,
    ("GET", f"{SERIES}/metadata"): READER,
    ("GET", f"{INSTANCE}/metadata"): READER,
    ("GET", f"{INSTANCE}/frames/{{numbers}}"): READER,
    ("GET", f"{INSTANCE}/bulkdata/{{place}}"): READER,
    ("GET", f"{INSTANCE}/rendered"): VIEWER,
    ("GET", "/fhir/metadata"): VIEWER,
    ("GET", "/fhir/DiagnosticReport"): VIEWER,
    ("GET", "/fhir/Observation"): VIEWER,
    ("GET", "/fhir/DiagnosticReport/{resource_id}"): VIEWER,
    ("GET", "/fhir/Observation/{resource_id}"): VIEWER,
    ("GET", f"{A}/deliveries"): ADMIN,
    ("POST", f"{A}/deliveries/{{delivery_id}}/again"): ADMIN,
    ("GET", "/"): VIEWER,
    ("GET", "/sign-in"): OPEN,
    ("GET", "/static/{digest}/{name}"): OPEN,
    ("GET", "/account"): VIEWER,
    ("GET", "/worklist"): VIEWER,
    ("GET", "/worklist/rows"): VIEWER,
    ("POST", "/worklist/found"): VIEWER,
    ("GET", "/studies/{study_id}"): VIEWER,
    ("GET", "/studies/{study_id}/state"): VIEWER,
    ("GET", "/studies/{study_id}/beside/{other_id}"): VIEWER,
    ("GET", "/compare"): VIEWER,
    ("GET", "/upload"): READER,
    ("GET", "/figures"): VIEWER,
    ("GET", "/figures/part"): VIEWER,
    ("GET", "/view/images/{image_id}/grey"): VIEWER,
    ("GET", "/view/results/{result_id}/maps/{name}"): VIEWER,
}
"""The lowest role that may use each route; None: everybody, without signing in."""

UNWRITTEN = {
    ("GET", "/metrics"): "counts, of nobody",
    ("GET", f"{A}/openapi.json"): "the interface's description",
    ("GET", f"{A}/statistics"): "counts, of nobody",
    ("GET", f"{A}/systems"): "which systems there are",
    ("GET", f"{A}/session"): "who is asking",
    ("GET", "/fhir/metadata"): "what can be asked",
    ("GET", "/"): "leads to the worklist",
    ("GET", "/studies/{study_id}/beside/{other_id}"): "leads to the comparison",
    ("GET", "/upload"): "an empty form",
    ("GET", "/figures"): "counts, of nobody",
    ("GET", "/figures/part"): "counts, of nobody",
}
"""What needs a role and leaves no trace in the audit log, and why it need not."""


def routes(app):
    return {
        (method, route.path): route
        for route in iter_route_contexts(app.routes)
        for method in sorted(route.methods - {"HEAD"})
    }


def address(path):
    path = re.sub(r"{(\w+_id|digest)}", "0" * 32, path)
    path = re.sub(r"{\w+_uid}", "1.2", path)
    path = path.replace("{numbers}", "1").replace("{place}", "7FE00010")
    return path.replace("{name}", "h2").replace("{file}", "h2.png")


def depends_on(dependant, call):
    return dependant.call is call or any(depends_on(inner, call) for inner in dependant.dependencies)


def test_every_route_has_a_row_and_declares_what_it_says(people):
    there = routes(people.app)
    assert set(there) - set(WHO_MAY) == set(), "say in WHO_MAY who may use this route"
    assert set(WHO_MAY) - set(there) == set(), "this route is gone"
    declared = {key: [found.role for found in requirements_of(route.dependant)] for key, route in there.items()}
    assert declared == {key: [role] for key, role in WHO_MAY.items()}


def test_whatever_somebody_known_sees_or_does_is_written_down(people):
    silent = {
        key
        for key, route in routes(people.app).items()
        if WHO_MAY[key] is not None and not depends_on(route.dependant, _log)
    }
    assert silent == set(UNWRITTEN)


def test_there_is_nothing_but_routes(people):
    """No mounted application and no plain route, which would answer without a requirement."""
    walked = {route.path for route in iter_route_contexts(people.app.routes)}
    assert all(type(route).__name__ in ("_IncludedRouter", "APIRoute") for route in people.app.routes)
    assert not any(path.startswith(("/docs", "/redoc")) for path in walked)


NOT_GIVEN = {
    "/",
    "/sign-in/provider",
    "/sign-in/provider/back",
    "/studies/{study_id}/beside/{other_id}",
    "/compare",
    f"{A}/systems",
}
"""Routes that lead to another one, or need what is not there: a provider, two images' names, a bundle."""


def test_no_browser_keeps_what_a_patient_is_in(people, context, dicom, worker):
    """What a browser keeps, the next one to sit there sees, without a request and without an event."""
    client = people.signed_in(Role.ADMIN)
    sent = client.post("/api/v1/submissions", files=[("files", ("a.dcm", dicom()))]).json()
    assert worker.work_once()
    assert export_once(context)
    with context.database.reading() as session:
        image, result = session.scalars(select(Image)).one(), session.scalars(select(Result)).one()
        instance = session.scalars(select(Instance).where(Instance.result_id.is_(None))).one()
        resources = {row.kind: row.id for row in session.scalars(select(FhirResource))}
    there = {
        "submission_id": sent["id"],
        "study_id": image.study_id,
        "other_id": image.study_id,
        "image_id": image.id,
        "result_id": result.id,
        "study_uid": instance.study_instance_uid,
        "series_uid": instance.series_instance_uid,
        "instance_uid": instance.sop_instance_uid,
        "digest": STATIC.rpartition("/")[2],
        "file": "original.png",
        "numbers": "1",
        "place": "7FE00010",
    }
    given = set()
    gets = sorted(path for method, path in WHO_MAY if method == "GET")
    for path in gets:
        kind = next((kind for kind in resources if kind in path), None)
        named = "study.css" if path.startswith("/static/") else "h2"
        filled = path.format(**there, name=named, resource_id=resources.get(kind or "", ""))
        answer = client.get(filled, follow_redirects=False)
        if answer.status_code == 200:
            given.add(path)
        if not path.startswith("/static/"):
            assert answer.headers["cache-control"] in ("no-store", "no-cache"), path
    assert set(gets) - given == NOT_GIVEN


ENDS = {("DELETE", f"{A}/session"), ("DELETE", f"{A}/sessions")}
"""Routes that end the session which asks."""


@pytest.mark.parametrize(
    ("role", "way"), [(None, "nothing"), *((role, way) for role in Role for way in ("token", "session"))], ids=str
)
def test_a_role_reaches_its_routes_and_no_others(people, role, way):
    enter = {"nothing": lambda _role: people.stranger(), "token": people.with_token, "session": people.signed_in}[way]
    client = enter(role)
    client.follow_redirects = False
    with client:
        for (method, path), needed in WHO_MAY.items():
            if way == "session" and (method, path) in ENDS:
                continue
            answer = client.request(method, address(path))
            refused = answer.status_code in (401, 403) or answer.headers.get("location", "").startswith("/sign-in?")
            may = needed is None or (role is not None and role >= needed)
            assert refused == (not may), f"{method} {path}: {answer.status_code}"
            assert answer.status_code < 500, f"{method} {path}: {answer.status_code}"
