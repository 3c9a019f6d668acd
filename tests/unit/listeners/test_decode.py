"""Decoding: what the catalogue's words mean, and that nothing but UndecodableMessage ever leaves the decoder."""
import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.catalog import load
from obsvc.exceptions import UndecodableMessage
from obsvc.listeners.decode import MAX_REFS, Decoder
from obsvc.messaging import wire
from obsvc.model import Family, Notification, Phase, Ref, Urgency
from tests.support.notifications import SERVER, message, versioned
from tests.support.shared_data import captured, notification_files

DECODER = Decoder(load(), region="R")


def decode(event_type, payload, *, exchange=None, **changes):
    return DECODER.decode(wire.pack(message(event_type, payload, **changes)), exchange=exchange)


def test_the_request_that_sent_it_is_known():
    changes = {"_context_request_id": "req-1"}
    assert decode("compute.instance.update", {"instance_id": "u"}, **changes).request_id == "req-1"
    assert decode("compute.instance.update", {"instance_id": "u"}).request_id is None


def test_versioned_server_that_announces_a_settled_state():
    found = decode("instance.power_off.end", versioned(SERVER))
    assert found.refs == (Ref("R", "compute.server", "u"),)
    assert (found.family, found.phase, found.project_id) == (Family.VERSIONED, Phase.END, "p")
    assert (found.state, found.look) == ("SHUTOFF", Urgency.NOW)


@pytest.mark.parametrize(
    ("event", "change"),
    [
        ("instance.update", {"task_state": "powering-on"}),  # something is under way
        ("instance.update", {"state": "building"}),  # not a settled state
        ("instance.update", {"state": "something new"}),  # not known
        ("instance.update", {"state": None}),
        ("instance.power_off.start", {}),  # the state before
    ],
)
def test_what_announces_nothing_settled_is_merged(event, change):
    found = decode(event, versioned(SERVER | change))
    assert (found.state, found.look) == (None, Urgency.MERGE)


@pytest.mark.parametrize(
    ("event", "change", "under_way"),
    [
        ("instance.update", {"task_state": "powering-on"}, True),
        ("instance.update", {"state": "building"}, True),
        ("instance.power_off.start", {}, True),
        ("instance.create.error", {"state": "building"}, False),  # it failed: anything may be so by now
        ("instance.create.error", {"state": "building", "task_state": "spawning"}, False),
        ("instance.update", {"state": "something new"}, False),
        ("instance.update", {"state": None}, False),
        ("instance.update", {}, False),  # settled
    ],
)
def test_what_says_that_something_is_under_way(event, change, under_way):
    assert decode(event, versioned(SERVER | change)).under_way is under_way


def test_what_asks_for_no_look_says_nothing_of_what_is_under_way():
    assert not decode("scheduler.select_destinations.start", {"instance_uuid": "u"}).under_way


def test_exists_asks_for_no_look():
    assert decode("instance.exists", versioned(SERVER)).look is Urgency.NONE
    assert decode("compute.instance.exists", {"instance_id": "u", "state": "active"}).look is Urgency.NONE


def test_bulk_request_names_each_once():
    found = decode("port.create.end", {"ports": [{"id": "a", "project_id": "p"}, {"id": "b"}, {"id": "a"}, {}, None]})
    assert [ref.resource_id for ref in found.refs] == ["a", "b"] and found.listed and found.project_id == "p"


def test_bulk_request_is_bounded():
    assert len(decode("port.create.end", {"ports": [{"id": f"{i}"} for i in range(5000)]}).refs) == MAX_REFS


def test_a_rule_is_looked_at_through_its_group():
    rule = {"security_group_rule": {"id": "r", "security_group_id": "g"}}
    found = decode("security_group_rule.create.end", rule)
    assert found.refs == (Ref("R", "network.security_group", "g"),)
    assert (found.resource_type, found.resource_ids) == ("network.security_group_rule", ("r",))


def test_rule_deleted_without_its_group_says_why_there_is_nothing_to_look_at():
    found = decode("security_group_rule.delete.end", {"security_group_rule_id": "r"})
    assert found.refs == () and found.why_none and found.look is Urgency.NONE


def test_delete_announces_deletion():
    found = decode("network.delete.end", {"network_id": "n", "network": {"id": "n", "status": "ACTIVE"}})
    assert (found.state, found.look) == ("DELETED", Urgency.NOW)


def test_nothing_has_changed_at_a_start_of_neutrons():
    assert decode("network.delete.start", {"network_id": "n"}).look is Urgency.NONE


def test_type_that_cannot_be_fetched_is_named_and_not_looked_at():
    found = decode("keypair.create.end", versioned({"name": "mine"}))
    assert (found.service, found.resource_type, found.resource_ids) == ("nova", "compute.keypair", ("mine",))
    assert found.refs == () and "can't be fetched" in found.why_none


