"""Nothing secret is left in what is shown of a message, whatever form it has."""
import json

import pytest

from obsvc.listeners.redact import EXCERPT, excerpt, whole_body

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"_context_auth_token": SECRET}),
        json.dumps({"oslo.message": json.dumps({"payload": {"adminPass": SECRET}})}),
        json.dumps({"a": json.dumps({"b": json.dumps({"password": SECRET})})}),
        json.dumps({"_context_auth_token": SECRET})[:-2],
        "{'auth_token': '" + SECRET,
        f"password={SECRET}&x=1",
        f"X-Auth-Token: {SECRET}",
        "gAAAAAB" + SECRET,
        f"amqp://user:{SECRET}@host",
        f"Authorization: Bearer {SECRET}",
        "-----BEGIN PRIVATE KEY-----\n" + SECRET,
        json.dumps({"user_data": SECRET, "db_password_old": SECRET}),
        json.dumps({"password": 'a"b\\' + SECRET, "x": 1}),
        json.dumps({"x": json.dumps({"password": 'a"b\\' + SECRET, "x": 1})}),
        json.dumps({"credentials": [SECRET], "secrets": {"a": SECRET}}),
    ],
)
def test_secrets_are_masked(text):
    assert SECRET not in excerpt(text.encode())


def test_the_rest_is_shown():
    shown = excerpt(json.dumps({"event_type": "compute.instance.update", "token": "x"}).encode())
    assert "compute.instance.update" in shown


def test_excerpt_is_bounded_and_printable():
    shown = excerpt(b"\x00\xff" + b"y" * 100_000)
    assert len(shown) <= EXCERPT and shown.isprintable()


def test_a_token_cut_by_the_bound_does_not_show():
    assert SECRET[:4] not in excerpt((f'{{"x": "{"y" * 1970}", "token": "' + SECRET * 50).encode())


@pytest.mark.parametrize("unit", ["a.", "token", '"token": "', "://a:", "-----BEGIN", "eyJ", '\\"', "basic ", "{"])
def test_no_text_makes_it_slow(unit):
    text = (unit * 100_000).encode()
    assert len(excerpt(text)) <= EXCERPT  # a quadratic pattern would take minutes here: the test's own time-out tells


@pytest.mark.parametrize("text", [
    json.dumps({"_context_auth_token": SECRET}),
    json.dumps({"oslo.message": json.dumps({"payload": {"adminPass": SECRET}})}),
    json.dumps({"credentials": [SECRET], "secrets": {"a": SECRET}, "api_key": {"deep": [{"er": SECRET}]}}),
    json.dumps({"note": "log in with password=" + SECRET, "gAAAAAB" + SECRET: 1, "list": ["Bearer " + SECRET]}),
    "X-Auth-Token: " + SECRET, json.dumps({"token": SECRET})[:-1],
])
def test_a_whole_message_is_masked_too(text):
    masked = whole_body(text.encode())
    assert masked and SECRET not in masked


def test_a_whole_message_is_still_json_of_the_same_form():
    inner = {"event_type": "x.y", "payload": {"id": "1", "tokens": {"a": 1}, "password": 5, "user_data": None}}
    masked = json.loads(whole_body(json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner)}).encode()))
    assert masked["oslo.version"] == "2.0"
    assert json.loads(masked["oslo.message"]) == {
        "event_type": "x.y", "payload": {"id": "1", "tokens": "***", "password": "***", "user_data": None}}


@pytest.mark.parametrize("body", [b"x" * 65537, b"\xff\xfe", b""])
def test_what_is_too_long_or_no_text_is_not_kept(body):
    assert whole_body(body) == ""


def test_json_that_is_nested_too_deeply_is_kept_as_text():
    assert whole_body(b'{"a":' * 5000 + b'{"password": "s3cr3t-value"}' + b"}" * 5000).count("s3cr3t") == 0
