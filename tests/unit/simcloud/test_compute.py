"""Servers: what the API answers and what goes out on the bus, in virtual time."""
from __future__ import annotations

import json

import pytest

from obsvc.simcloud.cloud import iso
from obsvc.simcloud.dials import BuildTime, Dials
from obsvc.simcloud.services.nova import courses
from tests.support.shared_data import SHARED
from tests.support.simcloud_bench import Bench


def over_the_record(test):
    """Collect the test only where the recorded data is."""
    return test if SHARED is not None else None


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def active(bench):
    server_id = bench.server()
    bench.advance(10.1)
    assert bench.status(server_id) == ("ACTIVE", None)
    bench.sent.clear()
    return server_id


def test_a_server_builds_in_novas_22_messages_of_both_families(bench):
    server_id = bench.server()
    assert bench.status(server_id) == ("BUILD", "scheduling")
    bench.advance(10.1)
    assert bench.status(server_id) == ("ACTIVE", None)
    nova = [(key, inner) for exchange, key, inner in bench.sent if exchange == "nova"]
    assert len(nova) == 22
    assert [inner["event_type"] for _, inner in nova][:2] == ["scheduler.select_destinations.start"] * 2
    assert [inner["event_type"] for _, inner in nova][-2:] == ["compute.instance.create.end", "instance.create.end"]
    for key, inner in nova:
        versioned = "nova_object.data" in inner["payload"]
        assert key == ("versioned_notifications.info" if versioned else "notifications.info")
        assert inner["_context_request_id"].startswith("req-") and len(inner["_unique_id"]) == 32


def test_the_api_shows_each_state_when_nova_saves_it(bench):
    server_id = bench.server()
    seen = []
    for _ in range(210):
        bench.advance(0.05)
        status = bench.status(server_id)
        if not seen or seen[-1] != status:
            seen.append(status)
    assert seen == [("BUILD", "scheduling"), ("BUILD", None), ("BUILD", "networking"),
                    ("BUILD", "block_device_mapping"), ("BUILD", "spawning"), ("ACTIVE", None)]


@pytest.mark.parametrize(("action", "options", "during", "after"), [
    ("os-stop", None, ("ACTIVE", "powering-off"), ("SHUTOFF", None)),
    ("pause", None, ("ACTIVE", "pausing"), ("PAUSED", None)),
    ("suspend", None, ("ACTIVE", "suspending"), ("SUSPENDED", None)),
    ("reboot", {"type": "SOFT"}, ("REBOOT", "rebooting"), ("ACTIVE", None)),
    ("reboot", {"type": "HARD"}, ("HARD_REBOOT", "rebooting_hard"), ("ACTIVE", None)),
    ("resize", {"flavorRef": "m1.micro"}, ("RESIZE", "resize_prep"), ("VERIFY_RESIZE", None)),
])
def test_actions(bench, active, action, options, during, after):
    assert bench.ask("POST", f"/compute/v2.1/servers/{active}/action", {action: options}).status_code == 202
    bench.advance(0.05)
    assert bench.status(active) == during
    bench.advance(40)
    assert bench.status(active) == after


def test_an_action_in_the_wrong_state_is_a_conflict_in_novas_shape(bench, active):
    answer = bench.ask("POST", f"/compute/v2.1/servers/{active}/action", {"unpause": None})
    assert answer.status_code == 409
    assert answer.json["conflictingRequest"]["code"] == 409


def test_reboot_start_is_published_before_the_save(bench, active):
    """As nova does: the notification says reboot_pending while the API still shows rebooting."""
    bench.ask("POST", f"/compute/v2.1/servers/{active}/action", {"reboot": {"type": "SOFT"}})
    while "compute.instance.reboot.start" not in bench.events("nova"):
        bench.advance(0.05)
    announced = next(inner for _, _, inner in bench.sent if inner["event_type"] == "compute.instance.reboot.start")
    assert announced["payload"]["state_description"] == "reboot_pending"
    assert bench.status(active) == ("REBOOT", "rebooting")


def test_delete_goes_through_deleting_to_404(bench, active):
    assert bench.ask("DELETE", f"/compute/v2.1/servers/{active}").status_code == 204
    assert bench.status(active) == ("ACTIVE", "deleting")
    bench.advance(10)
    assert bench.status(active) == 404
    assert bench.events("nova")[-2:] == ["compute.instance.delete.end", "instance.delete.end"]
    assert len(bench.events("nova")) == 12
    last = bench.sent[-2][2]["payload"]
    assert (last["state"], last["deleted_at"] != "") == ("deleted", True)


def test_a_deletion_ends_a_build(bench):
    server_id = bench.server()
    bench.advance(3)
    bench.ask("DELETE", f"/compute/v2.1/servers/{server_id}")
    bench.advance(20)
    assert bench.status(server_id) == 404
    assert "compute.instance.create.end" not in bench.events("nova")


def test_a_failed_build_is_an_error_with_novas_error_messages():
    bench = Bench(dials=Dials(build=BuildTime(seconds=10.0), failed_names=("bad",)))
    good, bad = bench.server("good"), bench.server("bad")
    bench.advance(11)
    assert (bench.status(good), bench.status(bad)) == (("ACTIVE", None), ("ERROR", None))
    errors = [(key, inner["event_type"]) for _, key, inner in bench.sent if inner["priority"] == "ERROR"]
    assert errors == [("notifications.error", "compute_task.build_instances"),
                      ("versioned_notifications.error", "compute_task.build_instances.error")]
    assert bench.get(f"/compute/v2.1/servers/{bad}")["server"]["fault"]["code"] == 500


