"""What gunicorn refuses by itself has the one shape of errors."""
import json

from gunicorn.http import errors

from obsvc.exceptions import HeadersTooLarge, InvalidInput, UriTooLong
from obsvc.web.serving import long_poll_slots
from obsvc.web.worker import answer, refusal


def test_which_errors_are_the_clients():
    assert isinstance(refusal(errors.LimitRequestLine(9000, 8190)), UriTooLong)
    assert isinstance(refusal(errors.LimitRequestHeaders("too many")), HeadersTooLarge)
    assert isinstance(refusal(errors.InvalidRequestLine("GARBAGE")), InvalidInput)


def test_which_errors_are_ours():
    assert refusal(errors.InvalidResponseHeader("x")) is None
    assert refusal(RuntimeError("in a middleware")) is None


def test_a_refusal_is_a_whole_answer():
    head, _, body = answer(UriTooLong("expected less")).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith("HTTP/1.1 414 ")
    assert f"Content-Length: {len(body)}" in lines and "Connection: close" in lines
    error = json.loads(body)["error"]
    assert error["message"] == "expected less"
    assert f"X-Openstack-Request-Id: {error['request_id']}" in lines


def test_long_polls_leave_some_threads_free():
    assert [long_poll_slots(threads) for threads in (1, 4, 16, 64)] == [1, 1, 13, 56]
