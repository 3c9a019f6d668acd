"""Markers: how what a create made carries its node's, and is known by it."""
from __future__ import annotations

import pytest

from obsvc.worker.plugins import markers
from tests.support.worker_cloud import MARKER, NODE, job


@pytest.mark.parametrize("text", [None, "", "of mine", "two  words\nand a line"])
def test_a_description_carries_the_marker_behind_the_users_own_text(text):
    description = markers.marker_description(job(), text)
    assert description.startswith((text or "").strip()) and markers.in_description(job(), description)


@pytest.mark.parametrize("text", [None, "", 7, f"{MARKER}0", f"x{MARKER}", f"{MARKER}."])
def test_another_text_does_not(text):
    assert not markers.in_description(job(), text)


def test_metadata_carries_it_under_a_name_of_its_own():
    assert markers.in_metadata(job(), {"mine": "x", **markers.marker_metadata(job())})
    assert not markers.in_metadata(job(marker="other"), markers.marker_metadata(job()))


@pytest.mark.parametrize("metadata", [None, {}, [], "obsvc_marker", {"obsvc_marker": None}])
def test_other_metadata_does_not(metadata):
    assert not markers.in_metadata(job(), metadata)


@pytest.mark.parametrize(("properties", "name"), [
    ({"name": "web"}, "web"), ({}, f"shop-web-{NODE[-8:]}"), ({"name": ""}, f"shop-web-{NODE[-8:]}"),
    ({"name": 5}, f"shop-web-{NODE[-8:]}")])
def test_a_resource_has_the_name_of_its_property_or_one_that_tells_it_from_others(properties, name):
    assert markers.name_of(job(properties=properties)) == name
