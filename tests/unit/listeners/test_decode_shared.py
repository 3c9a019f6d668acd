"""Every recorded notification is read as its judge says, and none of them by guessing."""
import json
import re

import pytest

from obsvc.catalog import load
from obsvc.catalog.matching import Matcher
from obsvc.cmd.notification import Source, describe, split
from obsvc.listeners.decode import Decoder
from obsvc.model import Family, Urgency
from tests.support.shared_data import SHARED, captured, notification_files

SERVICES = sorted(path.name for path in (SHARED / "notifications").iterdir() if path.is_dir()) if SHARED else []
DECODER = Decoder(load())

FILES = notification_files(*SERVICES)
LINES = [(name, line) for name in ("nova-server-life", "services") for line in captured(name)]


def accepted(expected, key):
    return [expected[key], *expected.get(f"{key}_also_ok", [])]


if FILES:

    @pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
    def test_sample_is_read_as_expected(file):
        text = file.read_bytes()
        (source,) = split(str(file), text)
        line = describe(DECODER, source)
        expected = json.loads(text)["expected"]
        assert "error" not in line and "guessed" not in line
        assert line["service"] == expected["service"]
        assert line["resource_type"] == expected["resource_type"]
        assert line["phase"] == expected["phase"]
        assert line["project_id"] in accepted(expected, "project_id")
        assert line["resource_id"] in accepted(expected, "resource_id")
        if "resource_ids" in expected:
            assert line["resource_ids"] == expected["resource_ids"]
        assert line["look"] != "none" or line["resource_type"] or line["why"]

    @pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
    def test_wire_form_reads_the_same(file):
        message = json.loads(file.read_bytes())["message"]
        bare = Source("x", json.dumps(message).encode())
        wrapped = Source("x", json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)}).encode())
        assert describe(DECODER, bare) == describe(DECODER, wrapped) == describe(
            DECODER, Source("x", file.read_bytes()))


def listed():
    """Each row of EVENT_TYPES.md: service, event type, family, resource type (None: about none)."""
    service = None
    for line in (SHARED / "notifications" / "EVENT_TYPES.md").read_text().splitlines() if SHARED else ():
        if line.startswith("## "):
            service = line[3:].strip()
        row = re.match(r"\| `([^`]+)` \| (legacy|versioned) \| ([^|]*) \|", line)
        if row and service in SERVICES:
            family = Family.VERSIONED if row[2] == "versioned" or service == "watcher" else Family.UNVERSIONED
            yield service, row[1], family, row[3].strip() or None


if SHARED is not None:

    def test_every_listed_event_type_has_an_entry_of_its_service():
        matcher, rows = Matcher(load()), list(listed())
        for service, event_type, family, resource_type in rows:
            found = matcher.match(
                event_type, family, namespace=service if family is Family.VERSIONED else None,
                exchange="openstack" if service in ("cinder", "manila") else service,
                publisher="compute.host" if service == "nova" and "." not in event_type else None,
                payload={"target": {"name": service}},  # the audit middleware's
            )
            assert found is not None, (service, event_type)
            event = found.event
            assert (found.service.service, found.guessed) == (service, False), (service, event_type)
            assert resource_type in {event.type, *event.type_map.values(), *event.type_where.values()}, event_type
        assert len(rows) > 500


if LINES:

    def test_captured_messages_are_all_understood():
        for name, line in LINES:
            notification = DECODER.decode(line["body"], exchange=line["exchange"], routing_key=line["routing_key"])
            assert notification.refs or notification.why_none, (name, line["seq"])
            assert notification.service is not None and not notification.guessed

    def test_captured_life_announces_every_settled_state_in_order():
        announced = [
            notification.state
            for line in captured("nova-server-life")
            if (notification := DECODER.decode(line["body"])).look is Urgency.NOW
        ]
        changes = [state for state, before in zip(announced, [None, *announced], strict=False) if state != before]
        assert changes == [
            "ACTIVE", "SHUTOFF", "ACTIVE", "PAUSED", "ACTIVE", "SUSPENDED", "ACTIVE", "VERIFY_RESIZE", "ACTIVE",
            "DELETED",
        ]

    def test_one_event_in_two_families_is_told_by_its_payload():
        families = {
            DECODER.decode(line["body"]).family
            for line in captured("nova-server-life")
            if "scheduler.select_destinations.start" in line["body"]
        }
        assert families == {"versioned", "unversioned"}
