"""Reading of answers: what can be stored, and what is no resource."""
from __future__ import annotations

import json
import math

import pytest

from obsvc.observer.fetching.documents import read_document, resource_in, resources_in


@pytest.mark.parametrize(("body", "key", "resource"), [
    (b'{"server": {"id": "a"}}', "server", {"id": "a"}),
    (b'{"id": "a"}', None, {"id": "a"}),
])
def test_the_resource_stands_under_its_key_or_is_the_document(body, key, resource):
    assert resource_in(body, key) == resource


@pytest.mark.parametrize(("body", "error"), [
    (b"<html>", ValueError), (b"{}", KeyError), (b'{"server": [1]}', TypeError), (b"[1]", TypeError), (b"", ValueError),
])
def test_what_is_no_resource_is_an_error(body, error):
    with pytest.raises(error):
        resource_in(body, "server")


def test_a_list_is_read_by_id():
    body = json.dumps({"ports": [{"id": "a", "n": 1}, {"id": "b"}]}).encode()
    assert resources_in(body, "ports") == {"a": {"id": "a", "n": 1}, "b": {"id": "b"}}


@pytest.mark.parametrize("body", [
    b"<html>", b"{}", b'{"ports": null}', b'{"ports": [{"name": "a"}]}', b'{"ports": [1]}',
])
def test_a_list_that_can_not_be_read_has_nothing(body):
    assert resources_in(body, "ports") == {}


def test_what_old_services_write_is_read():
    assert math.isnan(read_document(b'{"a": NaN}')["a"])


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800", "\\uDFFF"])
def test_what_no_database_holds_becomes_the_replacement_character(escape):
    document = read_document(f'{{"a{escape}": ["x{escape}y", {{"b": "{escape}"}}], "n": 1}}'.encode())
    text = json.dumps(document, ensure_ascii=False)
    assert "\ufffd" in text and "\0" not in text and text.encode("utf-8")
    assert document["n"] == 1


def test_a_pair_of_surrogates_is_one_character():
    assert read_document(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
