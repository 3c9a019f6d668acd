"""How the client library asks and what it makes of answers, over a pool that is not there."""
import json

import pytest
import urllib3

from obsvc.api_types import Stack
from obsvc.client import Client, auth
from obsvc.client.transport import Transport
from obsvc.exceptions import ConfigError, Conflict, NotFound, ObsvcError, TooManyRequests, Unavailable


class Answer:
    def __init__(self, status, body, **headers):
        self.status, self.headers = status, {name.replace("_", "-"): value for name, value in headers.items()}
        self.data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def read(self, cache_content):
        return self.data


class Pool:
    """Answers in order; an exception is raised."""

    def __init__(self, *answers):
        self.answers, self.sent = list(answers), []

    def request(self, method, url, **options):
        self.sent.append((method, url, options))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client(*answers, kind=Client, **options):
    made = kind("http://api:9193/", **options)
    made._pool = Pool(*answers)
    return made


def error(status, code, message="no", **headers):
    return Answer(status, {"error": {"code": code, "message": message}}, **headers)


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="api-url"):
        Transport("api:9193")


def test_what_is_none_is_no_parameter_and_names_are_quoted():
    made = client(Answer(200, {"partitions": []}), Answer(404, {}))
    assert made.partitions(differs=True) == ()
    assert made._pool.sent[0][:2] == ("GET", "http://api:9193/v1/partitions?differs=true")
    with pytest.raises(ObsvcError):
        made.stack("a/b c")
    assert made._pool.sent[1][1] == "http://api:9193/v1/stacks/a%2Fb%20c"


def test_an_error_is_of_the_class_that_its_code_names():
    for answer, kind in ((error(404, "not_found"), NotFound), (error(409, "conflict"), Conflict)):
        with pytest.raises(kind, match="no"):
            client(answer).stack("x")
    with pytest.raises(TooManyRequests) as caught:
        client(error(429, "too_many_requests", Retry_After="7")).stack("x")
    assert caught.value.retry_after == 7


def test_an_answer_of_something_else_is_told_with_its_status():
    with pytest.raises(Unavailable, match="502"):
        client(Answer(502, b"<html>bad gateway</html>")).stack("x")
    with pytest.raises(ObsvcError, match="check the URL"):
        client(Answer(200, b"<html>hello</html>")).stack("x")


def test_an_api_that_can_not_be_reached_is_unavailable():
    with pytest.raises(Unavailable, match="can't be reached"):
        client(urllib3.exceptions.ProtocolError("refused")).stack("x")


def test_a_listing_goes_on_until_there_is_no_marker():
    rows = [{"stack_id": name, "name": name, "status": "CREATE_COMPLETE", "created_at": 0, "updated_at": 0}
            for name in "abc"]
    made = client(Answer(200, {"stacks": rows[:2], "marker": "b"}), Answer(200, {"stacks": rows[2:], "marker": None}))
    found = list(made.stacks())
    assert [stack.name for stack in found] == ["a", "b", "c"] and isinstance(found[0], Stack)
    assert "marker=b" in made._pool.sent[1][1]


class Renewing:
    """A token that is renewed once."""

    def __init__(self):
        self.token = "old"

    def headers(self):
        return {"X-Auth-Token": self.token}

    def renew(self):
        renewed, self.token = self.token == "old", "new"
        return renewed


def test_after_a_401_a_new_token_is_tried_once():
    made = client(error(401, "unauthorized"), Answer(204, b""), auth=Renewing())
    made.stop_selector("x")
    assert [options["headers"]["X-Auth-Token"] for _, _, options in made._pool.sent] == ["old", "new"]
    made = client(error(401, "unauthorized"), error(401, "unauthorized"), auth=Renewing())
    with pytest.raises(ObsvcError):
        made.stop_selector("x")
    assert len(made._pool.sent) == 2


def test_who_the_options_say_that_one_is():
    assert auth.from_options(token="t", user="a:b").headers() == {"X-Auth-Token": "t"}
    assert auth.from_options(user="a:b").headers() == {"Authorization": "Basic YTpi"}
    assert auth.from_options().headers() == {} and not auth.from_options(token="t").renew()
    with pytest.raises(ConfigError, match="NAME:PASSWORD"):
        auth.from_options(user="a")
