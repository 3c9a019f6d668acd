"""Limits of a project and of all: what is beyond them is refused with when to come again, and counted no more."""
from __future__ import annotations

import resource

import falcon
import falcon.testing
import pytest

from obsvc.api.access.limits import Allowance, Limits
from obsvc.api.caller import OPERATOR, Caller
from obsvc.api.schemas.bodies import BODY_LIMIT
from obsvc.exceptions import ConfigError
from obsvc.process import file_limits
from obsvc.process.clock import ManualClock
from obsvc.web.errors import add_error_handlers
from obsvc.web.health import add_health_routes

ANN, BEN = Caller("ann", "a", ("member",)), Caller("ben", "b", ("member",))


class Waits:
    """Answers nothing; on the way it may do something else, while it is under way itself."""

    def __init__(self):
        self.inner = []

    def on_get(self, req, resp):
        if self.inner:
            self.inner.pop()()


class Door:
    def __init__(self, **limits):
        self.clock, self.caller, self.waits = ManualClock(), ANN, Waits()
        app = falcon.App(middleware=[self, Limits(clock=self.clock, **limits)])
        app.add_route("/v1/x", self.waits)
        app.add_route("/v1/x/wait", self.waits)
        add_health_routes(app, lambda: None)
        add_error_handlers(app)
        self.http = falcon.testing.TestClient(app)

    def process_request(self, req, resp):
        if req.path.startswith("/v1"):
            req.context.caller = self.caller

    def get(self, path="/v1/x?wait=5", caller=None):
        self.caller = caller or self.caller
        return self.http.simulate_get(path)

    def while_waiting(self, *requests, caller=ANN, path="/v1/x?wait=5"):
        """The answers to requests made while one waits."""
        found = []
        self.waits.inner = [lambda: found.extend(each() for each in requests)]
        assert self.get(path, caller).status_code == 200
        return found


def refused(answer, status):
    code = {429: "too_many_requests", 503: "unavailable"}[status]
    return (answer.status_code, answer.json["error"]["code"]) == (status, code) and answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", ["/v1/x?wait=5", "/v1/x/wait", "/v1/x/wait?timeout=5"])
def test_beyond_all_waiters_there_is_503_while_health_and_what_does_not_wait_are_answered(path):
    door = Door(max_waiters=1, waiters_per_project=1)
    wait, health, plain, brief = door.while_waiting(
        lambda: door.get(path, BEN), lambda: door.get("/healthz"), lambda: door.get("/v1/x"),
        lambda: door.get("/v1/x?wait=0"), path=path)
    assert refused(wait, 503)
    assert [health.status_code, plain.status_code, brief.status_code] == [200, 200, 200]
    assert door.get(path).status_code == 200, "who ended made room"


def test_a_project_has_its_own_limit_and_leaves_room_for_others():
    door = Door(max_waiters=2)
    own, other = door.while_waiting(lambda: door.get(caller=ANN), lambda: door.get(caller=BEN))
    assert refused(own, 429) and other.status_code == 200
    assert door.get(caller=ANN).status_code == 200


def test_admin_and_service_are_held_to_the_limit_of_all_only():
    door = Door(max_waiters=2, rate=1.0, burst=1)
    [second] = door.while_waiting(lambda: door.get(caller=OPERATOR), caller=OPERATOR)
    assert second.status_code == 200
    assert all(door.get("/v1/x", OPERATOR).status_code == 200 for _ in range(5))


def test_requests_a_second_by_project():
    door = Door(rate=2.0, burst=3)
    assert [door.get("/v1/x", ANN).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert refused(door.get("/v1/x", ANN), 429)
    assert door.get("/v1/x", BEN).status_code == 200, "another project's are its own"
    assert door.get("/healthz").status_code == 200
    door.clock.advance(0.5)
    assert [door.get("/v1/x", ANN).status_code for _ in range(2)] == [200, 429]
    door.clock.advance(100)
    assert [door.get("/v1/x", ANN).status_code for _ in range(4)] == [200, 200, 200, 429], "no more than burst is saved"


def test_an_allowance_says_when_there_is_more_and_forgets_who_is_gone():
    clock = ManualClock()
    allowance = Allowance(0.5, 1, clock=clock)
    assert allowance.take("a") == 0.0 and allowance.take("a") == pytest.approx(2.0)
    clock.advance(2.0)
    assert allowance.take("a") == 0.0


def test_a_body_that_is_too_large_is_refused(api):
    answer = api.http.simulate_post("/v1/observations", body=b" " * (BODY_LIMIT + 1))
    assert (answer.status_code, answer.json["error"]["code"]) == (413, "too_large")


def test_too_few_files_are_one_line_that_says_what_to_do(monkeypatch):
    limits = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (100, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limit: limits.append(limit))
    file_limits.raise_nofile_limit(50, what="x")
    file_limits.raise_nofile_limit(900, what="x")
    assert limits == [(900, 1000)]
    with pytest.raises(ConfigError, match="LimitNOFILE"):
        file_limits.raise_nofile_limit(1001, what="x")
