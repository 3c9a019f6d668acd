"""What is nobody's here is settled by a peek; and when what waits behind a stuck delivery is acknowledged."""
import types

import pytest
from prometheus_client import REGISTRY

from obsvc.catalog import load
from obsvc.listeners.decode import Decoder
from obsvc.listeners.listener import BusListener, ReceivedMessage, Receiver
from obsvc.listeners.session import STUCK_AFTER, Session
from obsvc.listeners.settings import BusSettings
from obsvc.listeners.settlement import Ledger
from obsvc.messaging import wire
from obsvc.model import Ref
from obsvc.process.clock import ManualClock
from tests.support.notifications import message

BUS = BusSettings("passing", "amqp://a:b@127.0.0.1:1//", prefetch=10)
OURS = Ref("RegionOne", "compute.server", "ours")


class Listening:
    def __init__(self, skip_reason):
        self.taken = []
        self.listener = BusListener(
            BUS, "obs", Decoder(load()),
            Receiver(lambda notification, delivery: self.taken.append((notification, delivery)),
                     on_gap=lambda *_: None, store_dead_letter=lambda _: None, skip_reason=skip_reason),
        )

    def arrive(self, tag, server, event="compute.instance.update"):
        body = wire.pack(message(event, {"instance_id": server}))
        self.listener._arrived(ReceivedMessage(body, tag, "nova", "notifications.info"))


def count(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_what_is_skipped_is_settled_and_counted_and_ours_goes_to_the_sink():
    asked = []
    heard = Listening(lambda ref, asks: asked.append((ref, asks)) or (None if ref == OURS else "not_owned"))
    by_fate = count("obsvc_notifications_fate_total", fate="not_owned")
    by_family = count("obsvc_notifications_total", bus="passing", family="unversioned")
    heard.arrive(1, "theirs")
    heard.arrive(2, "ours")
    heard.arrive(3, "theirs", "compute.instance.exists")
    assert asked == [(Ref("RegionOne", "compute.server", "theirs"), True), (OURS, True),
                     (Ref("RegionOne", "compute.server", "theirs"), False)]
    ((notification, delivery),) = heard.taken
    assert notification.refs == (OURS,) and heard.listener.unsettled == 1
    assert heard.listener._ledger.take().prefix == (1,)
    delivery.settle()
    assert heard.listener._ledger.take().prefix == (2, 3)
    heard.listener._skips.flush()
    heard.listener._skips.flush()
    assert count("obsvc_notifications_fate_total", fate="not_owned") == by_fate + 2
    assert count("obsvc_notifications_total", bus="passing", family="unversioned") == by_family + 3


def test_what_a_peek_cannot_tell_is_read_and_taken():
    heard = Listening(lambda ref, asks: "not_owned")
    body = wire.pack(message("port.create.end", {"ports": [{"id": "a"}, {"id": "b"}]}))
    heard.listener._arrived(ReceivedMessage(body, 1, "neutron", "notifications.info"))
    assert len(heard.taken[0][0].refs) == 2


@pytest.mark.parametrize("body", [b"{", b'{"event_type": 7, "payload": {}}', b'{"event_type": "x"}'])
def test_what_cannot_be_read_is_buried(body):
    heard = Listening(lambda ref, asks: "not_owned")
    heard.listener._arrived(ReceivedMessage(body, 1, "nova", "notifications.info"))
    assert heard.listener._dead_letters.waiting == 1 and heard.listener.unsettled == 1


class Window:
    """A session whose consumer only remembers."""

    def __init__(self, unsettled, settled):
        self.clock, self.ledger, self.sent = ManualClock(), Ledger(), []
        self.session = Session(BUS, "q", None, self.ledger, lambda _: None, self.clock)
        self.session._consumer = types.SimpleNamespace(
            acknowledge=lambda tags, *, multiple: self.sent.append((tags, multiple)))
        for tag in range(unsettled):
            self.ledger.arrived(tag, self.clock.monotonic())
        for tag in range(unsettled, unsettled + settled):
            self.ledger.skipped(tag)

    def after(self, seconds):
        self.clock.advance(seconds)
        self.session._acknowledge()
        return self.sent


def test_behind_a_stuck_delivery_each_is_acknowledged_once_the_window_was_full_for_long():
    window = Window(1, 9)
    assert window.after(STUCK_AFTER - 1) == []
    assert window.after(1) == [(tuple(range(1, 10)), False)]


def test_as_long_as_there_is_room_nothing_is_acknowledged_by_itself():
    assert Window(1, 7).after(1000) == []


def test_a_prefix_goes_with_one_acknowledgement():
    window = Window(0, 9)
    assert window.after(1) == [(tuple(range(9)), True)]


def test_after_the_prefix_it_counts_how_full_the_window_still_is():
    window = Window(1, 0)
    window.ledger.settle(0)
    window.ledger.arrived(1, window.clock.monotonic())
    for tag in range(2, 9):
        window.ledger.skipped(tag)
    assert window.after(1000) == [((0,), True)]
