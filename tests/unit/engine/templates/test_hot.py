"""Templates: what is taken, and how what is not taken is refused: each with its place and a remedy."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.engine.templates.hot import Facts, bind_parameters, known_types, parse, resolve
from obsvc.engine_client.stacks import StacksRequest
from obsvc.exceptions import InvalidInput
from tests.support.stack_life import Life

TYPES = frozenset({"Sim::Resource"})
HEAD = "heat_template_version: 2018-08-31\n"


def hot(resources: str = "a: {type: 'Sim::Resource'}", more: str = "") -> str:
    indented = "\n".join("  " + line for line in resources.splitlines())
    return f"{HEAD}resources:\n{indented}\n{more}"


def with_property(value: str) -> str:
    return hot(f"a: {{type: 'Sim::Resource', properties: {{p: {value}}}}}\nb: {{type: 'Sim::Resource'}}")


def with_parameter(definition: str, use: str = "1") -> str:
    return hot(f"a: {{type: 'Sim::Resource', properties: {{p: {use}}}}}", f"parameters: {{p: {definition}}}")


def with_constraint(kind: str, constraint: str) -> str:
    return with_parameter(f"{{type: {kind}, constraints: [{constraint}]}}")


#: What is wrong, the template, the place that is named, what is said of it, the remedy.
REFUSED = [
    ("YAML that does not end", "{", "template line", "did not find", "correct the YAML"),
    ("YAML of two meanings", "a: b: c", "template line 1, column 5", "not allowed", "correct the YAML"),
    ("an alias within itself", "a: &x [*x]", "a.0.0.0: ", "deeper than 100 levels", "simplify"),
    ("endless brackets", "[" * 5000, "template", "", "correct"),
    ("no mapping", "just text", "template", "expected a mapping", "the template's text, not its path"),
    ("nothing", "", "template", "expected a mapping", "hand over the template's text"),
    ("too long", "#" + "x" * 1024 * 1024, "template", "at most", "split the stack"),
    ("a key that is no text", HEAD + "resources: {1: {type: 'Sim::Resource'}}", "resources", "got 1",
     "put it in quotes"),
    ("a key twice", HEAD + "resources:\n  a: {type: 'Sim::Resource'}\n  a: {type: 'Sim::Resource'}",
     "template line 4", "stands there twice", "take one out"),
    ("a number that JSON has not", with_property(".inf"), "resources.a.properties.p", "got inf", "put it in quotes"),
    ("a tag of YAML", with_property("!!binary aGk="), "resources.a.properties.p", "got bytes", "take the YAML tag out"),
    ("no version", "resources: {a: {type: 'Sim::Resource'}}", "heat_template_version", "got None",
     "add heat_template_version: 2018-08-31"),
    ("a version that is none", "heat_template_version: [1]\nresources: {a: {type: 'Sim::Resource'}}",
     "heat_template_version", "got [1]", "add heat_template_version: 2018-08-31"),
    ("a section that is not taken", hot(more="conditions: {x: true}"), "template", "'conditions'", "take it out"),

    ("no resources", HEAD, "resources", "at least one resource", "add one"),
    ("resources as a list", HEAD + "resources: [a]", "resources", "got list", "check the indentation"),
    ("a resource without a body", hot("a:"), "resources.a", "got NoneType", "check the indentation"),
    ("a resource without a type", hot("a: {}"), "resources.a.type", "expected a resource type",
     "use one of Sim::Resource"),
    ("an unknown type", hot("a: {type: 'OS::Heat::Stack'}"), "resources.a.type",
     "no worker plugin makes 'OS::Heat::Stack'", "install a plugin"),
    ("a name with a slash", hot("a/b: {type: 'Sim::Resource'}"), "resources.a/b", "without '/'", "rename"),
    ("a name that is too long", hot("a" * 256 + ": {type: 'Sim::Resource'}"), "resources.aaa", "1 to 255", "rename"),
    ("properties as a list", hot("a: {type: 'Sim::Resource', properties: [x]}"), "resources.a.properties", "got list",
     "check the indentation"),
    ("a key that a resource has not", hot("a: {type: 'Sim::Resource', external_id: x}"), "resources.a",
     "'external_id'", "take it out"),
    ("a policy that is not taken", hot("a: {type: 'Sim::Resource', deletion_policy: Snapshot}"),
     "resources.a.deletion_policy", "got 'Snapshot'", "use one of Delete, Retain"),
    ("a policy that is no text", hot("a: {type: 'Sim::Resource', deletion_policy: [Retain]}"),
     "resources.a.deletion_policy", "got ['Retain']", "use one of Delete, Retain"),
    ("a dependency that is missing", hot("a: {type: 'Sim::Resource', depends_on: zz}"), "resources.a.depends_on",
     "got 'zz'", "use one of a"),
    ("one of a list that is missing",
     hot("a: {type: 'Sim::Resource', depends_on: [b, zz]}\nb: {type: 'Sim::Resource'}"),
     "resources.a.depends_on", "got 'zz'", "use one of a, b"),
    ("dependencies as a mapping", hot("a: {type: 'Sim::Resource', depends_on: {x: 1}}"), "resources.a.depends_on",
     "got {'x': 1}", "a list of them"),
    ("a cycle of one", hot("a: {type: 'Sim::Resource', depends_on: a}"), "resources.a", "a -> a", "take one of these"),
    ("a cycle of two", hot("a: {type: 'Sim::Resource', depends_on: b}\nb: {type: 'Sim::Resource', depends_on: a}"),
     "resources.a", "requires itself by a -> b -> a", "take one of these references"),
    ("a cycle of references and a dependency",
     hot("a: {type: 'Sim::Resource', depends_on: b}\nb: {type: 'Sim::Resource', properties: {x: {get_attr: [c, y]}}}\n"
         "c: {type: 'Sim::Resource', metadata: {x: {get_resource: a}}}"),
     "resources.a", "a -> b -> c -> a", "depends_on entries out"),

    ("an unknown parameter", with_property("{get_param: zz}"), "resources.a.properties.p", "got 'zz'",
     "OS::stack_name, or add it to parameters"),
    ("get_param of nothing", with_property("{get_param: []}"), "resources.a.properties.p.get_param",
     "expected a parameter",
     "its name or [name, key, …]"),
    ("an unknown resource", with_property("{get_resource: zz}"), "resources.a.properties.p", "got 'zz'",
     "use one of a, b"),
    ("get_resource with a list", with_property("{get_resource: [b]}"), "resources.a.properties.p.get_resource",
     "expected a resource's name", "write the name alone"),
    ("a resource that refers to itself", with_property("{get_resource: a}"), "resources.a", "a -> a",
     "take one of these"),
    ("an attribute of an unknown resource, deep within", with_property("[x, {y: {get_attr: [zz, q]}}]"),
     "resources.a.properties.p.1.y", "got 'zz'", "use one of a, b"),
    ("get_attr without an attribute", with_property("{get_attr: [b]}"), "resources.a.properties.p.get_attr",
     "got ['b']", "as [resource, attribute, …]"),
    ("get_attr without a list", with_property("{get_attr: b}"), "resources.a.properties.p.get_attr", "got 'b'",
     "write the list"),
    ("a function of HOT that is not taken", with_property("{get_file: x}"), "resources.a.properties.p",
     "'get_file' is not supported", "pass it as a parameter"),
    ("a function that nobody knows", with_property("{get_whatever: x}"), "resources.a.properties.p",
     "'get_whatever' is not supported", "write the value out"),
    ("list_join without a list", with_property("{list_join: x}"), "resources.a.properties.p.list_join", "got 'x'",
     "write the list"),
    ("str_replace without params", with_property("{str_replace: {template: x}}"),
     "resources.a.properties.p.str_replace",
     "placeholder", "give both"),
    ("an unknown parameter within a function",
     with_property("{str_replace: {template: x, params: {y: {get_param: z}}}}"),
     "resources.a.properties.p.str_replace.params.y", "got 'z'", "add it to parameters"),
    ("a reference of metadata", hot("a: {type: 'Sim::Resource', metadata: {x: {get_resource: zz}}}"),
     "resources.a.metadata.x", "got 'zz'", "use one of a"),

    ("an output without a value", hot(more="outputs: {o: {description: x}}"), "outputs.o.value", "found none",
     "say what the output shows"),
    ("an output of an unknown resource", hot(more="outputs: {o: {value: {get_attr: [zz, q]}}}"), "outputs.o.value",
     "got 'zz'", "use one of a"),
    ("a key that an output has not", hot(more="outputs: {o: {value: 1, condition: x}}"), "outputs.o", "'condition'",
     "take it out"),

    ("a parameter without a type", with_parameter("{default: x}"), "parameters.p.type", "got None",
     "use one of string"),
    ("an unknown type of parameter", with_parameter("{type: text}"), "parameters.p.type", "got 'text'",
     "use one of string"),
    ("a parameter that is no mapping", with_parameter("string"), "parameters.p", "got str", "add type: string"),
    ("a key that a parameter has not", with_parameter("{type: string, immutable: true}"), "parameters.p",
     "'immutable'", "take it out"),
    ("hidden that is no boolean", with_parameter("{type: string, hidden: 'no'}"), "parameters.p.hidden", "got 'no'",
     "take the quotes off"),
    ("a default of another type", with_parameter("{type: number, default: x}"), "parameters.p.default",
     "expected a number, got 'x'", "give digits"),
    ("a default that its constraint forbids",
     with_parameter("{type: number, default: 9, constraints: [{range: {max: 8}, description: one digit below nine}]}"),
     "parameters.p.default", "from any to 8, got 9", "one digit below nine"),
    ("constraints as a mapping", with_parameter("{type: string, constraints: {length: {min: 1}}}"),
     "parameters.p.constraints", "got dict", "with a dash"),
    ("an unknown constraint", with_constraint("string", "{size: 3}"), "parameters.p.constraints.0", "got {'size': 3}",
     "use one of length, range"),
    ("two constraints as one", with_constraint("number", "{range: {min: 1}, modulo: {step: 2}}"),
     "parameters.p.constraints.0", "expected one constraint", "with a dash of its own"),
    ("a length of a number", with_constraint("number", "{length: {min: 1}}"), "parameters.p.constraints.0",
     "length can't be held against a number", "use it for string or json"),
    ("a range of a text", with_constraint("string", "{range: {min: 1}}"), "parameters.p.constraints.0",
     "range can't be held against a string", "use it for number"),
    ("a modulo of a text", with_constraint("string", "{modulo: {step: 2}}"), "parameters.p.constraints.0",
     "modulo can't be held against a string", "use it for number"),
    ("a pattern of a list", with_constraint("comma_delimited_list", "{allowed_pattern: a}"),
     "parameters.p.constraints.0", "can't be held against a comma_delimited_list", "use it for string"),
    ("bounds of a range that are no numbers", with_constraint("number", "{range: {min: x}}"),
     "parameters.p.constraints.0", "got {'min': 'x'}", "give one of them or both"),
    ("a length without bounds", with_constraint("string", "{length: 3}"), "parameters.p.constraints.0", "got 3",
     "give one of them or both"),
    ("a modulo by nought", with_constraint("number", "{modulo: {step: 0, offset: 0}}"), "parameters.p.constraints.0",
     "step: whole number but 0", "correct it"),
    ("an offset beyond the step", with_constraint("number", "{modulo: {step: 2, offset: 2}}"),
     "parameters.p.constraints.0", "nearer to 0", "correct it"),
    ("allowed values that are no list", with_constraint("string", "{allowed_values: x}"),
     "parameters.p.constraints.0", "got 'x'", "list what is allowed"),
    ("a pattern that is none", with_constraint("string", "{allowed_pattern: '('}"), "parameters.p.constraints.0",
     "expected a regular expression", "correct it"),
]

PARAMETER_REFUSED = [
    ("a value that is missing", {}, "parameters.must", "expected a value (string), got none", "or a default"),
    ("an unknown parameter", {"must": "abc", "zz": 1}, "parameters.zz", "no such parameter (it has: count, ",
     "correct its name"),
    ("a text too short", {"must": "ab"}, "parameters.must", "a length from 3 to any, got ***", "the constraint allows"),
    ("a text of another form", {"must": "ABC"}, "parameters.must", "matches '[a-z]+', got ***", "small letters"),
    ("a mapping for a text", {"must": {"a": 1}}, "parameters.must", "expected a string, got ***", "put it in quotes"),
    ("a number too large", {"must": "abc", "count": 11}, "parameters.count", "from 1 to 9, got 11",
     "constraint allows"),
    ("a number between", {"must": "abc", "count": 2}, "parameters.count", "leaves 1 when divided by 2, got 2",
     "allows"),
    ("not a number", {"must": "abc", "count": "nan"}, "parameters.count", "expected a number, got 'nan'",
     "give digits"),
    ("not a boolean", {"must": "abc", "flag": "maybe"}, "parameters.flag", "got 'maybe'", "give true or false"),
    ("no JSON", {"must": "abc", "tree": "{"}, "parameters.tree", "JSON text of one, got '{'", "correct it"),
    ("no list", {"must": "abc", "items": 3}, "parameters.items", "got 3", "give one of them"),
    ("not allowed", {"must": "abc", "items": ["a", "z"]}, "parameters.items", "one of a, b, c, got ['a', 'z']",
     "constraint allows"),
    ("a path that leads nowhere", {"must": "abc", "tree": {"k": 1}}, "resources.a.properties.p.0.get_param",
     "parameter tree.k has no 1", "correct the path"),
    ("a path of an output that leads nowhere", {"must": "abc", "tree": {"k": [1, 2], "join": []}},
     "outputs.o.value.get_param", "parameter tree has no 'show'", "correct the path"),
    ("a text to be joined", {"must": "abc", "tree": {"k": [1, 2], "join": "ab"}},
     "resources.a.properties.p.1.list_join", "expected lists to join, got str", "put it in brackets"),
]

PARAMETERS = """parameters:
  text: {type: string, default: t}
  count: {type: number, default: 1, constraints: [{range: {min: 1, max: 9}}, {modulo: {step: 2, offset: 1}}]}
  tree: {type: json, default: {k: [10, 20], show: 1, join: [a, b]}}
  items: {type: comma_delimited_list, default: "a, b", constraints: [{allowed_values: [a, b, c]}]}
  flag: {type: boolean, default: no}
  image: {type: string, default: x, constraints: [{custom_constraint: glance.image}]}
  must:
    type: string
    hidden: true
    constraints:
      - length: {min: 3}
      - {allowed_pattern: '[a-z]+', description: small letters}
