"""The cloud as plugins see it: ids for names, and requests that end in time."""
from __future__ import annotations

import pytest

from obsvc.process.clock import ManualClock
from obsvc.worker.clients import CloudClients
from obsvc.worker.plugins import base
from tests.support.worker_jobs import job


class Sessions:
    def __init__(self, *pages):
        self.pages = list(pages)

    def regions(self):
        return ["R2", "R1"]

    def adapter(self, region, service_type, aliases=()):
        return self

    def get_endpoint(self):
        return "http://h/image"

    def request(self, path, method, **more):
        self.asked, self.more = path, more
        body = self.pages.pop(0)

        class Response:
            status_code, headers, content, text = 200, {}, b"x", ""

            def json(self):
                return body

        return Response()


def test_names_are_looked_up_once_and_forgotten_after_a_minute():
    clock = ManualClock()
    sessions = Sessions({"images": [{"id": "a", "name": "cirros"}]}, {"images": [{"id": "b", "name": "cirros"}]})
    clients = CloudClients(sessions, clock=clock)
    assert [clients.find_id("R1", "image", "cirros") for _ in range(2)] == ["a", "a"]
    assert sessions.asked == "/v2/images"
    clock.advance(61)
    assert clients.find_id("R1", "image", "cirros") == "b"
    assert clients.region(job()) == "R1" and clients.region(job(region="X")) == "X"


@pytest.mark.parametrize(("listed", "message"), [
    ([], "none was found"), ([{"id": "a", "name": "i"}, {"id": "b", "name": "i"}], "2 have that name"),
])
def test_a_name_must_name_one_thing(listed, message):
    with pytest.raises(base.ActionFailed, match=message):
        CloudClients(Sessions({"images": listed})).find_id("R", "image", "i")


def test_the_bound_reaches_the_request_and_names_found_are_shared():
    sessions = Sessions({"images": [{"id": "a", "name": "cirros"}]}, {})
    clients = CloudClients(sessions)
    assert clients.within(3.0).find_id("R1", "image", "cirros") == "a" and sessions.more["timeout"] == 3.0
    assert clients.find_id("R1", "image", "cirros") == "a"
    clients.call("R1", "compute", "GET", "/servers")
    assert "timeout" not in sessions.more