def test_microversions_decide_the_shape(bench, active):
    plain = bench.get(f"/compute/v2.1/servers/{active}")["server"]
    newest = bench.get(f"/compute/v2.1/servers/{active}", **{"OpenStack-API-Version": "compute 2.90"})["server"]
    assert set(plain["flavor"]) == {"id", "links"} and "tags" not in plain
    assert newest["flavor"]["original_name"] == "m1.nano" and newest["tags"] == []


def test_another_project_does_not_see_a_server(bench, active):
    stranger = bench.log_in("somebody", project="service")
    assert bench.ask("GET", f"/compute/v2.1/servers/{active}", token=stranger).status_code == 404
    assert bench.get("/compute/v2.1/servers/detail", token=stranger)["servers"] == []


def test_changes_since_lists_what_changed_and_what_is_gone(bench, active):
    bench.advance(100, step=10)
    since = iso(bench.clock.time() - 5)
    assert bench.get(f"/compute/v2.1/servers/detail?changes-since={since}")["servers"] == []
    bench.ask("DELETE", f"/compute/v2.1/servers/{active}")
    bench.advance(20)
    listed = bench.get(f"/compute/v2.1/servers/detail?changes-since={since}")["servers"]
    assert [(each["id"], each["status"]) for each in listed] == [(active, "DELETED")]


def test_limit_and_marker_page_through_all(bench):
    made = {bench.server(f"s{number}") for number in range(5)}
    found, marker = [], ""
    while True:
        listed = bench.get(f"/compute/v2.1/servers/detail?limit=2{marker}")["servers"]
        if not listed:
            break
        found += [each["id"] for each in listed]
        marker = f"&marker={found[-1]}"
    assert len(found) == 5 and set(found) == made


def _shape(value, depth: int = 3):
    """The keys of nested objects, without what lies in lists and in free maps."""
    if not isinstance(value, dict) or depth == 0:
        return None
    free = ("metadata", "image_meta", "properties", "_context", "traceback", "scheduler_hints", "extra_specs")
    return {key: None if key in free else _shape(each, depth - 1) for key, each in value.items()}


def _recorded() -> dict[tuple[str, bool], dict]:
    found = {}
    for line in (SHARED / "captured/nova-server-life.jsonl").read_text().splitlines():
        inner = json.loads(json.loads(json.loads(line)["body"])["oslo.message"])
        found.setdefault((inner["event_type"], "nova_object.data" in inner["payload"]), inner)
    return found


@over_the_record
def test_payloads_have_the_keys_of_the_recorded_ones(bench, active):
    recorded = _recorded()
    bench.sent.clear()
    other = bench.server()
    bench.advance(11)
    for server_id, action, options in ((active, "os-stop", None), (other, "resize", {"flavorRef": "m1.micro"})):
        bench.ask("POST", f"/compute/v2.1/servers/{server_id}/action", {action: options})
    bench.advance(40)
    bench.ask("POST", f"/compute/v2.1/servers/{other}/action", {"confirmResize": None})
    bench.advance(10)
    bench.ask("DELETE", f"/compute/v2.1/servers/{other}")
    bench.advance(10)
    compared = set()
    for exchange, _, inner in bench.sent:
        key = (inner["event_type"], "nova_object.data" in inner["payload"])
        if exchange != "nova":
            continue
        wanted = recorded[key]
        assert set(inner) == set(wanted), key
        if "select_destinations" not in key[0] or key[1]:
            assert _shape(inner["payload"]) == _shape(wanted["payload"]), key
        if key[1]:
            assert inner["payload"]["nova_object.name"] == wanted["payload"]["nova_object.name"]
            assert inner["payload"]["nova_object.version"] == wanted["payload"]["nova_object.version"]
        compared.add(key)
    assert len(compared) >= 30


@over_the_record
def test_the_sequence_table_is_that_of_the_recorded_life():
    """The courses of the recorded life, one after the other, give its event types in its order."""
    by_name = courses.servers()
    life = ["create", "stop", "start", "reboot_soft", "reboot_hard", "change", "change", "pause", "unpause", "suspend",
            "resume", "lock", "unlock", "resize", "confirm", "delete"]
    told = []
    for name in life:
        messages = [(when, order, event) for order, (when, _, event) in enumerate(
            message for step in by_name[name].steps for message in step.messages)]
        told += [event for _, _, event in sorted(messages)]
    recorded = [json.loads(json.loads(json.loads(line)["body"])["oslo.message"])["event_type"]
                for line in (SHARED / "captured/nova-server-life.jsonl").read_text().splitlines()]
    assert told == recorded


@over_the_record
def test_the_api_body_has_the_fields_of_the_recorded_one(bench, active):
    recorded = json.loads((SHARED / "captured/api/nova-server-life.bodies.jsonl").read_text().splitlines()[3])["server"]
    answered = bench.get(f"/compute/v2.1/servers/{active}", **{"OpenStack-API-Version": "compute latest"})["server"]
    assert _shape(answered) == _shape(recorded)
