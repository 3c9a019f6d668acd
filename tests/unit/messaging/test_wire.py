"""The wire format: what oslo.messaging puts on a bus is read back; nothing but UndecodableMessage ever escapes."""
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.exceptions import UndecodableMessage
from obsvc.messaging import wire
from tests.support.broker import pack_bare
from tests.support.examples import examples

INNER = {"event_type": "a.b", "payload": {"x": "é\"\\"}, "message_id": "m"}


def test_envelope_and_bare_form_read_the_same():
    assert wire.unpack(wire.pack(INNER)) == wire.unpack(pack_bare(INNER)) == INNER


def test_what_oslo_messaging_writes_is_read():
    from oslo_messaging._drivers import common

    assert wire.unpack(json.dumps(common.serialize_msg(INNER))) == INNER


def test_what_we_write_oslo_messaging_reads():
    from oslo_messaging._drivers import common

    assert common.deserialize_msg(json.loads(wire.pack(INNER))) == INNER


def test_amqp_1_form():
    body = json.dumps({"request": json.loads(wire.pack(INNER)), "context": {}})
    assert wire.unpack(body) == INNER


@pytest.mark.parametrize("present", ["oslo.version", "oslo.message"])
def test_one_envelope_key_alone_is_the_message_itself(present):
    bare = {present: "2.0", "event_type": "x"}
    assert wire.unpack(json.dumps(bare)) == bare


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"{", "not_json"),
        (b"[1]", "not_a_notification"),
        (b'"text"', "not_a_notification"),
        (b'{"oslo.version": "3.0", "oslo.message": "{}"}', "unknown_version"),
        (b'{"oslo.version": "2.0", "oslo.message": "[]"}', "not_an_object"),
        (b'{"oslo.version": "2.0", "oslo.message": "nonsense"}', "not_json"),
        (b"[" * 100_000, "not_a_notification"),
        (b'{"a":' * 100_000, "too_deep"),
        (b'{"request":' * 100_000, "too_deep"),
    ],
)
def test_what_cannot_be_read_says_why(body, reason):
    with pytest.raises(UndecodableMessage) as caught:
        wire.unpack(body)
    assert caught.value.reason == reason


def test_oversized_body_is_refused_unread():
    with pytest.raises(UndecodableMessage) as caught:
        wire.unpack(b'"' + b"x" * 100 + b'"', max_body=50)
    assert caught.value.reason == "oversized"


_keys = st.sampled_from(["oslo.version", "oslo.message", "request"]) | st.text()
_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(_keys, inner)
)


@settings(max_examples=examples(300, quick=100))
@given(st.binary(max_size=200) | _json.map(lambda value: json.dumps(value).encode()))
def test_only_undecodable_escapes(body):
    try:
        assert isinstance(wire.unpack(body), dict)
    except UndecodableMessage as error:
        assert error.reason
