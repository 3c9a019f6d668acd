"""The HTTP carrier's promises about failures, against a pool that plays them."""
from __future__ import annotations

import msgspec
import pytest
import urllib3
from urllib3 import exceptions as http_errors

from obsvc.conf import load
from obsvc.engine_client import contract, from_conf, jobs, observations, stacks
from obsvc.engine_client.contract import Empty, EngineInfo, ErrorBody, ErrorReply
from obsvc.engine_client.http import HttpEngine
from obsvc.exceptions import (
    ConfigError,
    Conflict,
    FeedTruncated,
    Forbidden,
    IncompatibleContract,
    InvalidInput,
    ObsvcError,
    Unavailable,
    UndecodableMessage,
)

A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"
INFO = EngineInfo(1, 1, "db", 1024, 5.0, 30.0, 10.0)
STACK = stacks.StackCreate("s", "template")


class Answer:
    def __init__(self, status: int, body: object) -> None:
        self.status = status
        self.data = body if isinstance(body, bytes) else msgspec.json.encode(body)


class PlayedPool:
    """Answers each request with the next of ``script``: an Answer or an exception."""

    def __init__(self, *script: object) -> None:
        self.script = list(script)
        self.asked: list[str] = []
        self.kwargs: list[dict] = []

    def request(self, method: str, url: str, **kwargs: object) -> Answer:
        assert method == "POST"
        self.asked.append(url)
        self.kwargs.append(kwargs)
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step


def engine(*script: object, endpoints: tuple[str, ...] = (A, B), **options: object) -> tuple[HttpEngine, PlayedPool]:
    made = HttpEngine(endpoints, **options)
    made._pool = pool = PlayedPool(*script)
    return made, pool


def refused() -> Exception:
    return http_errors.NewConnectionError(None, "refused")


def closed() -> Exception:
    return http_errors.ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))


def silent() -> Exception:
    return http_errors.ReadTimeoutError(None, A, "silence")


def error(status: int, code: str, message: str = "why") -> Answer:
    return Answer(status, ErrorReply(ErrorBody(code, message)))


def test_every_operation_is_posted_to_its_own_path_and_decoded():
    made, pool = engine(Answer(200, INFO), user_agent="obsvc/1 (observer o)", username="u", password="pä")
    assert made.info(Empty()) == INFO
    assert pool.asked == [f"{A}/v1/info"]
    headers = pool.kwargs[0]["headers"]
    assert headers["User-Agent"] == "obsvc/1 (observer o)"
    assert headers["Authorization"] == "Basic dTpww6Q="
    for name in contract.OPERATIONS:
        assert callable(getattr(made, name))


def test_a_refused_connection_moves_on_and_the_endpoint_that_answers_is_kept():
    made, pool = engine(refused(), Answer(200, INFO), Answer(200, INFO))
    made.info(Empty())
    made.info(Empty())
    assert pool.asked == [f"{A}/v1/info", f"{B}/v1/info", f"{B}/v1/info"]
    assert made.endpoint == B


def test_a_connection_closed_under_way_is_sent_once_more_to_the_same_endpoint():
    made, pool = engine(closed(), Answer(200, INFO))
    assert made.info(Empty()) == INFO
    assert pool.asked == [f"{A}/v1/info"] * 2


def test_a_connection_closed_twice_moves_on_and_then_gives_up_naming_every_endpoint():
    made, pool = engine(closed(), closed(), closed(), closed())
    with pytest.raises(Unavailable) as raised:
        made.info(Empty())
    assert pool.asked == [f"{A}/v1/info"] * 2 + [f"{B}/v1/info"] * 2
    assert A in str(raised.value) and B in str(raised.value) and "reset by peer" in str(raised.value)


@pytest.mark.parametrize("failure", [closed(), error(503, "unavailable"), silent()])
def test_a_stack_is_never_created_twice(failure):
    made, pool = engine(failure)
    with pytest.raises(Unavailable):
        made.create_stack(STACK)
    assert len(pool.asked) == 1


def test_a_stack_whose_request_never_left_goes_to_the_next_endpoint():
    made, pool = engine(refused(), error(409, "conflict"))
    with pytest.raises(Conflict):
        made.create_stack(STACK)
    assert pool.asked == [f"{A}/v1/create_stack", f"{B}/v1/create_stack"]


