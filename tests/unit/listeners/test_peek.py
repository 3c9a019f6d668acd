"""A peek tells nothing that reading the whole would not: over every message at hand, damaged and made-up ones."""
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.catalog import load
from obsvc.exceptions import UndecodableMessage
from obsvc.listeners.decode import Decoder
from obsvc.listeners.peek import Peeked
from obsvc.messaging import wire
from obsvc.model import Family, Ref, Urgency
from tests.fuzz.corpus import samples
from tests.fuzz.mutate import mutation
from tests.support.broker import pack_bare
from tests.support.examples import examples
from tests.support.notifications import SERVER, message, versioned

DECODER = Decoder(load(), region="R")
SAMPLES = samples()


def whole(body, exchange=None):
    try:
        return DECODER.decode(body, exchange=exchange)
    except UndecodableMessage as error:
        return error


def peeked(body, exchange=None):
    """What a peek tells, None where it leaves that to the decoder; and that it agrees with it."""
    expected = whole(body, exchange)
    try:
        found = DECODER.peek(body)
    except UndecodableMessage as error:
        assert isinstance(expected, UndecodableMessage) and error.reason == expected.reason
        return None
    if type(found) is not Peeked:
        try:
            assert DECODER.read(found, exchange=exchange) == expected
        except UndecodableMessage as error:
            assert isinstance(expected, UndecodableMessage) and error.reason == expected.reason
        return None
    if isinstance(expected, UndecodableMessage):
        assert "out of range" in expected.message  # a number in what was skipped: see test_what_is_skipped…
        with contextlib.suppress(UndecodableMessage):
            assert DECODER.decode_peeked(found).refs == (found.ref,)
        return found
    assert expected.refs == (found.ref,) and not expected.guessed
    assert (expected.family is Family.VERSIONED) == found.plan.versioned
    assert (expected.look is not Urgency.NONE) == found.plan.asks
    assert expected.family is not Family.CADF
    assert DECODER.decode_peeked(found) == expected
    return found


def test_every_message_at_hand():
    told = [peeked(sample.body, sample.exchange) for sample in SAMPLES]
    assert sum(found is not None for found in told) > len(told) / 3


def test_damaged_ones():
    made = [mutation(SAMPLES, 31, index, large_share=0) for index in range(4000)]
    told = [peeked(one.body, one.exchange) for one in made]
    assert sum(found is not None for found in told) > 200


@pytest.mark.parametrize("pack", [wire.pack, pack_bare])
@pytest.mark.parametrize(
    ("event", "payload", "told"),
    [
        ("instance.update", versioned(SERVER), ("u", True, True)),
        ("compute.instance.update", {"instance_id": "u"}, ("u", False, True)),
        ("compute.instance.update", {"instance_id": None, "instance_uuid": "u"}, ("u", False, True)),
        ("compute.instance.exists", {"instance_id": "u"}, ("u", False, False)),
        ("scheduler.select_destinations.start",
         {"request_spec": {"instance_properties": {"uuid": "u"}}}, ("u", False, False)),
    ],
)
def test_what_is_told_at_a_glance(event, payload, told, pack):
    found = peeked(pack(message(event, payload)))
    assert (found.ref, found.plan.versioned, found.plan.asks) == (Ref("R", "compute.server", told[0]), *told[1:])


