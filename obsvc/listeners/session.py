"""One connection's life on a bus: opened, stepped until it fails, closed.

Everything here runs on the listener's thread, but for :meth:`Session.settled` and :meth:`Session.wake`.
"""
from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from obsvc.exceptions import Unavailable
from obsvc.listeners.settings import BusSettings
from obsvc.listeners.settlement import Ackable, Ledger
from obsvc.messaging import Broker, topology
from obsvc.messaging.connection import Connection, release
from obsvc.messaging.consumer import Consumer, QueueVanished, ReceivedMessage, consume
from obsvc.process import failpoints
from obsvc.process.clock import Clock

#: Settled deliveries that are acknowledged together, and seconds that fewer of them wait.  Acknowledging each
#: message triples the broker's CPU (BASELINES).
ACK_BATCH = 100
ACK_INTERVAL = 0.1

#: Share of the prefetch that must be unacknowledged, and seconds that the oldest of it must have been unsettled, before
#: what is settled behind it is acknowledged one by one.  Until then that costs the broker more than waiting costs
#: anybody: a look in its order is over by then (by default a second of coalescing and one of settle_delay, fetch and
#: report), and the window holds what comes in the meantime.
CROWDED = 0.9
STUCK_AFTER = 3.0

#: Looks a heartbeat interval at whether one is due: py-amqp sends at the first look after half an interval.
HEARTBEAT_CHECKS = 8

#: Seconds between two looks at our queue's length and bindings.
CHECK_INTERVAL = 10.0

#: Share of the queue's maximum length at which it counts as a gap, and below which it counts anew.
NEARLY_FULL = 0.9
CALM_AGAIN = 0.7


#: Messages in the queue at which it counts as drained: on a busy bus there are always some on their way.
FEW = 100


class Session:
    """Our queue on one connection.

    queue_was_missing: the broker did not have it any more (or never had).
    drained_at: monotonic time at which the broker last had nothing for us that it had not sent; None: not yet.
    """

    def __init__(
        self,
        bus: BusSettings,
        queue: str,
        broker: Broker,
        ledger: Ledger,
        on_message: Callable[[ReceivedMessage], None],
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._queue = queue
        self._wanted = topology.QueueSettings(queue, bus.queue_expires, bus.queue_max_length, bus.queue_type)
        self._broker = broker
        self._ledger = ledger
        self._on_message = on_message
        self._clock = clock
        self._connection: Connection | None = None
        self._consumer: Consumer | None = None
        self._taking = True
        self._nearly_full = False
        self._ack_at = self._check_at = self._heartbeat_at = 0.0
        self._woken = threading.Event()
        self._wake_from = min(ACK_BATCH, bus.prefetch // 2 or 1)
        self.queue_was_missing = False
        self.drained_at: float | None = None

    def open(self, *, take: bool = True) -> None:
        """Connect, see to exchanges, queue and bindings, and consume.  Raises Unavailable, QueueInUse.

        take: False begins with the intake held back: a connection that is lost again and again must not bring a
        window of messages each time.
        """
        connection = self._connection = self._broker.connect()
        self.queue_was_missing = self._declare(connection).queue_was_missing
        self._ledger.reset()
        self._taking = take
        self._consumer = consume(connection, self._queue, self._on_message, self._bus.prefetch, take=take)
        now = self._clock.monotonic()
        self._check_at = now + (CHECK_INTERVAL if self.queue_was_missing else 0.0)  # what waits there from before?
        self.drained_at = now if self.queue_was_missing else None

    def step(self, *, take: bool) -> str | None:
        """Take what comes within a moment, acknowledge, do what is due.

        take: False holds the intake back.  Returns the reason of a gap that was found, else None.  Raises
        Unavailable when the connection, and QueueVanished when the queue is lost.
        """
        consumer = self._consumer
        assert consumer is not None, "a session is opened before its first step"
        if take is not self._taking:
            consumer.resume() if take else consumer.pause()
            self._taking = take
        began = self._clock.monotonic()
        taken = consumer.run(ACK_INTERVAL)
        self._woken.clear()
        now = self._clock.monotonic()
        if not taken and now - began >= ACK_INTERVAL and self._has_room:
            self.drained_at = now  # it could have sent, had a whole while for it, and did not
        self._acknowledge()
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + (self._bus.heartbeat or 60.0) / HEARTBEAT_CHECKS
            consumer.heartbeat()
        if now >= self._check_at:
            self._check_at = now + CHECK_INTERVAL
            return self._look_for_gap()
        return None

    def settled(self) -> None:
        """A delivery was settled: end the wait when a batch of them can be acknowledged.  Any thread."""
        if not self._woken.is_set() and self._ledger.settled >= self._wake_from:
            self._woken.set()
            self.wake()

    def wake(self) -> None:
        """End the wait of :meth:`step`; any thread."""
        consumer = self._consumer
        if consumer is not None:
            consumer.wake()

    def close(self) -> None:
        """Acknowledge what is settled, as far as that works, and disconnect."""
        if self._consumer is not None:
            with contextlib.suppress(Unavailable):
                self._acknowledge(everything=True)
            self._consumer.close()
        if self._connection is not None:
            release(self._connection)

    def _acknowledge(self, *, everything: bool = False) -> None:
        now = self._clock.monotonic()
        settled = self._ledger.settled
        if not settled or not (everything or settled >= ACK_BATCH or now >= self._ack_at):
            return
        self._ack_at = now + ACK_INTERVAL
        self._send(self._ledger.take(singles=everything))
        if self._stuck(now):
            self._send(self._ledger.take(singles=True))

    def _stuck(self, now: float) -> bool:
        """Whether so little room is left in the window, and for so long, that the broker stops sending."""
        oldest = self._ledger.oldest()
        crowded = self._ledger.unacknowledged >= CROWDED * self._bus.prefetch
        return crowded and oldest is not None and now - oldest >= STUCK_AFTER

    def _send(self, ackable: Ackable) -> None:
        if self._consumer is None or (not ackable.prefix and not ackable.singles):
            return
        failpoints.hit("ack.before")
        if ackable.prefix:
            self._consumer.acknowledge(ackable.prefix, multiple=True)
        if ackable.singles:
            self._consumer.acknowledge(ackable.singles, multiple=False)
        failpoints.hit("ack.after")

    @property
    def _has_room(self) -> bool:
        """Whether the broker may send."""
        return self._taking and self._ledger.unacknowledged < self._bus.prefetch

    def _declare(self, connection: Connection) -> topology.Declared:
        return topology.declare_own_queue(
            connection, self._wanted, self._bus.exchanges, self._bus.routing_keys()
        )

    def _look_for_gap(self) -> str | None:
        """The reason of a gap that our queue and its bindings show; raises QueueVanished when the queue is gone."""
        assert self._connection is not None, "a session is opened before its first step"
        length = topology.queue_length(self._connection, self._queue)
        if length is None:
            raise QueueVanished(f"queue {self._queue} is gone")
        if not length or (length <= FEW and self._has_room):
            self.drained_at = self._clock.monotonic()
        if self._declare(self._connection).exchanges_were_missing:
            return "exchange_missing"
        if topology.take_overflow(self._connection, self._wanted):
            return "queue_overflowed"
        if length >= NEARLY_FULL * self._bus.queue_max_length and not self._nearly_full:
            self._nearly_full = True
            return "queue_nearly_full"
        if length < CALM_AGAIN * self._bus.queue_max_length and self._nearly_full:
            # A queue without a marker may have dropped what came after the first resync's looks.
            self._nearly_full = False
            return "queue_nearly_full"
        return None