outputs:
  o: {value: {get_param: [tree, show]}}
"""

USES = """a:
  type: Sim::Resource
  properties: {p: [{get_param: [tree, k, 1]}, {list_join: ['', {get_param: [tree, join]}]}, {get_attr: [b, x]}]}
b: {type: Sim::Resource}"""


def refusal(of, *arguments, **keywords) -> str:
    with pytest.raises(InvalidInput) as caught:
        of(*arguments, **keywords)
    return caught.value.message


@pytest.mark.parametrize(("text", "place", "problem", "remedy"), [row[1:] for row in REFUSED],
                         ids=[row[0] for row in REFUSED])
def test_a_template_is_refused_with_the_place_the_problem_and_the_remedy(text, place, problem, remedy):
    message = refusal(parse, text, types=TYPES)
    assert message.startswith(place), message
    assert problem in message and remedy in message, message


def test_where_no_plugin_is_installed_the_remedy_is_to_install_one():
    message = refusal(parse, hot(), types=())
    assert message == ("resources.a.type: no worker plugin makes 'Sim::Resource': install a plugin for it (entry point "
                       "group obsvc.worker.plugins)")


@pytest.mark.parametrize(("values", "place", "problem", "remedy"), [row[1:] for row in PARAMETER_REFUSED],
                         ids=[row[0] for row in PARAMETER_REFUSED])
def test_a_value_is_refused_with_the_place_the_problem_and_the_remedy(values, place, problem, remedy):
    message = refusal(bind_parameters, parse(hot(USES, PARAMETERS), types=TYPES), values)
    assert message.startswith(f"{place}: "), message
    assert problem in message and remedy in message, message


def test_what_is_hidden_is_not_in_the_refusal():
    for _, values, place, _, _ in PARAMETER_REFUSED:
        if place == "parameters.must" and values:
            message = refusal(bind_parameters, parse(hot(USES, PARAMETERS), types=TYPES), values)
            assert str(values["must"]) not in message


def test_a_refused_goal_writes_nothing():
    life = Life()
    for text in (REFUSED[0][1], hot("a: {type: 'Sim::Resource'}\nb: {type: 'OS::Heat::Stack'}"), hot(USES, PARAMETERS)):
        refusal(life.create, text)
    assert life.list_stacks(StacksRequest()).stacks == () and life.claim() == {}


def test_parameters_are_converted_and_defaulted():
    template = parse(hot(more=PARAMETERS), types=TYPES)
    assert bind_parameters(template, {"must": "abc", "count": "3", "flag": "Yes", "tree": '{"show": 1}'}) == {
        "text": "t", "count": 3, "tree": {"show": 1}, "items": ["a", "b"], "flag": True, "image": "x", "must": "abc"}


@pytest.mark.parametrize(("step", "offset", "right", "wrong"), [(3, 1, 7, 6), (-3, -1, -4, -3), (2, 0, 0, 1)])
def test_modulo(step, offset, right, wrong):
    template = parse(with_constraint("number", f"{{modulo: {{step: {step}, offset: {offset}}}}}"), types=TYPES)
    assert bind_parameters(template, {"p": right}) == {"p": right}
    refusal(bind_parameters, template, {"p": wrong})


def test_a_deletion_policy_is_part_of_the_goal():
    template = parse(hot("a: {type: 'Sim::Resource', deletion_policy: Retain}\nc: {type: 'Sim::Resource'}\n"
                         "b: {type: 'Sim::Resource', deletion_policy: retain}"), types=TYPES)
    assert [one.deletion_policy for one in template.resources.values()] == ["Retain", "Delete", "Retain"]


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
    ({"list_join": [",", [1, None, {"k": [1]}]]}, '1,,{"k": [1]}'),
    ({"str_replace": {"template": "x", "params": {"x": [1, "a"]}}}, '[1, "a"]'),
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
    assert refusal(resolve, value, "p", {"tree": {"k": 1}}, FACTS).startswith(message)


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
