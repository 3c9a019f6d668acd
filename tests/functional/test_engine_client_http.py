"""The HTTP carrier against a real engine process: conformance on each database, restarts, a second endpoint."""
from __future__ import annotations

import socket
import threading

import pytest

from obsvc.engine_client import conformance
from obsvc.engine_client.contract import Empty
from obsvc.engine_client.http import HttpEngine
from obsvc.engine_client.ownership import FollowReply, FollowRequest
from obsvc.exceptions import Unavailable
from obsvc.model import MemberId
from tests.support.processes.engine_process import EngineProcess
from tests.support.processes.servers import free_port

BOUND = 30.0


def test_the_engine_conforms_over_http_on_every_database(database_url):
    with EngineProcess(database_url) as process:
        engine = HttpEngine([process.url], timeout=BOUND)
        for check in conformance.CHECKS:
            check(engine)


@pytest.fixture
def process(tmp_path):
    with EngineProcess(f"sqlite:///{tmp_path / 'obsvc.sqlite'}") as process:
        yield process


def test_a_kept_connection_that_the_server_closed_is_no_error(process):
    engine = HttpEngine([process.url], timeout=BOUND)
    before = engine.info(Empty())
    process.kill()
    process.start()
    assert engine.info(Empty()).database_id == before.database_id


def test_a_connection_closed_instead_of_an_answer_is_sent_again_but_not_a_second_time():
    """A server that reads each request and hangs up."""
    requests = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def serve() -> None:
            while True:
                try:
                    taken, _ = listening.accept()
                except OSError:
                    return
                with taken:
                    requests.append(taken.recv(65536))

        threading.Thread(target=serve, daemon=True).start()
        engine = HttpEngine([f"http://127.0.0.1:{listening.getsockname()[1]}"], timeout=BOUND)
        with pytest.raises(Unavailable, match="connection lost"):
            engine.info(Empty())
        listening.shutdown(socket.SHUT_RDWR)
    assert len(requests) == 2


def test_the_second_endpoint_answers_when_the_first_is_gone_and_is_kept(process):
    gone = f"http://127.0.0.1:{free_port()}"
    engine = HttpEngine([gone, process.url], timeout=BOUND)
    engine.info(Empty())
    assert engine.endpoint == process.url
    process.stop()
    with pytest.raises(Unavailable) as raised:
        engine.info(Empty())
    assert gone in str(raised.value) and process.url in str(raised.value)


def test_many_threads_share_one_carrier_and_long_polls_hold_up_nobody(process):
    engine = HttpEngine([process.url], timeout=BOUND)
    member = MemberId("m", "1")
    replies: list[object] = []

    def poll() -> None:
        replies.append(engine.follow(FollowRequest(member, (), wait=1.0)))

    threads = [threading.Thread(target=poll) for _ in range(16)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        engine.info(Empty())
    for thread in threads:
        thread.join(BOUND)
    assert replies == [FollowReply()] * 16