@pytest.mark.parametrize(
    ("changes", "exchange", "service", "guessed"),
    [
        ({"publisher_id": "neutron-server"}, None, "neutron", False),
        ({"publisher_id": "uwsgi"}, "cinder", "cinder", False),
        ({"publisher_id": None}, None, None, True),
    ],
)
def test_colliding_event_types_are_told_apart(changes, exchange, service, guessed):
    payload = {"typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "eventType": "activity",
               "outcome": "success", "initiator": {"project_id": "p"}}
    found = decode("audit.http.response", payload, exchange=exchange, **changes)
    assert found.guessed is guessed and (service is None or found.service == service)
    assert (found.family, found.phase, found.project_id) == (Family.CADF, Phase.END, "p")


def test_unknown_event_is_no_error():
    found = decode("new.thing.end", {"id": "x"}, publisher_id="nova-new:host")
    assert (found.service, found.refs, found.look, found.guessed) == ("nova", (), Urgency.NONE, True)
    assert found.why_none and found.phase is Phase.END


@pytest.mark.parametrize("bad", ["", "x" * 300, "a\nb", "a\x00b", True, 1.5, [], {}, None])
def test_what_cannot_be_an_id_is_none(bad):
    found = decode("compute.instance.update", {"instance_id": bad})
    assert found.refs == () and found.why_none


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"payload": {}}, "no_event_type"),
        ({"event_type": 5, "payload": {}}, "no_event_type"),
        ({"event_type": "x" * 1000, "payload": {}}, "no_event_type"),
        ({"event_type": "x"}, "no_payload"),
    ],
)
def test_messages_without_what_makes_them_notifications(body, reason):
    with pytest.raises(UndecodableMessage) as caught:
        DECODER.decode(json.dumps(body))
    assert caught.value.reason == reason


@pytest.mark.parametrize("payload", ["text", 5, None, [], [1], {}, [{"instance_id": "x"}], {"instance_id": {"a": []}}])
@pytest.mark.parametrize("event", ["compute.instance.update", "image.upload", "port.create.end", "audit.http.request"])
def test_payloads_of_any_shape_are_read(event, payload):
    assert isinstance(decode(event, payload), Notification)


def test_deep_payload_is_undecodable_and_not_a_crash():
    deep = '{"event_type": "x", "payload": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}"
    with pytest.raises(UndecodableMessage) as caught:
        DECODER.decode(deep)
    assert caught.value.reason == "too_deep"


def test_error_text_holds_nothing_of_the_payload():
    for body in ('{"event_type": "x", "payload": {"token": "gAAAAsecret"', '{"event_type": ["gAAAAsecret"]}'):
        with pytest.raises(UndecodableMessage) as caught:
            DECODER.decode(body)
        assert "gAAAA" not in caught.value.message


# -- mutations of real messages: only UndecodableMessage may escape ---------------------------------------------

REAL = [json.loads(line["body"]) for line in captured("services")[:51:4] + captured("nova-server-life")[:154:12]]
REAL += [json.loads(file.read_bytes())["message"] for file in notification_files("keystone", "neutron")[::9]]
REAL += [message("instance.update", versioned(SERVER)), message("port.create.end", {"ports": [{"id": "a"}]})]
JUNK = [None, True, 0, -1, 1e308, "", "\x00", "x" * 5000, [], {}, [[]], {"": None}, "é\u2028", {"nova_object.data": 5}]


def mutated(value, rng):
    """The value with one or more places replaced, removed or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            value.pop(key)
        elif rng.random() < 0.1:
            value[rng.choice(["nova_object.data", "typeURI", "id", ""])] = copy.deepcopy(rng.choice(JUNK))
        else:
            value[key] = mutated(value[key], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.7:
        index = rng.randrange(len(value))
        value[index] = mutated(value[index], rng)
        return value
    return copy.deepcopy(rng.choice(JUNK))


def check(body):
    try:
        found = DECODER.decode(body)
    except UndecodableMessage as error:
        assert error.reason and error.message
    else:
        assert found.refs or found.why_none
        assert (found.look is not Urgency.NONE) <= bool(found.refs)


def test_mutated_messages_never_crash_the_decoder():
    rng = random.Random(20260101)
    for _ in range(4000):
        value = copy.deepcopy(rng.choice(REAL))
        if "oslo.message" in value:
            inner = json.loads(value["oslo.message"])
            for _ in range(rng.randrange(1, 4)):
                inner = mutated(inner, rng)
            value["oslo.message"] = json.dumps(inner)
        else:
            value = mutated(value, rng)
        body = json.dumps(value).encode()
        if rng.random() < 0.3 and body:
            cut = rng.randrange(len(body))
            body = body[:cut] + rng.randbytes(rng.randrange(3)) + body[cut + rng.randrange(3):]
        check(body)


_json = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                     lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@settings(max_examples=200)
@given(st.sampled_from(["instance.update", "port.create.end", "identity.user.created", "tag.create.end", "x"]), _json)
def test_any_payload_of_known_events_is_read(event, payload):
    check(json.dumps(message(event, payload)))


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes(body):
    check(body)
