"""Snapshots of volumes, in virtual time."""
from __future__ import annotations

import pytest

from obsvc.simcloud.dials import BuildTime, Dials
from tests.support.simcloud_bench import Bench

VOLUMES, SNAPSHOTS = "/volume/v3/volumes", "/volume/v3/snapshots"


def a_volume(bench: Bench) -> str:
    made = bench.make(VOLUMES, "volume", size=3, name="v")["id"]
    bench.advance(11)
    bench.sent.clear()
    return made


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_snapshots_life_and_what_is_told_of_it(bench):
    volume = a_volume(bench)
    made = bench.make(SNAPSHOTS, "snapshot", volume_id=volume, name="s", metadata={"k": "v"})
    assert (made["status"], made["size"]) == ("creating", 3)
    bench.advance(11)
    shown = bench.get(f"{SNAPSHOTS}/{made['id']}")["snapshot"]
    assert (shown["status"], shown["os-extended-snapshot-attributes:progress"]) == ("available", "100%")
    bench.ask("PUT", f"{SNAPSHOTS}/{made['id']}", {"snapshot": {"name": "t"}})
    assert bench.ask("DELETE", f"{VOLUMES}/{volume}").status_code == 400, "it has a snapshot"
    assert bench.ask("DELETE", f"{SNAPSHOTS}/{made['id']}").status_code == 202
    bench.advance(5)
    assert bench.ask("GET", f"{SNAPSHOTS}/{made['id']}").status_code == 404
    assert bench.ask("DELETE", f"{VOLUMES}/{volume}").status_code == 202
    told = [(inner["publisher_id"], inner["event_type"], inner["payload"]["status"], inner["payload"]["display_name"])
            for exchange, _, inner in bench.sent]
    host = "snapshot.volume-1@sim"
    assert told == [(host, "snapshot.create.start", "creating", "s"), (host, "snapshot.create.end", "available", "s"),
                    ("snapshot.api-1", "snapshot.update.end", "available", "t"),
                    (host, "snapshot.delete.start", "deleting", "t"), (host, "snapshot.delete.end", "deleting", "t")]
    assert bench.sent[0][2]["payload"]["metadata"] == "{'k': 'v'}"


def test_a_snapshot_that_fails_says_nothing():
    bench = Bench(dials=Dials(build=BuildTime(seconds=1.0), failed_names=("bad",)))
    volume = a_volume(bench)
    made = bench.make(SNAPSHOTS, "snapshot", volume_id=volume, name="bad")
    bench.advance(2)
    assert bench.get(f"{SNAPSHOTS}/{made['id']}")["snapshot"]["status"] == "error"
    assert bench.events() == ["snapshot.create.start"]


def test_a_volume_in_use_is_snapshotted_by_force_or_by_a_newer_client(bench):
    volume = a_volume(bench)
    bench.server(imageRef=None, block_device_mapping_v2=[{"source_type": "volume", "uuid": volume}])
    bench.advance(11)
    asked = {"volume_id": volume}
    assert bench.ask("POST", SNAPSHOTS, {"snapshot": asked}).status_code == 400
    assert bench.ask("POST", SNAPSHOTS, {"snapshot": {**asked, "force": True}}).status_code == 202
    newer = {"OpenStack-API-Version": "volume 3.66"}
    assert bench.ask("POST", SNAPSHOTS, {"snapshot": asked}, **newer).status_code == 202
    assert bench.ask("POST", SNAPSHOTS, {"snapshot": {"volume_id": "none"}}).status_code == 404


def test_a_volume_is_made_from_a_snapshot_that_is_ready(bench):
    volume = a_volume(bench)
    snapshot = bench.make(SNAPSHOTS, "snapshot", volume_id=volume)["id"]
    assert bench.ask("POST", VOLUMES, {"volume": {"snapshot_id": snapshot}}).status_code == 400
    bench.advance(11)
    made = bench.make(VOLUMES, "volume", snapshot_id=snapshot)
    assert (made["size"], made["snapshot_id"]) == (3, snapshot)
    assert bench.ask("POST", VOLUMES, {"volume": {"snapshot_id": "none"}}).status_code == 404


def test_snapshots_are_listed_by_volume_and_for_everyone(bench):
    volume, other = a_volume(bench), a_volume(bench)
    made = bench.make(SNAPSHOTS, "snapshot", volume_id=volume, name="s")["id"]
    bench.make(SNAPSHOTS, "snapshot", volume_id=other)
    listed = bench.get(f"{SNAPSHOTS}/detail?volume_id={volume}")["snapshots"]
    assert [each["id"] for each in listed] == [made]
    elsewhere = bench.log_in("obsvc", project="admin")
    assert bench.get(f"{SNAPSHOTS}?", token=elsewhere)["snapshots"] == []
    assert len(bench.get(f"{SNAPSHOTS}/detail?all_tenants=1", token=elsewhere)["snapshots"]) == 2
    bench.ask("POST", "/sim/v1/behind", {"action": "delete", "id": made})
    assert bench.ask("GET", f"{SNAPSHOTS}/{made}").status_code == 404
