"""The guard in front of the responders: what is checked, and in which order."""
import falcon
import falcon.testing
import pytest

from obsvc.api.access.guard import Guard
from obsvc.api.caller import OPERATOR
from obsvc.api.operations import Operation, Route
from obsvc.api.schemas.bodies import SelectorBody, StackCancelBody
from obsvc.api.schemas.queries import SelectorsQuery
from obsvc.exceptions import Forbidden
from obsvc.web.errors import add_error_handlers


class Rules:
    """A policy that allows what is in ``allowed``."""

    def __init__(self, *allowed):
        self.allowed = set(allowed)

    def authorize(self, caller, rule, target=None):
        if rule not in self.allowed:
            raise Forbidden(f"policy {rule}")


class Things:
    given: dict

    def on_get(self, req, resp, caller, query):
        self.given = {"caller": caller, "query": query}

    def on_post(self, req, resp, body):
        self.given = {"body": body}

    def on_delete(self, req, resp):
        self.given = {}


class Open:
    def on_get(self, req, resp):
        resp.text = "open"


ROUTES = (
    Route("/things", Things, (
        Operation("GET", "", "things:read", query=SelectorsQuery),
        Operation("POST", "", "things:make", body=SelectorBody),
        Operation("DELETE", "", "things:delete"))),
    Route("/open", Open, (Operation("GET", "", None),)),
)


class Identified:
    def process_request(self, req, resp):
        req.context.caller = OPERATOR


class Door:
    def __init__(self, *allowed):
        app = falcon.App(middleware=[Identified(), Guard(Rules(*allowed), ROUTES)])
        add_error_handlers(app)
        self.things = Things()
        app.add_route("/things", self.things)
        app.add_route("/open", Open())
        self.http = falcon.testing.TestClient(app)


@pytest.fixture
def door():
    return Door("things:read", "things:make", "things:delete")


def test_a_responder_is_given_what_it_names(door):
    assert door.http.simulate_get("/things?region=Two&limit=7").status_code == 200
    assert door.things.given == {"caller": OPERATOR, "query": SelectorsQuery(region="Two", limit=7)}
    assert door.http.simulate_post("/things", json={"resource_type": "compute.server"}).status_code == 200
    assert door.things.given == {"body": SelectorBody("compute.server")}
    assert door.http.simulate_delete("/things").status_code == 200 and door.things.given == {}


def test_the_policy_comes_before_query_and_body():
    refused = Door()
    assert refused.http.simulate_get("/things?colour=red").status_code == 403
    assert refused.http.simulate_post("/things", body=b"{").status_code == 403
    assert not hasattr(refused.things, "given")


def test_the_query_comes_before_the_body(door):
    answer = door.http.simulate_post("/things?colour=red", body=b"{")
    assert answer.status_code == 400 and "colour" in answer.json["error"]["message"]
    assert door.http.simulate_post("/things", body=b"{").status_code == 400
    assert not hasattr(door.things, "given")


def test_what_takes_no_query_refuses_any(door):
    assert door.http.simulate_delete("/things?region=Two").status_code == 400


def test_a_missing_path_or_method_is_told_before_the_policy_is_asked():
    refused = Door()
    assert refused.http.simulate_get("/nothing").status_code == 404
    assert refused.http.simulate_put("/things").status_code == 405


def test_what_is_open_is_not_asked_anything():
    assert Door().http.simulate_get("/open?anything=goes").text == "open"


def test_of_several_kinds_of_bodies_the_responder_gets_the_json():
    class Many:
        def on_post(self, req, resp, body):
            resp.media = body

    app = falcon.App(middleware=[Identified(), Guard(Rules("x"), [
        Route("/many", Many, (Operation("POST", "", "x", body=(SelectorBody, StackCancelBody)),))])])
    app.add_route("/many", Many())
    assert falcon.testing.TestClient(app).simulate_post("/many", json=[1, {"a": 2}]).json == [1, {"a": 2}]