ODD = [
    ("compute.instance.update", {"instance_id": ["u"]}),
    ("compute.instance.update", {"instance_id": "a\nb"}),
    ("compute.instance.update", {}),
    ("compute.instance.update", []),
    ("compute.instance.update", "instance_id"),
    # a part of it is another's object, or it is itself one with too many keys
    ("compute.instance.update", {"instance_id": "u", "x_object.data": {"instance_id": "v"}}),
    ("instance.update", versioned(SERVER) | {"instance_uuid": "w"}),
    ("instance.update", versioned(SERVER) | {f"key{n}": n for n in range(6)}),
    ("compute.instance.update", {"instance_id": "u", "nova_object.data": {"instance_id": "v"}}),
    ("instance.update", versioned(SERVER, "masakari")),
    ("instance.update", {"nova_object.name": "P", "nova_object.data": [SERVER]}),
    ("instance.update", {"nova_object.name": "P", "nova_object.changes": versioned(SERVER)}),
    ("compute.instance.update", {"instance_id": "u", "eventType": "activity", "typeURI": "x"}),
    ("port.create.end", {"ports": [{"id": "a"}, {"id": "b"}]}),
    ("scheduler.run_instance.start", {"request_spec": {"instance_uuids": ["a"]}, "instance_id": "u"}),
    ("security_group_rule.create.end", {"security_group_rule": {"id": "r", "security_group_id": "g"}}),
    ("keypair.create.end", versioned({"name": "mine"})),
    ("no.such.event", {"id": "u"}),
    ("", {"id": "u"}),
    ("x" * 1000, {"id": "u"}),
]


@pytest.mark.parametrize("pack", [wire.pack, pack_bare])
@pytest.mark.parametrize(("event", "payload"), ODD)
def test_what_is_odd_is_left_to_the_decoder(event, payload, pack):
    assert peeked(pack(message(event, payload))) is None


def test_an_objects_key_can_be_hidden_from_nobody():
    text = json.dumps(message("compute.instance.update", {"instance_id": "u", "nova_object.data": {"uuid": "v"}}))
    for hidden in (text.replace("_object", "\\u005fobject"), text.replace("data", "dat\\u0061")):
        assert peeked(hidden.encode()) is None
        assert peeked(json.dumps({"oslo.version": "2.0", "oslo.message": hidden}).encode()) is None


def test_names_in_any_script_are_no_hindrance():
    payload = {"instance_id": "u", "display_name": "серверная № 1", "note": "a\\b"}
    for text in (json.dumps(message("compute.instance.update", payload)),
                 json.dumps(message("compute.instance.update", payload), ensure_ascii=False)):
        assert peeked(json.dumps({"oslo.version": "2.0", "oslo.message": text}).encode()) is not None


def test_a_bare_message_that_is_no_utf8_is_left_to_the_decoder():
    body = json.dumps(message("compute.instance.update", {"instance_id": "u", "name": "@"})).encode()
    assert peeked(body.replace(b"@", b"\xff\xfe")) is None


def test_a_key_given_twice_counts_as_it_does_in_the_whole():
    body = json.dumps(message("compute.instance.update", {"instance_id": "u", "instance_uuid": "v"})).encode()
    found = peeked(body.replace(b'"instance_uuid"', b'"instance_id"'))
    assert found.ref.resource_id == "v"


@pytest.mark.parametrize(("key", "read"), [("n", False), ("state", True)])
def test_what_is_skipped_is_not_judged(key, read):
    body = json.dumps(message("compute.instance.update", {"instance_id": "u", key: "@"})).encode()
    body = body.replace(b'"@"', b"1e999")
    found = peeked(body)
    assert found.ref.resource_id == "u"
    assert whole(body).reason == "not_a_notification"
    if read:
        with pytest.raises(UndecodableMessage) as told:
            DECODER.decode_peeked(found)
        assert told.value.reason == "not_a_notification"
    else:
        assert DECODER.decode_peeked(found).refs == (found.ref,)


_keys = st.sampled_from(["instance_id", "instance_uuid", "uuid", "id", "port", "ports", "port_id", "eventType",
                         "typeURI", "request_spec", "instance_properties", "nova_object.data", "nova_object.name",
                         "x_object.data", "nova_object.changes"])
_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["u", "v"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4), max_leaves=8)


@settings(max_examples=examples(300, quick=100))
@given(st.sampled_from(["instance.update", "compute.instance.update", "port.update.end", "volume.create.end",
                        "scheduler.select_destinations.end", "image.update"]),
       st.dictionaries(_keys, _values, max_size=7))
def test_any_payload(event, payload):
    peeked(wire.pack(message(event, payload)))
