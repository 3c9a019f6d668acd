"""The OpenAPI documents are held against the code: every route and operation, every parameter, every type."""
from __future__ import annotations

import ast
import inspect
import textwrap

import falcon.testing
import msgspec
import pytest

from obsvc.api import routes
from obsvc.api.access.guard import Guard
from obsvc.api.operations import Operation, Route
from obsvc.api.resources import selectors
from obsvc.api.routes import ROUTES
from obsvc.api.schemas.bodies import SelectorBody
from obsvc.api.schemas.queries import PARAMETERS, SelectorsQuery
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
    assert paths == {(route.path, each.method) for route in ROUTES for each in route.operations}


def test_the_application_has_no_route_outside_the_table(api):
    found = set()
    pending = list(api.http.app._router._roots)
    while pending:
        node = pending.pop()
        pending.extend(node.children)
        if node.resource is not None:
            found.add(node.uri_template)
    assert found == {route.path for route in ROUTES} | {"/healthz", "/readyz", "/metrics"}


def test_the_engines_document_has_every_operation():
    document = falcon.testing.TestClient(http.make_app(EngineService(new_store()))).simulate_get("/v1/openapi.json")
    check(document.json)
    assert set(document.json["paths"]) == {f"/v1/{name}" for name in OPERATIONS}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_the_parameters_of_each_operation_are_those_that_its_responder_knows(route):
    for operation in route.operations:
        fields = set(operation.query.__struct_fields__) if operation.query is not None else set()
        assert fields <= set(PARAMETERS)
        if operation.rule is not None:
            read = parameters_read(getattr(route.resource, route.responder(operation.method)))
            assert fields - SAME_WHATEVER_IT_IS.get(route.path, set()) == read, f"{operation.method} {route.path}"


#: Parameters that are taken and make no difference.
SAME_WHATEVER_IT_IS = {"/v1/resources/{resource_type}/{resource_id}/owner": {"region"}}


def parameters_read(responder):
    """What a responder reads of its ``query``, by itself or in a function of its module that it hands it to."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(responder)))
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name) and node.value.id == "query"}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        if any(isinstance(argument, ast.Name) and argument.id == "query" for argument in call.args):
            read |= parameters_read(inspect.getmodule(responder).__dict__[call.func.id])
    return read


def test_each_parameter_reads_the_type_that_the_queries_say():
    texts = {"condition": "active", "until": "active", "differs": "true", "trail": "0", "label": "a=b"}
    kinds = {operation.query for route in ROUTES for operation in route.operations if operation.query is not None}
    assert len(kinds) > 10
    for kind in kinds:
        values = {name: PARAMETERS[name].parse(name, texts.get(name, "7")) for name in kind.__struct_fields__}
        read = kind(**values)
        assert msgspec.convert(msgspec.to_builtins(read), kind) == read, kind


def test_a_responder_that_does_not_take_what_the_table_says_is_refused():
    def responders(*operations):
        return [Route("/v1/selectors", selectors.Selectors, operations)]

    Guard(None, responders(Operation("GET", "", "selector:read", query=SelectorsQuery)))
    with pytest.raises(ValueError, match="query"):
        Guard(None, responders(Operation("GET", "", "selector:read")))
    with pytest.raises(ValueError, match="query"):
        Guard(None, responders(Operation("POST", "", "selector:start", query=SelectorsQuery, body=SelectorBody)))


def test_a_responder_that_the_table_does_not_name_is_refused(api, monkeypatch):
    monkeypatch.setattr(routes, "ROUTES", tuple(
        Route(route.path, route.resource, route.operations[:1], route.suffix) for route in ROUTES))
    with pytest.raises(ValueError, match="as in ROUTES"):
        routes.add_routes(falcon.App(), api.context)
