"""The other services, the dials and the control interface, in virtual time."""
from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from obsvc.observer.duties import pages
from obsvc.simcloud import replay
from obsvc.simcloud.cloud import Settings
from obsvc.simcloud.dials import BuildTime, Dials
from tests.support.simcloud_bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


# identity


def test_a_wrong_password_and_a_bad_token_are_401(bench):
    with pytest.raises(AssertionError, match="401"):
        bench.log_in("obsvc", password="wrong")
    answer = bench.ask("GET", "/compute/v2.1/servers/detail", token="made-up")
    assert (answer.status_code, answer.json["error"]["code"]) == (401, 401)


def test_tokens_expire():
    bench = Bench(settings=Settings(token_seconds=60.0))
    bench.get("/compute/v2.1/servers/detail")
    bench.advance(61, step=30)
    assert bench.ask("GET", "/compute/v2.1/servers/detail").status_code == 401


def test_a_project_is_created_with_a_cadf_notification(bench):
    project = bench.make("/identity/v3/projects", "project", name="new")
    bench.flush()
    exchange, key, inner = bench.sent[-1]
    assert (exchange, key, inner["event_type"]) == ("keystone", "notifications.info", "identity.project.created")
    assert inner["payload"]["resource_info"] == project["id"] == inner["payload"]["target"]["id"]
    assert bench.get(f"/identity/v3/projects/{project['id']}")["project"]["name"] == "new"


def test_every_answer_has_a_request_id(bench):
    for path in ("/compute/v2.1/servers/none", "/network/v2.0/networks", "/volume/v3/volumes/none", "/nowhere"):
        assert bench.ask("GET", path).headers["x-openstack-request-id"].startswith("req-")


# network


def test_a_network_in_use_can_not_be_deleted(bench):
    network = bench.make("/network/v2.0/networks", "network", name="n")
    subnet = bench.make("/network/v2.0/subnets", "subnet", network_id=network["id"], cidr="10.0.0.0/24")
    port = bench.make("/network/v2.0/ports", "port", network_id=network["id"])
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.2"}]
    answer = bench.ask("DELETE", f"/network/v2.0/networks/{network['id']}")
    assert (answer.status_code, answer.json["NeutronError"]["type"]) == (409, "NetworkInUse")
    for path in (f"ports/{port['id']}", f"subnets/{subnet['id']}", f"networks/{network['id']}"):
        assert bench.ask("DELETE", f"/network/v2.0/{path}").status_code == 204
    bench.flush()
    assert bench.events("neutron") == [f"{name}.{what}.{phase}" for name, what in (
        ("network", "create"), ("subnet", "create"), ("port", "create"), ("port", "delete"), ("subnet", "delete"),
        ("network", "delete")) for phase in ("start", "end")]


def test_neutron_lists_by_any_field(bench):
    networks = [bench.make("/network/v2.0/networks", "network", name=name) for name in ("a", "b")]
    listed = bench.get(f"/network/v2.0/networks?name=b&id={networks[1]['id']}&id={networks[0]['id']}")["networks"]
    assert [each["id"] for each in listed] == [networks[1]["id"]]


def test_a_server_takes_its_ports_and_gives_them_back(bench):
    network = bench.make("/network/v2.0/networks", "network", name="n")
    bench.make("/network/v2.0/subnets", "subnet", network_id=network["id"], cidr="10.0.0.0/24")
    port = bench.make("/network/v2.0/ports", "port", network_id=network["id"])
    server_id = bench.server(networks=[{"port": port["id"]}, {"uuid": network["id"]}])
    bench.advance(11)
    bound = bench.get(f"/network/v2.0/ports?device_id={server_id}")["ports"]
    assert len(bound) == 2 and {each["status"] for each in bound} == {"ACTIVE"}
    addresses = bench.get(f"/compute/v2.1/servers/{server_id}")["server"]["addresses"]["n"]
    assert [each["addr"] for each in addresses] == ["10.0.0.2", "10.0.0.3"]
    bench.ask("DELETE", f"/compute/v2.1/servers/{server_id}")
    bench.advance(10)
    left = bench.get("/network/v2.0/ports")["ports"]
    assert [(each["id"], each["device_id"], each["status"]) for each in left] == [(port["id"], "", "DOWN")]


# block storage and image


