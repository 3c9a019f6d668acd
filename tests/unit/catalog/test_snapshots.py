"""From a service's answer to a snapshot."""
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.catalog import load
from obsvc.catalog.snapshots import snapshot
from obsvc.model import Condition
from tests.support.shared_data import SHARED

TYPES = load().types
SERVER = TYPES["compute.server"]


def body(**changes):
    return {"id": "u", "name": "n", "status": "ACTIVE", "tenant_id": "p", "updated": "2026-01-01T00:00:00Z",
            "OS-EXT-STS:task_state": None, "OS-EXT-STS:vm_state": "active", "flavor": {"id": "f"}, **changes}


def test_what_a_server_says():
    found = snapshot(SERVER, body(), fetched_at=5.0, request_id="req-1")
    assert (found.exists, found.condition, found.status, found.settled) == (True, Condition.ACTIVE, "ACTIVE", True)
    assert (found.project_id, found.name, found.updated_at) == ("p", "n", "2026-01-01T00:00:00Z")
    assert (found.fetched_at, found.request_id) == (5.0, "req-1")
    assert found.attributes["flavor.id"] == "f" and "id" not in found.attributes


@pytest.mark.parametrize(
    ("status", "task", "condition", "settled"),
    [
        ("SHUTOFF", None, Condition.ACTIVE, True),
        ("VERIFY_RESIZE", None, Condition.ACTIVE, True),
        ("ACTIVE", "powering-off", Condition.PENDING, False),
        ("REBOOT", "rebooting", Condition.PENDING, False),
        ("BUILD", None, Condition.PENDING, False),
        ("ERROR", None, Condition.ERROR, True),
        ("DELETED", None, Condition.DELETED, True),
        ("BRAND_NEW", None, Condition.UNKNOWN, True),
        ("active", "", Condition.ACTIVE, True),
    ],
)
def test_statuses(status, task, condition, settled):
    found = snapshot(SERVER, body(status=status, **{"OS-EXT-STS:task_state": task}))
    assert (found.condition, found.settled) == (condition, settled)
    assert found.exists is (condition is not Condition.DELETED)


def test_error_has_the_services_own_reason():
    assert snapshot(SERVER, body(status="ERROR", fault={"message": "no host"})).status_reason == "no host"


def test_type_without_statuses_exists_as_active():
    found = snapshot(TYPES["network.subnet"], {"id": "s", "name": "n", "project_id": "p"})
    assert (found.condition, found.status, found.settled) == (Condition.ACTIVE, None, True)


@given(st.dictionaries(st.sampled_from(["status", "name", "fault", "flavor", "tenant_id", "OS-EXT-STS:task_state"]),
                       st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
       | st.none() | st.lists(st.text()) | st.text())
def test_any_answer_gives_a_snapshot(answer):
    assert snapshot(SERVER, answer).fetched_at == 0.0


if SHARED is not None:

    def test_the_answers_of_a_real_nova_are_all_understood():
        lines = (SHARED / "captured" / "api" / "nova-server-life.bodies.jsonl").read_text().splitlines()
        bodies = [json.loads(line) for line in lines]
        seen = [snapshot(SERVER, entry["server"]) for entry in bodies if entry.get("server")]
        assert seen and all(found.condition is not Condition.UNKNOWN for found in seen)
        settled = [found.status for found in seen if found.settled]
        assert {"ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED", "VERIFY_RESIZE"} <= set(settled)
