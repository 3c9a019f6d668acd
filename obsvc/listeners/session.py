"""One connection to a bus: opened, stepped until it fails, closed.

Everything here runs on the listener's thread, except :meth:`Session.settled` and :meth:`Session.wake`.
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

#: Settled deliveries that are acknowledged together, and the seconds after which fewer are too.  Acknowledging each
#: message by itself triples the broker's CPU (measured).
ACK_BATCH = 100
ACK_INTERVAL = 0.1

#: Share of the prefetch that must be unacknowledged, and seconds for which the oldest delivery must have been
#: unsettled, before what is settled behind it is acknowledged one by one.  Until then that would cost the broker more
#: than waiting costs anybody: an ordinary look is over by then (by default a second of coalescing, one of settle_delay,
#: fetch and report), and the prefetch window holds what arrives meanwhile.
CROWDED = 0.9
STUCK_AFTER = 3.0

#: Checks per heartbeat interval whether a heartbeat is due: py-amqp sends at the first check after half an interval.
HEARTBEAT_CHECKS = 8

#: Seconds between two checks of our queue's length and bindings.
CHECK_INTERVAL = 10.0

#: Share of the queue's maximum length above which it counts as a gap, and below which it can count as another.
NEARLY_FULL = 0.9
NOT_FULL_ANY_MORE = 0.7

#: Messages up to which the queue counts as drained: on a busy bus there are always some on their way.
DRAINED_BELOW = 100


class Session:
    """Our queue on one connection.

    queue_was_missing: the queue had to be declared.
    drained_at: monotonic time at which the broker last had nothing left to send to us; None: not yet.
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
        """Connect, declare exchanges, queue and bindings, and consume.  Raises Unavailable, QueueInUse.

        take: False begins with the intake held back: a connection that is lost again and again must not bring a
        whole window of messages each time.
        """
        connection = self._connection = self._broker.connect()
        self.queue_was_missing = self._declare(connection).queue_was_missing
        self._ledger.reset()
        self._taking = take
        self._consumer = consume(connection, self._queue, self._on_message, self._bus.prefetch, take=take)
        now = self._clock.monotonic()
        self._check_at = now + (CHECK_INTERVAL if self.queue_was_missing else 0.0)  # what is left in it from before?
        self.drained_at = now if self.queue_was_missing else None

    def step(self, *, take: bool) -> str | None:
        """Take what arrives within ACK_INTERVAL, acknowledge, do what is due.

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
            self.drained_at = now  # it could have sent for a whole interval, and did not
        self._acknowledge()
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + (self._bus.heartbeat or 60.0) / HEARTBEAT_CHECKS
            consumer.heartbeat()
        if now >= self._check_at:
            self._check_at = now + CHECK_INTERVAL
            return self._look_for_gap()
        return None

    def settled(self) -> None:
        """A delivery was settled: end the wait if a batch can be acknowledged.  Any thread."""
        if not self._woken.is_set() and self._ledger.settled >= self._wake_from:
            self._woken.set()
            self.wake()

    def wake(self) -> None:
        """End the wait of :meth:`step`; any thread."""
        consumer = self._consumer
        if consumer is not None:
            consumer.wake()

    def close(self) -> None:
        """Acknowledge what is settled, as far as possible, and disconnect."""
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
        """Whether the window has been almost full for so long that the broker is about to stop sending."""
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
        if not length or (length <= DRAINED_BELOW and self._has_room):
            self.drained_at = self._clock.monotonic()
        if self._declare(self._connection).exchanges_were_missing:
            return "exchange_missing"
        if topology.take_overflow(self._connection, self._wanted):
            return "queue_overflowed"
        if length >= NEARLY_FULL * self._bus.queue_max_length and not self._nearly_full:
            self._nearly_full = True
            return "queue_nearly_full"
        if length < NOT_FULL_ANY_MORE * self._bus.queue_max_length and self._nearly_full:
            # A queue without a marker may have dropped what came after the first resync's looks.
            self._nearly_full = False
            return "queue_nearly_full"
        return None
