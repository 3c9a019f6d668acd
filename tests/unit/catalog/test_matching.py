"""Event types that several services send are told apart; every event of every file can be reached."""
import pytest

from obsvc.catalog import load
from obsvc.catalog.matching import Matcher
from obsvc.model import Family

CATALOG = load()
MATCHER = Matcher(CATALOG)


@pytest.mark.parametrize(
    ("event_type", "family", "told", "service", "guessed"),
    [
        ("service.update", Family.VERSIONED, {"namespace": "watcher"}, "watcher", False),
        ("service.update", Family.VERSIONED, {"namespace": "nova"}, "nova", False),
        ("service.update", Family.VERSIONED, {"publisher": "nova-compute:host"}, "nova", False),
        ("audit.http.request", Family.CADF, {"payload": {"target": {"typeURI": "service/compute/servers"}}}, "nova",
         False),
        ("audit.http.request", Family.CADF, {"payload": {"target": {"name": "aodh"}}}, "aodh", False),
        # the sign in the payload is stronger than the exchange
        ("audit.http.request", Family.CADF, {"exchange": "nova", "payload": {"target": {"name": "heat"}}}, "heat",
         False),
        # two services on the default exchange: the publisher tells
        ("audit.http.request", Family.CADF, {"exchange": "openstack", "publisher": "manila-api"}, "manila", False),
        ("audit.http.request", Family.CADF, {"exchange": "openstack"}, "cinder", True),
        ("instance.update", Family.VERSIONED, {"exchange": "octavia"}, "nova", False),
    ],
)
def test_told_apart(event_type, family, told, service, guessed):
    found = MATCHER.match(event_type, family, **told)
    assert (found.service.service, found.guessed) == (service, guessed)


def test_unknown_event_is_nobodys():
    assert MATCHER.match("no.such.thing", Family.UNVERSIONED) is None


@pytest.mark.parametrize("payload", [None, [], "x", {"target": None}, {"target": {"typeURI": 5, "name": ["nova"]}}])
def test_signs_in_payloads_of_any_shape(payload):
    assert MATCHER.match("audit.http.request", Family.CADF, payload=payload).guessed


@pytest.mark.parametrize("service", CATALOG.services.values(), ids=lambda service: service.service)
def test_every_event_of_a_file_can_be_reached_and_leads_somewhere(service):
    for event in service.events:
        sample = event.match.replace("*", "x")
        first = next(found.event for found in MATCHER.candidates(sample) if found.service is service
                     and set(found.event.families) in (set(), set(event.families))
                     and set(found.event.publishers) in (set(), set(event.publishers)))
        assert first is event, f"{event.match} never counts: {first.match} comes before it"
        types = {event.type, *event.type_map.values(), *event.type_where.values()} - {None}
        assert types or event.why, event.match
        assert all("." in name for name in types)


@pytest.mark.parametrize("name", CATALOG.types)
def test_announced_states_are_known_statuses(name):
    described, service = CATALOG.types[name], CATALOG.service_of(name)
    known = {status.casefold() for status in described.status.conditions}
    for event in service.events:
        if event.type == name and event.announces and described.status.field:
            assert event.announces.casefold() in known | {"deleted"}, event.match
