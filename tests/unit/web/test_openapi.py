"""The OpenAPI documents are held against the code: every route and operation, every parameter, every type."""
from __future__ import annotations

import ast
import inspect
import textwrap

import falcon.testing
import pytest

from obsvc.api import openapi as public
from obsvc.api import routes
from obsvc.engine import http
from obsvc.engine.service import EngineService
from obsvc.engine_client.contract import OPERATIONS
from tests.support.engine_store import new_store


def references(node):
    """Every ``$ref`` within."""
    if isinstance(node, dict):
        yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def check(document):
    assert document["openapi"] == "3.1.0"
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= named


def test_the_public_document_has_every_route(api):
    api.caller = None
    document = api.get("/v1/openapi.json").json
    check(document)
    paths = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    assert paths == {(route.path, each.method) for route in routes.ROUTES for each in route.operations}


def test_the_application_has_no_route_outside_the_table(api):
    found = set()
    pending = list(api.http.app._router._roots)
    while pending:
        node = pending.pop()
        pending.extend(node.children)
        if node.resource is not None:
            found.add(node.uri_template)
    assert found == {route.path for route in routes.ROUTES} | {"/healthz", "/readyz", "/metrics"}


def test_the_engines_document_has_every_operation():
    document = falcon.testing.TestClient(http.make_app(EngineService(new_store()))).simulate_get("/v1/openapi.json")
    check(document.json)
    assert set(document.json["paths"]) == {f"/v1/{name}" for name in OPERATIONS}


@pytest.mark.parametrize("route", routes.ROUTES, ids=lambda route: route.path)
def test_the_parameters_of_each_operation_are_those_that_its_responder_knows(route):
    for operation in route.operations:
        assert set(operation.query) <= set(public.PARAMETERS)
        if operation.rule is not None:
            name = f"on_{operation.method.lower()}" + (f"_{route.suffix}" if route.suffix else "")
            assert known(route.resource, name) == set(operation.query), f"{operation.method} {route.path}"


def known(resource, name):
    """The parameters that the ``Query`` of a responder names; of what it calls of its class where it makes none."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(resource, name))))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id == "Query":
            return {argument.value for argument in call.args[1:]}
    for call in calls:
        helper = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if helper.startswith("_") and hasattr(resource, helper) and (found := known(resource, helper)) is not None:
            return found
    return None


def test_a_responder_that_the_table_does_not_name_is_refused(api, monkeypatch):
    monkeypatch.setattr(routes, "ROUTES", tuple(
        routes.Route(route.path, route.resource, route.operations[:1], route.suffix) for route in routes.ROUTES))
    with pytest.raises(ValueError, match="as in ROUTES"):
        routes.add_routes(falcon.App(), None)
