"""Paths into payloads, whatever shape these have."""
import pytest

from obsvc.catalog import paths

PAYLOAD = {"a": {"b": 1, "c": [{"id": "x"}, {"id": "y"}, 7]}, "list": [{"id": "z"}], "n": None}
VERSIONED = {"nova_object.name": "Payload", "nova_object.data": {
    "uuid": "u", "flavor": {"nova_object.data": {"name": "small"}}}}


@pytest.mark.parametrize(("path", "value"), [
    ("a.b", 1), ("a", PAYLOAD["a"]), ("a.x", None), ("a.b.c", None), ("x", None), ("n", None),
])
def test_one_value(path, value):
    assert paths.find(PAYLOAD, path) == value


def test_versioned_objects_are_stepped_into_without_being_named():
    assert paths.find(VERSIONED, "uuid") == "u" and paths.find(VERSIONED, "flavor.name") == "small"
    assert paths.namespace(VERSIONED) == "nova" and paths.namespace(PAYLOAD) is None


@pytest.mark.parametrize(("path", "values"), [
    ("a.c[*].id", ["x", "y"]), ("list[*].id", ["z"]), ("a.b", [1]), ("a.b[*].id", []), ("x[*]", []),
])
def test_every_value(path, values):
    assert paths.find_all(PAYLOAD, path) == values


@pytest.mark.parametrize(("value", "text"), [
    ("id", "id"), (7, "7"), ("", None), ("x" * 256, None), ("a\nb", None), (True, None), (1.5, None), (None, None), ({},
    None),
])
def test_what_can_be_an_id(value, text):
    assert paths.text_of(value) == text


def test_the_first_path_that_has_ids_counts_each_once():
    payload = {"ids": [{"id": "a"}, {"id": "b"}, {"id": "a"}], "id": "c"}
    assert paths.texts(payload, ("none", "ids[*].id", "id")) == (("a", "b"), True)
    assert paths.texts(payload, ("id", "ids[*].id")) == (("c",), False)
    assert paths.texts(payload, ("none",)) == ((), False)


@pytest.mark.parametrize("strange", [None, 7, "text", [], [[[]]], {"a": None}])
def test_a_strange_payload_has_nothing(strange):
    assert paths.find(strange, "a.b") is None and paths.texts(strange, ("a[*].b", "a.b")) == ((), False)
