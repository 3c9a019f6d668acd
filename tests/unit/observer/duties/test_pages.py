"""How lists are read: links to the next page in the form of each service, items, and batches without a gap."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc import catalog
from obsvc.engine_client.duties import SweepItem
from obsvc.observer.duties import pages

CATALOG = catalog.load()


@pytest.mark.parametrize("key, body", [
    ("servers", {"servers_links": [{"rel": "next", "href": "http://nova:8774/v2.1/servers/detail?limit=2&marker=m"}]}),
    ("ports", {"ports_links": [{"rel": "previous", "href": "http://x?marker=p"},
                               {"rel": "next", "href": "http://n:9696/v2.0/ports?limit=2&marker=m"}]}),
    ("images", {"next": "/v2/images?limit=2&marker=m"}),
    ("nodes", {"next": "http://ironic:6385/v1/nodes?limit=2&marker=m"}),
    ("zones", {"links": {"self": "https://dns/v2/zones", "next": "https://dns/v2/zones?limit=2&marker=m"}}),
    ("stacks", {"links": [{"rel": "next", "href": "http://heat/v1/p/stacks?limit=2&marker=m"}]}),
])
def test_the_next_page_keeps_what_its_link_leaves_out(key, body):
    assert pages.next_query({"all_tenants": "1", "limit": "2"}, body, key) == {
        "all_tenants": "1", "limit": "2", "marker": "m"}


@pytest.mark.parametrize("body", [
    {}, [], {"next": None}, {"servers_links": []}, {"links": {"next": None, "self": "x"}}, {"links": []},
    {"servers_links": [{"rel": "previous", "href": "x?marker=m"}]}, {"links": "odd"},
])
def test_without_a_link_it_was_the_last(body):
    assert pages.next_query({}, body, "servers") is None


def test_queries_of_each_service():
    listed = {name: pages.first_query(CATALOG.types[name].listing, "2026-01-01T00:00:00")
              for name in ("compute.server", "image.image", "block_storage.volume", "network.port", "identity.project")}
    assert listed == {
        "compute.server": {"all_tenants": "1", "limit": "1000", "changes-since": "2026-01-01T00:00:00"},
        "image.image": {"visibility": "all", "limit": "1000", "updated_at": "gte:2026-01-01T00:00:00"},
        "block_storage.volume": {"all_tenants": "1", "limit": "1000", "updated_at": "gte:2026-01-01T00:00:00"},
        "network.port": {"limit": "1000", "changed_since": "2026-01-01T00:00:00Z"},
        "identity.project": {},
    }


def test_a_page_that_may_be_cut_off_is_not_taken_for_all():
    servers, projects = CATALOG.types["compute.server"].listing, CATALOG.types["identity.project"].listing
    assert pages.cut_off({}, 1000, servers)
    assert not pages.cut_off({}, 999, servers)
    assert pages.cut_off({"truncated": True}, 3, projects)
    assert pages.cut_off({}, 1000, projects)


def test_items_of_a_page():
    server = {"id": "s1", "status": "DELETED", "updated": "2026-01-01T00:00:00Z"}
    assert list(pages.items(CATALOG.types["compute.server"], [server], 5.0)) == [
        SweepItem("s1", "DELETED", "2026-01-01T00:00:00Z", True, 5.0)]
    secret = {"secret_ref": "https://barbican/v1/secrets/abc", "status": "ACTIVE"}
    [item] = pages.items(CATALOG.types["key_manager.secret"], [secret], 5.0)
    assert item.resource_id == "abc"
    for odd in ({}, {"id": ""}, {"id": None}, "text", None):
        with pytest.raises(ValueError):
            list(pages.items(CATALOG.types["compute.server"], [odd], 5.0))


@given(st.lists(st.text(min_size=1, max_size=3), max_size=40), st.integers(1, 7))
def test_batches_cover_every_id_once_and_every_place_once(ids, size):
    cut = list(pages.batches([SweepItem(each, None, None, False, 0.0) for each in ids], size=size))
    assert [item.resource_id for batch, _, _ in cut for item in batch] == sorted(set(ids))
    assert (cut[0][1], cut[-1][2]) == (None, None)
    for (_, _, upto), (_, after, _) in zip(cut, cut[1:], strict=False):
        assert upto == after is not None
    for batch, after, upto in cut:
        assert len(batch) <= size
        assert all((after is None or item.resource_id > after) and (upto is None or item.resource_id <= upto)
                   for item in batch)
