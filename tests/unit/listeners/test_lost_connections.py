"""What a lost connection leaves behind: nothing that grows, and nothing that writes to others' descriptors."""
import os
import threading
import types

import pytest

from obsvc.engine_client.reports import DeadLetter
from obsvc.exceptions import Unavailable
from obsvc.listeners import dead_letter_sender, listener
from obsvc.listeners.dead_letter_sender import DeadLetterSender
from obsvc.messaging import consumer
from tests.fuzz.run import _Connection


class Delivery:
    def __init__(self):
        self.settled = False

    def settle(self):
        self.settled = True


def letter(reason):
    return DeadLetter(bus="main", reason=reason, detail="", received_at=0.0)


def test_letters_of_a_lost_connection_are_forgotten(monkeypatch):
    """While the engine is away and the broker flaps, each connection brings the same messages again."""
    monkeypatch.setattr(dead_letter_sender, "_RETRY", 0.01)
    tried, away, stored = threading.Event(), True, []

    def bury(one):
        tried.set()
        if away:
            raise Unavailable("away")
        stored.append(one.reason)

    buried = DeadLetterSender("main", bury)
    buried.start()
    old = [Delivery() for _ in range(10)]
    for delivery in old:
        buried.put(letter("old"), delivery)
    assert tried.wait(10)
    buried.forget()
    assert buried.waiting == 0
    away = False
    fresh = threading.Event()
    buried.put(letter("new"), types.SimpleNamespace(settle=fresh.set))
    assert fresh.wait(10)
    buried.stop()
    assert buried.join(10)
    assert stored[-1] == "new" and stored.count("old") <= 1  # the one under way may have been stored


def test_a_paused_consumer_takes_nothing():
    connection = _Connection()
    made = consumer.consume(connection, "q", lambda message: None, 10, take=False)
    assert connection.made.callback is None
    made.resume()
    assert connection.made.callback is not None
    made.close()
    connection.close()


def test_wake_never_writes_to_a_descriptor_that_was_closed(monkeypatch):
    connection = _Connection()
    made = consumer.consume(connection, "q", lambda message: None, 10)
    closed, written, close = [], [], os.close

    def closing(descriptor):
        close(descriptor)
        closed.append(descriptor)
        waker = threading.Thread(target=made.wake)  # as the thread that settles may, at just this moment
        waker.start()
        waker.join(0.05)

    monkeypatch.setattr(consumer.os, "close", closing)
    monkeypatch.setattr(consumer.os, "write", lambda descriptor, data: written.append(descriptor))
    made.close()
    monkeypatch.undo()
    connection.close()
    assert closed and not set(written) & set(closed)


@pytest.mark.parametrize("part", ["decode", "sink"])
def test_the_error_of_a_bug_is_logged_without_what_it_quotes(part, caplog):
    secret = "hunter2-hunter2"
    decoder = types.SimpleNamespace(decode=lambda body, **_: fail() if part == "decode" else notification())

    def fail(*_):
        raise ValueError(f"can't take {secret}")

    def notification():
        return types.SimpleNamespace(family="unversioned", event_type="x", guessed=False)

    made = listener.BusListener(
        listener.BusSettings("main", "amqp://a:b@127.0.0.1:1//"), "obs", decoder,
        listener.Receiver(fail, on_gap=lambda *_: None, store_dead_letter=lambda _: None),
    )
    made._arrived(listener.ReceivedMessage(b"x", 1, "nova", "notifications.info"))
    assert ("decoding failed" if part == "decode" else "could not be taken in") in caplog.text
    assert "ValueError at" in caplog.text and secret not in caplog.text
    assert made._dead_letters.waiting == 1
