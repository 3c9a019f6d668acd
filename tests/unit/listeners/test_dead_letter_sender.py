"""Dead letters: settled when stored, kept while the engine is away, never stuck on one that it refuses."""
import threading

from obsvc.engine_client.reports import DeadLetter
from obsvc.exceptions import InvalidInput, Unavailable
from obsvc.listeners import dead_letter_sender
from obsvc.listeners.dead_letter_sender import DeadLetterSender


class Delivery:
    def __init__(self):
        self.settled = threading.Event()

    def settle(self):
        self.settled.set()


def letter(reason):
    return DeadLetter(bus="main", reason=reason, detail="", received_at=0.0)


def test_away_is_tried_again_and_refused_is_settled(monkeypatch):
    monkeypatch.setattr(dead_letter_sender, "_RETRY", 0.01)
    calls = []

    def bury(one):
        calls.append(one.reason)
        if one.reason == "refused":
            raise InvalidInput("no")
        if calls.count("first") < 3:
            raise Unavailable("away")

    buried = DeadLetterSender("main", bury)
    first, refused, last = Delivery(), Delivery(), Delivery()
    buried.put(letter("first"), first)
    buried.put(letter("refused"), refused)
    buried.put(letter("last"), last)
    buried.start()
    for delivery in (first, refused, last):
        assert delivery.settled.wait(10)
    assert calls == ["first", "first", "first", "refused", "last"]
    buried.stop()
    assert buried.join(10)


def test_of_many_that_wait_only_the_first_keep_their_bodies(monkeypatch):
    monkeypatch.setattr(dead_letter_sender, "WHOLE_KEPT", 2)
    stored = []
    buried = DeadLetterSender("main", stored.append)
    deliveries = [Delivery() for _ in range(4)]
    for delivery in deliveries:
        buried.put(DeadLetter(bus="main", reason="x", detail="why", received_at=0.0, body="b"), delivery)
    buried.start()
    for delivery in deliveries:
        assert delivery.settled.wait(10)
    assert [one.body for one in stored] == ["b", "b", "", ""]
    assert stored[0].detail == "why" and stored[3].detail.startswith("why (one of more than 2")
    buried.stop()
    assert buried.join(10)


def test_it_ends_also_when_its_connection_is_lost_at_that_moment():
    """A listener that stops tells its dead-letter sender to end, and then that the connection is gone."""
    for _ in range(50):
        buried = DeadLetterSender("main", lambda letter: None)
        buried.start()
        buried.stop()
        buried.forget()
        assert buried.join(10)
