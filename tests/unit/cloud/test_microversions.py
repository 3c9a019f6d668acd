"""An older service is asked for the newest microversion that it takes."""
import json

import pytest
import requests

from obsvc.cloud import microversions
from obsvc.process.clock import ManualClock
from tests.support.cloud_sessions import Auth, sessions_with

ROOT = "http://node/v1"


class Service:
    """Takes microversions up to ``newest`` (None: it knows of none); notes what it was asked for."""

    def __init__(self, newest, *, document=True):
        self.newest, self.document, self.asked, self.documents = newest, document, [], 0

    def request(self, _session, method, url, headers=None, **_):
        answer = requests.Response()
        answer.url, answer.status_code, answer.request = url, 200, requests.Request(method, url).prepare()
        answer._content = b"{}"
        if "/nodes/" not in url:
            self.documents += 1
            answer.status_code = 200 if self.document else 500
            answer.headers["Content-Type"] = "application/json"
            version = {"id": "v1", "status": "CURRENT", "links": [{"rel": "self", "href": ROOT}],
                       "version": self.newest or "", "min_version": "1.1" if self.newest else ""}
            answer._content = json.dumps({"version": version}).encode()
            return answer
        wanted = dict(headers).get("OpenStack-API-Version", "").rpartition(" ")[2]
        self.asked.append(wanted or None)
        if wanted and (self.newest is None or tuple(map(int, wanted.split("."))) > tuple(
                map(int, self.newest.split(".")))):
            answer.status_code = 406
        return answer


@pytest.fixture
def ask(monkeypatch):
    clock = ManualClock()
    sessions = sessions_with(Auth(endpoints={("R", "baremetal", "internal"): ROOT}), clock)

    def with_service(service):
        monkeypatch.setattr(requests.Session, "request",
                            lambda session, method, url, **more: service.request(session, method, url, **more))

        def get(microversion="1.58"):
            return sessions.get("R", "baremetal", "/nodes/n", microversion=microversion).status

        get.clock, get.sessions = clock, sessions
        return get

    return with_service


def test_a_service_that_knows_it_is_asked_for_what_the_catalogue_says(ask):
    service = Service("1.82")
    assert ask(service)() == 200
    assert service.asked == ["1.58"] and service.documents == 0


def test_an_older_one_is_asked_for_its_newest_from_then_on(ask):
    service = Service("1.46")
    get = ask(service)
    assert [get(), get(), get("1.30"), get(None)] == [200] * 4
    assert service.asked == ["1.58", "1.46", "1.46", "1.30", None] and service.documents == 1


@pytest.mark.parametrize("document", [True, False])
def test_one_that_names_none_is_asked_without(ask, document):
    service = Service(None, document=document)
    get = ask(service)
    assert [get(), get()] == [200, 200]
    assert service.asked == ["1.58", None, None]


def test_after_its_upgrade_it_is_asked_as_the_catalogue_says(ask):
    service = Service("1.46")
    get = ask(service)
    get()
    service.newest, service.asked = "1.82", []
    get.clock.advance(microversions.REMEMBERED)
    assert get() == 200 and service.asked == ["1.58"]
    service.newest = "1.46"
    get()
    service.newest, service.asked = "1.82", []
    get.sessions.forget("R", "baremetal")
    assert get() == 200 and service.asked == ["1.58"]


def test_one_that_refuses_what_it_names_itself_is_asked_without(ask, monkeypatch):
    service = Service("1.46")
    get = ask(service)
    monkeypatch.setattr(microversions, "_newest", lambda adapter: "1.60")
    assert get() == 200 and service.asked == ["1.58", None]
