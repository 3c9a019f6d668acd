"""What nova checks before it takes a server, and what microversions show."""
import falcon.testing
import pytest

from obsvc.process.clock import ManualClock
from obsvc.simcloud.dials import Dials, Panel
from obsvc.simcloud.faults import Fault
from obsvc.simcloud.services.nova import new_server
from obsvc.simcloud.services.nova.microversions import NEWEST, fields_of, microversion
from obsvc.simcloud.world import World


@pytest.fixture
def world():
    made = World(ManualClock(), Panel(Dials()))
    made.add("image.image", {"id": "img", "status": "active"}, project_id="p")
    made.add("image.image", {"id": "young", "status": "queued"}, project_id="p")
    made.add("network.network", {"id": "net"}, project_id="p")
    return made


def asked(**fields):
    return {"name": "web", "flavorRef": "m1.tiny", "imageRef": "img", **fields}


def test_a_request_is_checked(world):
    wanted = new_server.checked(asked(metadata={"a": 1}, networks=[{"uuid": "net"}]), world)
    assert (wanted.name, wanted.flavor.id, wanted.image_id) == ("web", "m1.tiny", "img")
    assert wanted.metadata == {"a": "1"} and wanted.networks == [{"uuid": "net"}] and wanted.volumes == []


def test_a_server_may_boot_from_a_volume(world):
    wanted = new_server.checked(asked(imageRef="", block_device_mapping_v2=[
        {"source_type": "volume", "uuid": "v", "delete_on_termination": 1}, {"source_type": "blank"}]), world)
    assert wanted.image == "" and wanted.image_id == ""
    assert wanted.volumes == [{"id": "v", "delete_on_termination": True}]


@pytest.mark.parametrize(("fields", "words"), [
    ({"name": ""}, "'name'"), ({"flavorRef": "huge"}, "Flavor huge"), ({"imageRef": "none"}, "image none"),
    ({"imageRef": "young"}, "not active"), ({"imageRef": None}, "neither an image"),
    ({"networks": [{"uuid": "gone"}]}, "Network gone"), ({"networks": [{"port": "gone"}]}, "Port gone"),
])
def test_what_is_wrong_is_a_400(world, fields, words):
    with pytest.raises(Fault, match=words) as caught:
        new_server.checked(asked(**fields), world)
    assert caught.value.status == 400


@pytest.mark.parametrize(("headers", "minor"), [
    ({}, 1), ({"OpenStack-API-Version": "compute 2.47"}, 47), ({"OpenStack-API-Version": "compute latest"}, NEWEST),
    ({"X-OpenStack-Nova-API-Version": "2.9"}, 9),
])
def test_the_microversion_that_is_asked_for(headers, minor):
    assert microversion(falcon.testing.create_req(headers=headers)) == minor


def test_a_microversion_that_there_is_not():
    for text in ("compute 2.0", f"compute 2.{NEWEST + 1}", "compute 3.1", "compute two"):
        with pytest.raises(Fault):
            microversion(falcon.testing.create_req(headers={"OpenStack-API-Version": text}))


def test_fields_come_with_their_microversion():
    body = {"id": "s", "locked": False, "tags": []}
    assert fields_of(body, 1) == {"id": "s"} and fields_of(body, 9) == {"id": "s", "locked": False}
    assert fields_of(body, 26) == body
