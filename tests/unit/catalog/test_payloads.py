"""Payloads that have a resource whole: recorded ones of a real cloud, and what is refused."""
import copy
import dataclasses
import json

import msgspec
import pytest

from obsvc.catalog import load, payloads
from obsvc.catalog.schema import Event, Payload
from obsvc.exceptions import ConfigError
from obsvc.listeners.decode import Decoder
from obsvc.model import Condition
from tests.support.shared_data import captured

NETWORK = {
    "id": "n1", "name": "one", "project_id": "p1", "status": "ACTIVE", "admin_state_up": True, "shared": False,
    "mtu": 1500, "router:external": False, "provider:network_type": "vxlan", "provider:segmentation_id": 5,
    "provider:physical_network": None, "tags": [], "updated_at": "2026-01-01T00:00:00Z", "revision_number": 4,
}
TYPE = load().types["network.network"]


def decoder(*types, catalog=None):
    return Decoder(dataclasses.replace(catalog or load(), trusted=frozenset(types)))


def message(payload, event_type="network.update.end"):
    return json.dumps({"event_type": event_type, "publisher_id": "network.a", "payload": payload, "priority": "INFO"})


def test_a_whole_payload_says_what_a_fetch_would_have_said():
    found = decoder("network.network").decode(message({"network": NETWORK}))
    payload = found.payload_state
    shown = payload.snapshot
    assert (payload.order, payload.lacks, shown.condition, shown.project_id, shown.name) == (
        4.0, None, Condition.ACTIVE, "p1", "one")
    assert payload.snapshot.attributes["mtu"] == 1500 and "provider:physical_network" not in payload.snapshot.attributes


def test_what_a_glance_knows_is_told_too():
    """A glance reads only what the event's paths lead to; a payload that is trusted is read whole."""
    read = decoder("network.network")
    peeked = read.peek(message({"network": NETWORK}))
    assert read.decode_peeked(peeked) == read.decode(message({"network": NETWORK}))
    assert read.decode_peeked(peeked).payload_state.lacks is None


def test_nothing_is_read_of_types_that_are_not_trusted():
    assert decoder().decode(message({"network": NETWORK})).payload_state is None
    assert decoder("network.port").decode(message({"network": NETWORK})).payload_state is None


@pytest.mark.parametrize("event_type", ["network.delete.end", "network.update.start", "network.exists"])
def test_deletions_and_beginnings_tell_nothing(event_type):
    payload = {"network": NETWORK, "network_id": "n1", "id": "n1"}
    assert decoder("network.network").decode(message(payload, event_type)).payload_state is None


def test_bulk_requests_tell_nothing():
    found = decoder("network.network").decode(message({"networks": [NETWORK, {**NETWORK, "id": "n2"}]},
                                                      "network.create.end"))
    assert len(found.refs) == 2 and found.payload_state is None


@pytest.mark.parametrize("field", sorted(NETWORK.keys() - {"id"}))
def test_each_field_of_a_snapshot_must_be_there(field):
    body = {name: value for name, value in NETWORK.items() if name != field}
    payload = payloads.payload_state(TYPE, {"network": body}, "network")
    assert payload.lacks == field and payload.snapshot is None


@pytest.mark.parametrize("order", [None, "soon", True, [], {}, 2 ** 60, "9" * 40])
def test_without_an_order_nothing_is_told(order):
    payload = payloads.payload_state(TYPE, {"network": {**NETWORK, "revision_number": order}}, "network")
    assert payload.snapshot is None and "revision_number" in payload.lacks


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_text_that_no_database_holds_is_not_told(text):
    payload = payloads.payload_state(TYPE, {"network": {**NETWORK, "name": text}}, "network")
    assert payload.snapshot is None and payload.lacks


@pytest.mark.parametrize("payload", [None, [], "x", {}, {"network": None}, {"network": []}])
def test_other_shapes_tell_nothing(payload):
    assert payloads.payload_state(TYPE, payload, "network").lacks == "the resource"


@pytest.mark.parametrize(("value", "same"), [
    ("2026-11-22T10:33:31Z", "2026-11-22T10:33:31.000000"), ("2026-11-22T10:33:31+01:00", "2026-11-22T09:33:31"),
    (7, 7.0),
])
def test_the_order_does_not_depend_on_how_it_is_written(value, same):
    assert payloads.order_of({"x": value}, "x") == payloads.order_of({"x": same}, "x") is not None


def test_only_types_with_whole_payloads_can_be_trusted():
    assert load(trust_payload=["network.port"]).trusted == {"network.port"}
    with pytest.raises(ConfigError, match="compute.server"):
        load(trust_payload=["network.port", "compute.server"])


# -- recorded

SERVICES = [json.loads(json.loads(line["body"])["oslo.message"]) for line in captured("services")]

if SERVICES:

    def test_a_real_neutron_told_an_administrator_everything():
        catalog = load()
        read = decoder(*(name for name, each in catalog.types.items() if each.payload), catalog=catalog)
        found = [read.decode(json.dumps(each)) for each in SERVICES]
        payload = {one.event_type: one.payload_state for one in found if one.payload_state is not None}
        assert {"network.create.end", "network.update.end", "subnet.create.end", "port.create.end", "port.update.end",
                "security_group.create.end"} <= payload.keys()
        assert {each.lacks for each in payload.values()} == {None}
        assert all(each.order is not None and each.snapshot.project_id for each in payload.values())

    def test_a_real_glance_tells_all_but_the_hash():
        """What docs/catalog.md says of images: an operator who does without the hash may trust them."""
        catalog = load()
        image = catalog.types["image.image"]
        described = msgspec.structs.replace(image, payload=Payload("updated_at"))
        lacking = [payloads.payload_state(described, each["payload"], ".").lacks for each in SERVICES
                   if each["event_type"] in ("image.update", "image.activate")]
        assert set(lacking) == {"os_hash_value"}
        without = msgspec.structs.replace(
            described, attributes=tuple(name for name in image.attributes if name != "os_hash_value"))
        glance = catalog.services["glance"]
        events = tuple(msgspec.structs.replace(each, body=".") if each.match == "image.*" else each
                       for each in glance.events)
        changed = dataclasses.replace(
            catalog, services={**catalog.services, "glance": msgspec.structs.replace(glance, events=events)},
            types={**catalog.types, "image.image": without})
        read = decoder("image.image", catalog=changed)
        found = [read.decode(json.dumps(each)).payload_state for each in SERVICES
                 if each["event_type"] == "image.activate"]
        assert [each.snapshot.condition for each in found] == [Condition.ACTIVE] * len(found) and found


def test_an_event_without_a_body_tells_nothing():
    catalog = load()
    neutron = catalog.services["neutron"]
    events = tuple(msgspec.structs.replace(each, body=None) for each in neutron.events)
    without = dataclasses.replace(catalog, services={**catalog.services, "neutron": msgspec.structs.replace(
        neutron, events=events)})
    decoded = decoder("network.network", catalog=without).decode(message({"network": copy.deepcopy(NETWORK)}))
    assert decoded.payload_state is None
    assert Event("x").body is None