def test_a_silent_endpoint_costs_one_timeout_and_the_next_call_goes_elsewhere():
    made, pool = engine(silent(), Answer(200, INFO))
    with pytest.raises(Unavailable, match="no answer within 10 s"):
        made.info(Empty())
    made.info(Empty())
    assert pool.asked == [f"{A}/v1/info", f"{B}/v1/info"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_engine_that_can_not_now_is_left_for_the_next(status):
    made, pool = engine(error(status, "unavailable", "database away"), Answer(200, INFO))
    assert made.info(Empty()) == INFO
    assert len(pool.asked) == 2


def test_all_away_is_one_line_with_each_reason():
    made, _ = engine(error(503, "unavailable", "database away"), refused())
    with pytest.raises(Unavailable) as raised:
        made.info(Empty())
    assert "database away" in str(raised.value) and "no connection" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_internal_error_is_unavailable_and_stays_there():
    made, pool = engine(error(500, "internal", "oops"))
    with pytest.raises(Unavailable, match="oops"):
        made.info(Empty())
    assert len(pool.asked) == 1


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (400, "invalid_input", InvalidInput),
        (409, "conflict", Conflict),
        (410, "version_too_old", FeedTruncated),
        (412, "incompatible_contract", IncompatibleContract),
        (400, "undecodable_message", UndecodableMessage),
        (418, "of_a_later_version", ObsvcError),
    ],
)
def test_errors_come_back_as_their_classes(status, code, cls):
    made, pool = engine(error(status, code, "the engine's words"))
    with pytest.raises(cls, match="the engine's words") as raised:
        made.info(Empty())
    assert type(raised.value) is cls and raised.value.code == code
    assert len(pool.asked) == 1


@pytest.mark.parametrize(
    ("status", "cls"), [(401, Forbidden), (404, IncompatibleContract), (302, IncompatibleContract)]
)
def test_answers_that_no_engine_gives_say_what_to_check(status, cls):
    made, _ = engine(Answer(status, b"<html>"))
    with pytest.raises(cls, match="check"):
        made.info(Empty())


def test_a_reply_of_another_shape_is_an_incompatible_contract():
    made, _ = engine(Answer(200, b"<html>hello"))
    with pytest.raises(IncompatibleContract, match="EngineInfo"):
        made.info(Empty())


def test_a_long_poll_waits_for_its_wait_and_the_timeout():
    made, pool = engine(Answer(200, jobs.JobClaimReply(())), Answer(200, INFO), timeout=4.0)
    made.claim_jobs(jobs.JobClaimRequest("w", ("t",), wait=20.0))
    made.info(Empty())
    reads = [kwargs["timeout"].read_timeout for kwargs in pool.kwargs]
    assert reads == [24.0, 4.0]
    assert pool.kwargs[0]["timeout"].connect_timeout == 3.0


def test_a_request_of_another_operation_is_refused_before_it_is_sent():
    made, pool = engine()
    with pytest.raises(InvalidInput, match="Empty"):
        made.info(observations.PartitionsRequest())
    assert pool.asked == []


@pytest.mark.parametrize("endpoints", [(), ("127.0.0.1:9190",), ("ftp://x",), ("http://",)])
def test_endpoints_are_checked(endpoints):
    with pytest.raises(ConfigError, match="endpoints"):
        HttpEngine(endpoints)


def test_a_missing_bundle_is_named():
    with pytest.raises(ConfigError, match="/nowhere/ca.pem"):
        HttpEngine([A], cafile="/nowhere/ca.pem")


def test_from_conf_takes_the_carrier_by_name(tmp_path):
    conf = load(config_files=[])
    conf.set_override("endpoints", [B + "/"], "engine_client")
    made = from_conf(conf, "obsvc/1 (api a)")
    assert isinstance(made, HttpEngine) and made.endpoint == B
    conf.set_override("carrier", "pigeon", "engine_client")
    with pytest.raises(ConfigError, match="http.*pigeon"):
        from_conf(conf, "x")


def test_the_pool_is_a_real_urllib3_one():
    assert isinstance(HttpEngine([A])._pool, urllib3.PoolManager)
