"""Request ids: taken, made, given back, and carried on; the one error shape."""
from __future__ import annotations

import falcon.testing
import pytest

from obsvc.engine import http
from obsvc.engine.service import EngineService
from obsvc.exceptions import (
    Conflict,
    FeedTruncated,
    Forbidden,
    InvalidInput,
    NotFound,
    ObsvcError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from obsvc.web import request_ids
from obsvc.web.errors import error_body
from tests.support.engine_store import new_store
from tests.support.in_memory_api import REQUEST


def test_an_id_is_taken_given_back_and_gone_with_the_request(api):
    for path in ("/", "/v1/stacks", "/v1/stacks/none", "/v1/nothing"):
        answer = api.get(path)
        assert answer.headers["x-openstack-request-id"] == REQUEST
        if answer.status_code >= 400:
            assert answer.json["error"]["request_id"] == REQUEST
    assert request_ids.current() is None


@pytest.mark.parametrize("given", ["", "req-1", "x" * 40, REQUEST + "x", "req-" + "g" * 36, REQUEST + "\tforged"])
def test_what_is_no_id_is_replaced(api, given):
    found = api.http.simulate_get("/v1/stacks", headers={"X-Openstack-Request-Id": given})
    own = found.headers["x-openstack-request-id"]
    assert own.startswith("req-") and len(own) == 40 and own != given


def test_what_the_api_asks_of_others_is_for_the_same_request(api, monkeypatch):
    carried = []
    monkeypatch.setattr(api.service, "list_stacks", lambda request, real=api.service.list_stacks: (
        carried.append(request_ids.carried()), real(request))[1])
    api.get("/v1/stacks")
    assert carried == [{"X-Openstack-Request-Id": REQUEST}]


def test_the_engine_takes_it_too():
    client = falcon.testing.TestClient(http.make_app(EngineService(new_store())))
    answer = client.simulate_post("/v1/nothing", headers={"X-Openstack-Request-Id": REQUEST})
    assert answer.headers["x-openstack-request-id"] == REQUEST == answer.json["error"]["request_id"]


def test_within_a_request_another_can_be_bound():
    with request_ids.bound("req-a"):
        with request_ids.bound("req-b"):
            assert request_ids.current() == "req-b"
        assert request_ids.current() == "req-a"
    assert request_ids.current() is None


@pytest.mark.parametrize("kind", [
    ObsvcError, InvalidInput, Unauthorized, Forbidden, NotFound, Conflict, FeedTruncated, TooManyRequests, Unavailable])
def test_every_error_says_what_was_expected_and_what_to_do(kind):
    body = error_body(kind("this"))["error"]
    assert body["message"] == "this" and body["code"] == kind.code and body["expected"] and body["remedy"]


def test_the_version_document_is_at_the_root_and_at_the_version(api):
    api.caller = None
    for path in ("/", "/v1", "/v1/"):
        [version] = api.get(path).json["versions"]
        assert version["id"] == "v1" and version["status"] == "CURRENT"
        assert {link["rel"] for link in version["links"]} == {"self", "describedby"}