def test_a_volume_with_and_without_the_project_in_the_path(bench):
    volume = bench.make("/volume/v3/volumes", "volume", size=1, name="v", metadata={"marker": "n1"})
    assert volume["status"] == "creating"
    bench.advance(11)
    for path in ("/volume/v3", f"/volume/v3/{volume['os-vol-tenant-attr:tenant_id']}"):
        assert bench.get(f"{path}/volumes/{volume['id']}")["volume"]["status"] == "available"
        assert bench.get(f"{path}/volumes/detail")["volumes"][0]["id"] == volume["id"]
    assert bench.ask("DELETE", f"/volume/v3/volumes/{volume['id']}").status_code == 202
    bench.advance(5)
    assert bench.ask("GET", f"/volume/v3/volumes/{volume['id']}").status_code == 404
    assert bench.events("openstack") == [f"volume.{what}.{phase}" for what in ("create", "delete")
                                         for phase in ("start", "end")]
    assert bench.get("/sim/v1/stats")["by_route"]["GET /volume/v3/volumes/{id}"] == 3


def test_a_volume_is_in_use_while_its_server_lives(bench):
    volume = bench.make("/volume/v3/volumes", "volume", size=1)
    bench.advance(11)
    server_id = bench.server(imageRef=None, block_device_mapping_v2=[{"source_type": "volume", "uuid": volume["id"]}])
    bench.advance(11)
    assert bench.get(f"/volume/v3/volumes/{volume['id']}")["volume"]["status"] == "in-use"
    assert bench.ask("DELETE", f"/volume/v3/volumes/{volume['id']}").status_code == 400
    bench.ask("DELETE", f"/compute/v2.1/servers/{server_id}")
    bench.advance(10)
    assert bench.get(f"/volume/v3/volumes/{volume['id']}")["volume"]["status"] == "available"


def test_an_image_becomes_active(bench):
    answer = bench.ask("POST", "/image/v2/images", {"name": "i", "disk_format": "raw"})
    assert (answer.status_code, answer.json["status"]) == (201, "queued")
    bench.advance(11)
    assert bench.get(f"/image/v2/images/{answer.json['id']}")["status"] == "active"
    assert bench.events("glance") == ["image.create", "image.update", "image.prepare", "image.upload",
                                      "image.activate", "image.update"]
    assert bench.ask("GET", "/image/v2/images/none").status_code == 404


# Sim::Resource


def test_a_property_with_an_exclamation_mark_can_not_change_in_place(bench):
    made = bench.make("/sim/v1/resources", "resource", name="r", properties={"!size": 1, "colour": "red"})
    bench.advance(11)
    path = f"/sim/v1/resources/{made['id']}"
    assert bench.get(path)["resource"]["status"] == "ACTIVE"
    refused = bench.ask("PATCH", path, {"resource": {"properties": {"!size": 2, "colour": "red"}}})
    assert refused.status_code == 409 and "!size" in refused.json["error"]["message"]
    taken = bench.ask("PATCH", path, {"resource": {"properties": {"!size": 1, "colour": "blue"}}})
    assert (taken.status_code, taken.json["resource"]["status"]) == (202, "UPDATING")
    bench.advance(5)
    assert bench.get(path)["resource"]["properties"] == {"!size": 1, "colour": "blue"}
    bench.ask("DELETE", path)
    bench.advance(5)
    assert bench.ask("GET", path).status_code == 404
    assert bench.events("sim") == [f"sim.resource.{what}.{phase}" for what in ("create", "update", "delete")
                                   for phase in ("start", "end")]


def test_a_failed_build_tells_an_error():
    bench = Bench(dials=Dials(build=BuildTime(seconds=1.0), failed_share=1.0))
    made = bench.make("/sim/v1/resources", "resource", name="r")
    bench.advance(2)
    assert bench.get(f"/sim/v1/resources/{made['id']}")["resource"]["status"] == "ERROR"
    assert bench.sent[-1][1:2] == ("notifications.error",) and bench.events()[-1] == "sim.resource.create.error"


# dials


def test_a_held_resource_ends_nothing_until_it_is_let_go(bench):
    made = bench.make("/sim/v1/resources", "resource", name="r")
    path = f"/sim/v1/resources/{made['id']}"
    bench.ask("PUT", "/sim/v1/dials", {"held_names": ["r"]})
    bench.advance(30)
    assert bench.get(path)["resource"]["status"] == "BUILDING"
    bench.ask("DELETE", path)
    bench.advance(30)
    assert bench.get(path)["resource"]["status"] == "DELETING"
    bench.ask("PUT", "/sim/v1/dials", {"held_names": []})
    bench.advance(1)
    assert bench.ask("GET", path).status_code == 404


