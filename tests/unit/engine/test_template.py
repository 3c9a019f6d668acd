"""Templates: what is taken, and how what is not taken is refused: each with its place and a remedy."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.engine.template import Facts, bind_parameters, known_types, parse, resolve
from obsvc.exceptions import InvalidInput

TYPES = frozenset({"Sim::Resource"})
HEAD = "heat_template_version: 2018-08-31\n"


def hot(resources: str = "a: {type: 'Sim::Resource'}", more: str = "") -> str:
    indented = "\n".join("  " + line for line in resources.splitlines())
    return f"{HEAD}resources:\n{indented}\n{more}"


def with_property(value: str) -> str:
    return hot(f"a: {{type: 'Sim::Resource', properties: {{p: {value}}}}}\nb: {{type: 'Sim::Resource'}}")


REFUSED = [
    ("{", "template line", "correct the YAML"),
    ("a: b: c", "template line 1, column 5", "correct the YAML"),
    ("a: &x [*x]", "a.0.0.0: ", "deeper than 100 levels"),
    ("[" * 5000, "template", "correct"),
    ("just text", "template", "the template's text, not its path"),
    ("", "template", "expected a mapping"),
    (HEAD + "resources: {1: {type: 'Sim::Resource'}}", "resources", "put it in quotes"),
    (HEAD + "resources:\n  a: {type: 'Sim::Resource'}\n  a: {type: 'Sim::Resource'}", "template line 4", "twice"),
    (HEAD + "resources: {a: {type: 'Sim::Resource', properties: {x: .inf}}}", "resources.a.properties.x", "quotes"),
    (HEAD + "resources: {a: {type: 'Sim::Resource', properties: {x: !!binary aGk=}}}", "resources.a.properties.x",
     "YAML tag"),
    ("resources: {a: {type: 'Sim::Resource'}}", "heat_template_version", "add heat_template_version"),
    (HEAD, "resources", "at least one resource"),
    (HEAD + "resources: [a]", "resources", "check the indentation"),
    (hot(more="conditions: {x: true}"), "template", "unknown section 'conditions'"),
    (hot("a: {}"), "resources.a.type", "use one of Sim::Resource"),
    (hot("a:"), "resources.a", "check the indentation"),
    (hot("a: {type: 'OS::Heat::Stack'}"), "resources.a.type", "install a plugin"),
    (hot("a: {type: 'Sim::Resource', deletion_policy: retain}"), "resources.a", "unknown section 'deletion_policy'"),
    (hot("a: {type: 'Sim::Resource', depends_on: zz}"), "resources.a.depends_on", "use one of a"),
    (hot("a: {type: 'Sim::Resource', depends_on: {x: 1}}"), "resources.a.depends_on", "a list of them"),
    (hot("a: {type: 'Sim::Resource', depends_on: a}"), "resources.a", "a -> a"),
    (hot("a: {type: 'Sim::Resource', depends_on: b}\nb: {type: 'Sim::Resource', depends_on: a}"), "resources.a",
     "a -> b -> a: take one"),
    (with_property("{get_param: zz}"), "resources.a.properties.p", "add it to parameters"),
    (with_property("{get_param: []}"), "resources.a.properties.p.get_param", "its name or"),
    (with_property("{get_resource: zz}"), "resources.a.properties.p", "use one of a, b"),
    (with_property("{get_resource: [b]}"), "resources.a.properties.p.get_resource", "a resource's name"),
    (with_property("{get_resource: a}"), "resources.a", "a -> a"),
    (with_property("[x, {y: {get_attr: [zz, q]}}]"), "resources.a.properties.p.1.y", "use one of a, b"),
    (with_property("{get_attr: [b]}"), "resources.a.properties.p.get_attr", "[resource, attribute"),
    (with_property("{get_attr: b}"), "resources.a.properties.p.get_attr", "[resource, attribute"),
    (with_property("{get_file: x}"), "resources.a.properties.p", "'get_file' is not supported"),
    (with_property("{get_whatever: x}"), "resources.a.properties.p", "'get_whatever' is not supported"),
    (with_property("{list_join: x}"), "resources.a.properties.p.list_join", "[separator, list"),
    (with_property("{str_replace: {template: x}}"), "resources.a.properties.p.str_replace", "placeholder"),
    (hot(more="outputs: {o: {description: x}}"), "outputs.o.value", "say what the output shows"),
    (hot(more="outputs: {o: {value: {get_attr: [zz, q]}}}"), "outputs.o.value", "use one of a"),
    (hot(more="outputs: {o: {value: 1, condition: x}}"), "outputs.o", "unknown section 'condition'"),
    (hot(more="parameters: {p: {type: text}}"), "parameters.p.type", "expected one of string"),
    (hot(more="parameters: {p: string}"), "parameters.p", "add type: string"),
    (hot(more="parameters: {p: {type: number, default: x}}"), "parameters.p.default", "expected a number"),
    (hot(more="parameters: {p: {type: string, constraints: [{modulo: {step: 2}}]}}"), "parameters.p.constraints.0",
     "take it out"),
    (hot(more="parameters: {p: {type: string, constraints: [{allowed_pattern: '('}]}}"), "parameters.p.constraints.0",
     "regular expression"),
]


@pytest.mark.parametrize(("text", "place", "remedy"), REFUSED)
def test_what_is_not_taken_is_refused_with_its_place_and_a_remedy(text, place, remedy):
    with pytest.raises(InvalidInput) as caught:
        parse(text, types=TYPES)
    assert caught.value.message.startswith(place), caught.value.message
    assert remedy in caught.value.message


PARAMETERS = """parameters:
  text: {type: string, default: t}
  count: {type: number, default: 1, constraints: [{range: {min: 1, max: 9}}]}
  tree: {type: json, default: {k: [10, 20]}}
  items: {type: comma_delimited_list, default: "a, b"}
  flag: {type: boolean, default: no}
  must: {type: string, hidden: true, constraints: [{length: {min: 3}}, {allowed_pattern: '[a-z]+'}]}
