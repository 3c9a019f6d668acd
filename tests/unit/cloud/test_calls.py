"""Requests to the cloud: which errors may go away, what services say of them, and where a version is put."""
from __future__ import annotations

import pytest

from obsvc.cloud import calls, retry_after


@pytest.mark.parametrize(("status", "retriable"), [
    (400, False), (401, True), (403, False), (404, False), (408, True), (409, True), (413, False), (429, True),
    (500, True), (502, True), (503, True),
])
def test_which_statuses_may_go_away(status, retriable):
    assert calls.failure("POST", "/x", status, {}, None, None).retriable is retriable


@pytest.mark.parametrize(("body", "message"), [
    ({"badRequest": {"code": 400, "message": "Invalid flavor"}}, "Invalid flavor"),
    ({"NeutronError": {"type": "X", "message": "Quota exceeded", "detail": ""}}, "Quota exceeded"),
    ({"error": {"code": 401, "title": "Unauthorized", "message": "please log in"}}, "please log in"),
    ("<html><body><h1>503 Service\nUnavailable</h1></body></html>", "503 Service Unavailable"),
    ({"message": "plain"}, "plain"), ("", "no explanation"), (None, "None"),
])
def test_explanations(body, message):
    assert calls.explanation(body) == message


def test_retry_after_is_seconds_or_a_date():
    assert retry_after.seconds("12", 0.0) == 12.0
    assert retry_after.seconds("Sun, 06 Nov 1994 08:49:37 GMT", 784111770.0) == 7.0
    assert retry_after.seconds("Sun, 06 Nov 1994 08:49:37 GMT", 784111790.0) == 0.0
    assert retry_after.seconds("soon", 0.0) is None and retry_after.seconds(None, 0.0) is None


def test_version_prefix_only_where_the_endpoint_has_none():
    assert calls.versioned("http://h/network", "/v2.0", "/ports") == "/v2.0/ports"
    assert calls.versioned("http://h:9696/", "/v2.0", "/ports") == "/v2.0/ports"
    assert calls.versioned("http://h/network/v2.0/", "/v2.0", "/ports") == "/ports"
    assert calls.versioned("http://h/volume/v3/0123abcd", "/v3", "/volumes") == "/volumes"