def turn(bench: Bench, **dials) -> None:
    answer = bench.ask("PUT", "/sim/v1/dials", dials)
    assert answer.status_code == 200, answer.text


def test_the_api_can_be_behind_its_notifications(bench):
    turn(bench, api_behind=3.0)
    made = bench.make("/sim/v1/resources", "resource", name="r")
    bench.advance(10.1)
    assert "sim.resource.create.end" in bench.events()
    assert bench.get(f"/sim/v1/resources/{made['id']}")["resource"]["status"] == "BUILDING"
    truth = bench.get(f"/sim/v1/truth?id={made['id']}")["resources"][0]
    assert truth["status"] == "ACTIVE"
    bench.advance(3)
    assert bench.get(f"/sim/v1/resources/{made['id']}")["resource"]["status"] == "ACTIVE"


def test_notifications_can_be_lost_doubled_and_late(bench):
    turn(bench, lost_share=1.0)
    bench.make("/network/v2.0/networks", "network", name="a")
    bench.flush()
    assert bench.sent == []
    turn(bench, lost_share=0.0, duplicated_share=1.0)
    bench.make("/network/v2.0/networks", "network", name="b")
    bench.flush()
    assert bench.events() == ["network.create.start"] * 2 + ["network.create.end"] * 2
    turn(bench, duplicated_share=0.0, delayed_seconds=5.0)
    bench.sent.clear()
    bench.make("/network/v2.0/networks", "network", name="c")
    bench.advance(4.9)
    assert bench.sent == []
    bench.advance(0.2)
    assert bench.events() == ["network.create.start", "network.create.end"]
    counts = bench.get("/sim/v1/stats")["notifications"]
    assert (counts["lost"], counts["duplicated"], counts["delayed"], counts["emitted"]) == (2, 2, 2, 6)


def test_one_services_notifications_can_be_off(bench):
    turn(bench, silent_exchanges=["neutron"])
    bench.make("/network/v2.0/networks", "network", name="a")
    bench.make("/sim/v1/resources", "resource", name="r")
    bench.flush()
    assert bench.events() == ["sim.resource.create.start"]
    assert bench.get("/sim/v1/stats")["notifications"]["lost"] == 2


def test_a_service_and_a_resource_can_be_down(bench):
    made = bench.make("/sim/v1/resources", "resource", name="r")
    other = bench.make("/sim/v1/resources", "resource", name="s")
    turn(bench, down_services=["compute"], down_resources=[made["id"]])
    assert bench.ask("GET", "/compute/v2.1/servers/detail").status_code == 503
    assert bench.ask("GET", f"/sim/v1/resources/{made['id']}").status_code == 503
    assert bench.ask("GET", f"/sim/v1/resources/{other['id']}").status_code == 200
    turn(bench, down_services=[], down_resources=[], throttled_services=["sim"], retry_after=7)
    answer = bench.ask("GET", f"/sim/v1/resources/{made['id']}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize("wrong", [{"lost_share": 2}, {"unknown": 1}, {"build": {"seconds": -1}}, {"api_latency": "x"},
                                   {"down_services": ["nova"]}])
def test_a_wrong_dial_is_refused_and_changes_nothing(bench, wrong):
    before = bench.get("/sim/v1/dials")
    assert bench.ask("PUT", "/sim/v1/dials", {"api_behind": 1.0, **wrong}).status_code == 400
    assert bench.get("/sim/v1/dials") == before


# control


def test_calls_are_counted_by_caller_and_state(bench):
    made = bench.make("/sim/v1/resources", "resource", name="r")
    path = f"/sim/v1/resources/{made['id']}"
    bench.ask("DELETE", "/sim/v1/stats")
    one, two = "obsvc/0.1.0 (observer obs-1) keystoneauth1/5", "obsvc/0.1.0 (observer obs-2)"
    bench.get(path, agent=one)
    bench.get(path, agent=one)
    bench.advance(11)
    bench.get(path, agent=two)
    bench.get(path, agent="python-requests/2 (linux)")
    stats = bench.get("/sim/v1/stats")
    assert stats["gets_by_resource"][made["id"]] == {"observer obs-1": 2, "observer obs-2": 1, "obsvc": 1}
    assert stats["by_caller_route"]["observer obs-1"] == {"GET /sim/v1/resources/{id}": 2}
    fetches = bench.get("/sim/v1/fetches")
    assert (fetches["gets"], fetches["revisions"], fetches["repeated"], fetches["doubled"]) == (3, 2, 1, [])
    bench.get(path, agent=one)
    doubled = bench.get("/sim/v1/fetches")["doubled"]
    assert [(each["id"], set(each["callers"])) for each in doubled] == [
        (made["id"], {"observer obs-1", "observer obs-2"})]
    calls = bench.get("/sim/v1/calls")["calls"]
    later = bench.get(f"/sim/v1/calls?since={calls[2]['seq']}")["calls"]
    assert later == calls[3:] and len(calls) == 5


