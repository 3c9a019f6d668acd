"""Event types that no entry names: the rule of docs/catalog.md."""
import pytest

from obsvc.catalog import guess, load
from obsvc.listeners.decode import Decoder
from obsvc.messaging import wire
from obsvc.model import Phase, Ref, Urgency

DECODER = Decoder(load(), region="R")


def decode(event_type, payload, publisher=None, exchange=None, **more):
    return DECODER.decode(wire.pack({"event_type": event_type, "payload": payload, "publisher_id": publisher, **more}),
                          exchange=exchange)


@pytest.mark.parametrize(
    ("event_type", "noun"),
    [
        ("widget.create.end", "widget"), ("widget.create.start", "widget"), ("my.widget.resize", "widget"),
        ("widget.create", "widget"), ("widget", "widget"), ("widget.error", "widget"), ("a.b.c.d.success", "c"),
        ("...", None), ("widget name.create", None), ("x.☃.create.end", None),
    ],
)
def test_noun(event_type, noun):
    assert guess.noun_of(event_type) == noun


@pytest.mark.parametrize(
    ("exchange", "publisher", "name"),
    [
        ("kiosk", "x.host", "kiosk"), ("openstack", "Kiosk-engine:host", "kiosk-engine"), (None, "kiosk@h", "kiosk"),
        (None, None, None), ("openstack", None, None), (None, "", None), (None, "☃", None),
    ],
)
def test_name_of_a_service_that_is_not_known(exchange, publisher, name):
    assert guess.service_name(exchange, publisher) == name


@pytest.mark.parametrize(
    ("payload", "ids", "project"),
    [
        ({"widget": {"id": "a", "project_id": "p"}, "id": "b"}, ("a",), "p"),
        ({"widget_id": "a", "tenant_id": "p"}, ("a",), "p"),
        ({"widgets": [{"id": "a"}, {"id": "b"}], "owner": "p"}, ("a", "b"), "p"),
        ({"uuid": "a", "project_id": "p", "tenant_id": "q"}, ("a",), "p"),
        ({"target": {"id": "a"}}, ("a",), "caller"),
        ({"resource_info": "a"}, ("a",), "caller"),
        ({}, (), "caller"),
        ([], (), "caller"),
    ],
)
def test_id_and_project_from_the_usual_places(payload, ids, project):
    found = decode("widget.create.end", payload, exchange="kiosk", _context_project_id="caller")
    assert (found.service, found.resource_type) == ("kiosk", "kiosk.widget")
    assert (found.resource_ids, found.project_id, found.phase) == (ids, project, Phase.END)
    assert found.guessed and found.refs == () and found.look is Urgency.NONE and found.why_none


def test_a_known_services_new_event_about_a_known_type_is_looked_at():
    found = decode("dns.zone.transmogrify", {"id": "z"}, exchange="designate")
    assert not found.guessed  # dns.zone.* is in the catalogue
    found = decode("loadbalancer.transmogrify", {"id": "z"}, exchange="octavia")
    assert found.guessed and found.resource_type == "load_balancer.loadbalancer" and not found.refs
    found = decode("load_balancer.transmogrify.end", {"id": "z"}, exchange="octavia")
    assert found.refs == (Ref("R", "load_balancer.load_balancer", "z"),)
    assert (found.guessed, found.look, found.state) == (True, Urgency.MERGE, None)


def test_nobody_known_at_all():
    found = decode("widget.create.end", {"id": "a"})
    assert found.service is None and found.guessed and not found.refs and found.why_none
