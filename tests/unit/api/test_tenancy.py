"""The tenancy matrix over an API without a server; who is who as keystonemiddleware says it."""
from __future__ import annotations

import falcon.testing
import pytest

from obsvc.api.access import auth
from obsvc.engine import http
from obsvc.engine.service import EngineService
from tests.support.engine_store import new_store
from tests.support.in_memory_api import InMemoryApi
from tests.support.tenancy import CALLERS, MATRIX, OPERATIONS, Stage, secrets

#: What keystonemiddleware puts into the environment for each.
IDENTITIES = {
    "none": {"HTTP_X_IDENTITY_STATUS": "Invalid"},
    "other": {"HTTP_X_PROJECT_ID": "project-b", "HTTP_X_ROLES": "member,reader"},
    "reader": {"HTTP_X_PROJECT_ID": "project-a", "HTTP_X_ROLES": "reader"},
    "member": {"HTTP_X_PROJECT_ID": "project-a", "HTTP_X_ROLES": "member"},
    "manager": {"HTTP_X_PROJECT_ID": "project-a", "HTTP_X_ROLES": "manager"},
    "admin": {"HTTP_X_PROJECT_ID": "project-c", "HTTP_X_ROLES": "admin"},
    "service": {"HTTP_X_PROJECT_ID": "project-c", "HTTP_X_ROLES": "service"},
    "system": {"HTTP_X_ROLES": "reader", "HTTP_OPENSTACK_SYSTEM_SCOPE": "all"},
}


class Staged(InMemoryApi):
    """An API whose callers are told apart by the header ``X-Test-Caller``, and a stage of ``project-a``."""

    def __init__(self):
        super().__init__()
        self.stage = Stage(self.engine, "project-a", now=self.clock.time)

    def identify(self, environ):
        confirmed = {"HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_USER_ID": "u"}
        return auth.keystone(confirmed | IDENTITIES[environ["HTTP_X_TEST_CALLER"]])

    def ask(self, caller, method, path, body=None):
        return self.http.simulate_request(method, path, json=body, headers={"X-Test-Caller": caller})


@pytest.fixture(scope="module")
def staged():
    return Staged()


def test_the_matrix_has_every_operation_and_no_other():
    assert sorted(MATRIX) == sorted(OPERATIONS)
    assert all(len(row.statuses) == len(CALLERS) for row in MATRIX.values())


@pytest.mark.parametrize("operation", sorted(MATRIX), ids=" ".join)
def test_who_may(staged, operation):
    row = MATRIX[operation]
    found = {}
    for caller, status in zip(CALLERS, row.statuses, strict=True):
        body = row.body(staged.stage) if row.body else None
        answer = staged.ask(caller, operation[0], row.path(staged.stage), body)
        found[caller] = answer.status_code
        if caller in ("none", "other"):
            assert not [each for each in secrets(staged.stage) if each in answer.text], answer.text
        if answer.status_code >= 400:
            assert answer.json["error"]["code"], status
    assert found == dict(zip(CALLERS, row.statuses, strict=True))


def test_a_role_without_a_project_or_a_scope_does_nothing(staged, monkeypatch):
    for roles in ("reader", "member", "manager"):
        monkeypatch.setitem(IDENTITIES, "unscoped", {"HTTP_X_ROLES": roles})
        for method, path in (("GET", "/v1/observations"), ("GET", "/v1/members"), ("GET", "/v1/stacks")):
            assert staged.ask("unscoped", method, path).status_code == 403


def test_the_engine_takes_no_token():
    client = falcon.testing.TestClient(http.make_app(EngineService(new_store())))
    assert client.simulate_post("/v1/info", body=b"{}").status_code == 200
    for header in ("X-Auth-Token", "X-Service-Token"):
        answer = client.simulate_post("/v1/info", body=b"{}", headers={header: "gAAAAAB"})
        assert (answer.status_code, answer.json["error"]["code"]) == (403, "forbidden")