def test_behind_changes_and_deletes_with_and_without_a_notification(bench):
    server_id = bench.server()
    bench.advance(11)
    bench.sent.clear()
    bench.ask("POST", "/sim/v1/behind", {"action": "change", "id": server_id, "notify": False,
                                         "body": {"OS-EXT-STS:vm_state": "stopped"}})
    bench.flush()
    assert bench.status(server_id) == ("SHUTOFF", None) and bench.sent == []
    answer = bench.ask("POST", "/sim/v1/behind", {"action": "delete", "id": server_id})
    assert (answer.status_code, answer.json["exists"]) == (200, False)
    bench.flush()
    assert bench.status(server_id) == 404
    assert bench.events("nova")[-1] == "instance.delete.end"
    assert bench.ask("POST", "/sim/v1/behind", {"action": "delete", "id": server_id}).status_code == 404


def test_truth_has_markers_and_the_log_of_states(bench):
    server_id = bench.server()
    bench.advance(11)
    truth, = bench.get("/sim/v1/truth?type=compute.server")["resources"]
    assert truth["metadata"] == {"marker": "n1"} and truth["status"] == "ACTIVE"
    assert [each["status"] for each in truth["revisions"]][0] == "BUILD"
    bench.ask("DELETE", f"/compute/v2.1/servers/{server_id}")
    bench.advance(10)
    assert bench.get("/sim/v1/truth?type=compute.server")["resources"] == []
    gone, = bench.get("/sim/v1/truth?type=compute.server&deleted=true")["resources"]
    assert gone["revisions"][-1]["status"] == "DELETED" and not gone["exists"]


# replay


def _record(tmp_path, moments, states):
    """A record: one notification and one answer each at the moments (seconds)."""
    base = 1_795_343_513.0
    body = {"id": "11111111-1111-4111-8111-111111111111", "tenant_id": "t", "updated": "2026-11-22T10:31:51Z",
            "name": "n", "OS-EXT-STS:vm_state": "active"}
    inner = json.dumps({"event_type": "compute.instance.update", "payload": {}})
    notifications = [{"received_at": replay.datetime.fromtimestamp(base + at, replay.datetime.now().astimezone().tzinfo)
                      .isoformat(), "exchange": "nova", "routing_key": "notifications.info",
                      "body": json.dumps({"oslo.version": "2.0", "oslo.message": inner})} for at in moments]
    bodies = [{"at": base + at, "server": {**body, "status": status, "OS-EXT-STS:task_state": task}}
              for at, (status, task) in zip(moments, states, strict=True)]
    paths = {}
    for name, lines in (("notifications_path", notifications), ("bodies_path", bodies)):
        paths[name] = str(tmp_path / name)
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return body["id"], paths


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_a_replay_answers_and_publishes_on_one_time_base(bench, tmp_path, speed):
    server_id, paths = _record(tmp_path, [0.0, 10.0, 30.0], [("BUILD", "spawning"), ("ACTIVE", None),
                                                            ("ACTIVE", "deleting")])
    answer = bench.ask("POST", "/sim/v1/replay", {**paths, "speed": speed})
    assert answer.status_code == 202
    assert bench.status(server_id) == ("BUILD", "spawning")
    bench.advance(replay.LEAD + 9.0 / speed, step=0.01)
    assert (bench.status(server_id), len(bench.sent)) == (("BUILD", "spawning"), 1)
    bench.advance(2.0 / speed, step=0.01)
    assert (bench.status(server_id), len(bench.sent)) == (("ACTIVE", None), 2)
    assert bench.get(f"/sim/v1/replay/{answer.json['id']}")["finished"] is False
    bench.advance(20.0 / speed, step=0.01)
    assert (bench.status(server_id), len(bench.sent)) == (404, 3)
    assert bench.get(f"/sim/v1/replay/{answer.json['id']}")["finished"] is True


