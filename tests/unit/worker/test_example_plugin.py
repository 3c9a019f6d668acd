"""The plugin of docs/plugins.md, as it stands there: it keeps the contract, and is found by its entry point."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest

from obsvc.engine_client.jobs import Action
from obsvc.worker.clients import CloudClients
from obsvc.worker.plugins.base import ActionFailed, Created, Deleting, Gone
from obsvc.worker.runner import run
from tests.support.scenarios.example_plugin import installed, source
from tests.support.worker_cloud import MARKER, Cloud, job

FIND = """
from obsvc.engine.templates.hot import known_types
from obsvc.worker.app import load_plugins
print(load_plugins()["Example::Note"].resource_type, "Example::Note" in known_types())
"""


class Asked(Exception):
    """Which service a call went to."""


@pytest.fixture
def note():
    names: dict = {}
    exec(source("python"), names)
    return names["Note"]()


def test_workers_and_engines_find_it_by_its_entry_point(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", FIND], env={**os.environ, **installed(tmp_path)}, capture_output=True, text=True,
        timeout=60, check=True)
    assert told.stdout.split() == ["sim.resource", "True"]


def test_a_create_carries_the_marker_and_is_confirmed_first(note):
    cloud = Cloud({("POST", "/resources"): {"resource": {"id": "n1"}}})
    made = note.handle_create(job(properties={"text": "hello"}), cloud, cloud.confirm)
    assert isinstance(made, Created) and made.ref.resource_id == "n1" and made.ref.resource_type == "sim.resource"
    confirmed, (method, path, body, _) = cloud.asked
    assert (confirmed, method, path) == ("confirm", "POST", "/resources")
    assert body["resource"]["metadata"] == {"obsvc_marker": MARKER}
    assert body["resource"]["properties"] == {"text": "hello"}


def test_a_later_attempt_adopts_what_an_earlier_one_made(note):
    listed = {"resources": [{"id": "n0", "metadata": {}}, {"id": "n1", "metadata": {"obsvc_marker": MARKER}}]}
    cloud = Cloud({("GET", "/resources"): listed})
    made = note.handle_create(job(attempt=2, properties={"text": "hello"}), cloud, cloud.confirm)
    assert made.adopted and made.ref.resource_id == "n1"


def test_text_is_changed_in_place_and_colour_is_not(note):
    assert note.needs_replacement({"text": "a", "colour": "red"}, {"text": "b", "colour": "red"}) == ()
    assert note.needs_replacement({"text": "a"}, {"text": "a", "colour": "red"}) == ("colour",)
    cloud = Cloud({("PUT", "/resources/n1"): {}})
    note.handle_update(job(action=Action.UPDATE, resource_id="n1", properties={"text": "b"}), cloud)
    assert cloud.asked == [("PUT", "/resources/n1", {"resource": {"properties": {"text": "b"}}}, None)]


def test_a_delete_without_an_id_looks_for_the_marker(note):
    cloud = Cloud({("GET", "/resources"): {"resources": [{"id": "n1", "metadata": {"obsvc_marker": MARKER}}]},
                   ("DELETE", "/resources/n1"): {}})
    assert isinstance(note.handle_delete(job(action=Action.DELETE), cloud), Deleting)
    nothing = Cloud({("GET", "/resources"): {"resources": []}})
    assert note.handle_delete(job(action=Action.DELETE), nothing) == Gone()


@pytest.mark.parametrize("properties", [{}, {"text": 1}, {"text": "a", "size": 3}])
def test_wrong_properties_are_refused_before_anything_is_sent(note, properties):
    cloud = Cloud()
    with pytest.raises(ActionFailed):
        note.handle_create(job(properties=properties), cloud, cloud.confirm)
    told = run(job(type="Example::Note", properties=properties), {"Example::Note": note}, cloud, cloud.confirm)
    assert not told.retriable and "Example::Note" in told.error and cloud.asked == []


def test_a_service_of_a_third_party_is_called_by_its_type():
    class Sessions:
        def adapter(self, region, service_type, aliases=()):
            raise Asked(service_type)

    with pytest.raises(Asked, match="kiosk"):
        CloudClients(Sessions()).call("RegionOne", "kiosk", "GET", "/booths")
