"""The policy's rules and the table of routes fit together."""
import pytest

from obsvc.api.access import policy
from obsvc.api.operations import Operation, Route
from obsvc.api.resources import stacks
from obsvc.api.routes import ROUTES


def test_every_rule_of_the_table_is_documented_with_its_operations():
    documented = {rule.name.removeprefix("obsvc:"): {(each["method"], each["path"]) for each in rule.operations}
                  for rule in policy.list_rules() if hasattr(rule, "operations")}
    for route in ROUTES:
        for operation in route.operations:
            if operation.rule is not None:
                assert operation.method in {method for method, _ in documented[operation.rule]}
    assert documented["resource:check"] == {("POST", "/v1/resources/{type}/{id}/check")}
    assert documented["observation:stop"] == {("DELETE", "/v1/observations/{id}"), ("POST", "/v1/observations/stop")}


def test_a_rule_that_nobody_has_written_is_refused(monkeypatch):
    monkeypatch.setattr(policy, "ROUTES", [*ROUTES, Route("/v1/x", stacks.Stacks, (Operation("GET", "", "x:read"),))])
    with pytest.raises(ValueError, match="x:read"):
        policy.list_rules()