def test_a_record_that_can_not_be_read_is_refused(bench):
    assert bench.ask("POST", "/sim/v1/replay", {"bodies_path": "/nowhere"}).status_code == 400
    assert bench.ask("POST", "/sim/v1/replay", {}).status_code == 400


def test_a_list_by_ids_answers_and_counts_just_these(bench):
    made = [bench.make("/network/v2.0/networks", "network", name=name)["id"] for name in "abc"]
    bench.advance(1.0)
    bench.cloud.stats.reset()
    agent = "obsvc/0.1.0 (observer obs-1)"
    found = bench.get(f"/network/v2.0/networks?id={made[0]}&id={made[2]}&id=none", agent=agent)["networks"]
    assert [each["id"] for each in found] == [made[0], made[2]]
    (call,) = bench.cloud.stats.calls(0, 10)
    assert call.resource_ids == (made[0], made[2]) and call.resource_id is None
    assert bench.cloud.stats.fetches("observer")["gets"] == 2
    bench.get(f"/network/v2.0/networks/{made[0]}", agent="obsvc/0.1.0 (observer obs-2)")
    (doubled,) = bench.cloud.stats.fetches("observer")["doubled"]
    assert doubled["id"] == made[0] and doubled["callers"] == {"observer obs-1": 1, "observer obs-2": 1}
    bench.get("/network/v2.0/networks", agent=agent)
    assert bench.cloud.stats.fetches("observer")["gets"] == 3, "a list of everything is no fetch of each"


def test_a_list_by_ids_fails_with_a_resource_that_is_down(bench):
    network = bench.make("/network/v2.0/networks", "network", name="n")["id"]
    bench.cloud.panel.turn({"down_resources": [network]})
    assert bench.ask("GET", f"/network/v2.0/networks?id={network}").status_code == 503


def test_a_share_of_the_answers_is_429_or_503_and_never_identitys(bench):
    turn(bench, throttled_share=0.3, unavailable_share=0.3, retry_after=3)
    answers = [bench.ask("GET", "/network/v2.0/networks") for _ in range(200)]
    codes = {code: sum(each.status_code == code for each in answers) for code in (200, 429, 503)}
    assert sum(codes.values()) == 200 and min(codes.values()) > 20
    assert {each.headers["retry-after"] for each in answers if each.status_code == 429} == {"3"}
    assert bench.log_in("obsvc")
    turn(bench, throttled_share=1.0)
    assert bench.ask("GET", "/network/v2.0/networks").status_code == 429


def test_a_share_of_the_notifications_is_overtaken(bench):
    turn(bench, reordered_share=0.5, reordered_seconds=2.0)
    made = [bench.make("/network/v2.0/networks", "network", name=str(number))["id"] for number in range(20)]
    bench.advance(3.0)
    seen = [inner["payload"]["network"]["id"] for _, _, inner in bench.sent
            if inner["event_type"] == "network.create.end"]
    assert sorted(seen) == sorted(made) and seen != made
    assert 0 < bench.cloud.notifier.counts.reordered < 40


# lists


@pytest.mark.parametrize("path, key", [
    ("/volume/v3/volumes", "volume"), ("/network/v2.0/networks", "network"), ("/sim/v1/resources", "resource"),
    ("/image/v2/images", None),
])
def test_a_list_that_is_cut_off_links_to_its_next_page(bench, path, key):
    for name in ("one", "two", "three"):
        if key is None:
            bench.ask("POST", path, {"name": name, "disk_format": "raw", "container_format": "bare"})
        else:
            bench.make(path, key, name=name, **({"size": 1} if key == "volume" else {}))
    bench.advance(5)
    plural = f"{key or 'image'}s"
    path += "/detail" if key == "volume" else ""
    whole = [each["id"] for each in bench.get(path)[plural]]
    found, query = [], {"limit": "2"}
    while query is not None:
        body = bench.get(f"{path}?{urlencode(query)}")
        assert len(body[plural]) <= 2
        found += [each["id"] for each in body[plural]]
        query = pages.next_query(query, body, plural)
    assert found == whole and len(found) >= 3


def test_every_visibility_of_images_can_be_listed(bench):
    assert bench.get("/image/v2/images?visibility=all")["images"] == bench.get("/image/v2/images")["images"] != []