"""


@pytest.mark.parametrize(("given_values", "place"), [
    ({}, "parameters.must: expected a value (string), got none"),
    ({"must": "abc", "zz": 1}, "parameters.zz: the template has no such parameter"),
    ({"must": "ab"}, "parameters.must: expected a length from 3 to any, got 2"),
    ({"must": "ABC"}, "parameters.must: expected text that matches '[a-z]+', got ***"),
    ({"must": {"a": 1}}, "parameters.must: expected a string, got ***"),
    ({"must": "abc", "count": 10}, "parameters.count: expected a number from 1 to 9, got 10"),
    ({"must": "abc", "count": "nan"}, "parameters.count: expected a number, got 'nan'"),
    ({"must": "abc", "flag": "maybe"}, "parameters.flag: expected a boolean"),
    ({"must": "abc", "tree": "{"}, "parameters.tree: expected a mapping, a list, or JSON"),
    ({"must": "abc", "items": 3}, "parameters.items: expected a list"),
])
def test_a_missing_unknown_or_wrong_parameter_is_refused_by_name(given_values, place):
    with pytest.raises(InvalidInput) as caught:
        bind_parameters(parse(hot(more=PARAMETERS), types=TYPES), given_values)
    assert caught.value.message.startswith(place)


def test_parameters_are_converted_and_defaulted():
    template = parse(hot(more=PARAMETERS), types=TYPES)
    assert bind_parameters(template, {"must": "abc", "count": "3", "flag": "Yes", "tree": '{"x": 1}'}) == {
        "text": "t", "count": 3, "tree": {"x": 1}, "items": ["a", "b"], "flag": True, "must": "abc"}


def test_json_text_and_any_version_are_taken():
    text = json.dumps({"heat_template_version": "wallaby", "resources": {"a": {"type": "Sim::Resource"}}})
    assert parse(text, types=TYPES).version == "wallaby"
    assert parse(hot(), types=TYPES).version == "2018-08-31"


def test_dependencies_are_implied_by_references_anywhere():
    template = parse(hot("""a: {type: 'Sim::Resource'}
b: {type: 'Sim::Resource', metadata: {x: {get_resource: a}}}
c: {type: 'Sim::Resource', depends_on: [a], properties: {q: [{list_join: ['-', [{get_attr: [b, x]}, z]]}]}}"""),
                     types=TYPES)
    assert {name: resource.requires for name, resource in template.resources.items()} == {
        "a": (), "b": ("a",), "c": ("a", "b")}
    assert template.graph.order() == ["a", "b", "c"]


FACTS = {"b": Facts("id-b", {"ips": [{"addr": "10.0.0.1"}], "m": {"k": 1}})}


@pytest.mark.parametrize(("value", "expected"), [
    ({"get_resource": "b"}, "id-b"),
    ({"get_attr": ["b", "id"]}, "id-b"),
    ({"get_attr": ["b", "ips", 0, "addr"]}, "10.0.0.1"),
    ({"get_attr": ["b", "ips", "-1", "addr"]}, "10.0.0.1"),
    ({"get_attr": ["b", "m", {"get_param": "key"}]}, 1),
    ({"get_param": ["tree", "k", 1]}, 20),
    ([{"x": {"get_param": "key"}}, 1], [{"x": "k"}, 1]),
    ({"list_join": ["-", ["a", {"get_param": "key"}], ["c"]]}, "a-k-c"),
    ({"str_replace": {"template": "$x is $xy", "params": {"$x": "$xy", "$xy": 2}}}, "$xy is 2"),
    ({"get_param": "key", "other": 1}, {"get_param": "key", "other": 1}),
])
def test_functions_resolve(value, expected):
    assert resolve(value, "p", {"key": "k", "tree": {"k": [10, 20]}}, FACTS) == expected


@pytest.mark.parametrize(("value", "message"), [
    ({"get_attr": ["b", "zz"]}, "p.get_attr: b has no 'zz' (it has: id, ips, m): correct the path"),
    ({"get_attr": ["b", "ips", 3]}, "p.get_attr: b.ips has no 3 (it has: 1 items)"),
    ({"get_param": ["tree", "z"]}, "p.get_param: parameter tree has no 'z'"),
    ({"get_resource": "c"}, "p.get_resource: the resource c is not there yet"),
])
def test_a_path_that_leads_nowhere_is_named(value, message):
    with pytest.raises(InvalidInput) as caught:
        resolve(value, "p", {"tree": {"k": 1}}, FACTS)
    assert caught.value.message.startswith(message)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=12))
def test_any_json_is_refused_cleanly_or_taken(value):
    for text in (json.dumps(value), json.dumps({"heat_template_version": "x", "resources": value}),
                 json.dumps({"heat_template_version": "x", "resources": {"a": {"type": "Sim::Resource",
                                                                            "properties": {"p": value}}}})):
        try:
            template = parse(text, types=TYPES)
        except InvalidInput:
            continue
        assert resolve(template.resources["a"].properties, "p", {}, {}) == {"p": value}


@given(st.text(max_size=60))
def test_any_text_is_refused_cleanly(text):
    with pytest.raises(InvalidInput):
        parse(text, types=TYPES)


def test_types_come_from_the_names_of_the_workers_plugins():
    assert {"OS::Nova::Server", "Sim::Resource"} <= known_types()
