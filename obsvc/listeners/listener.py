"""Listening to one bus: from its queue to the receiver, and back to the broker when settled.

A :class:`BusListener` has one thread, which owns the connection, decodes, calls the receiver and acknowledges; the
receiver must not block.  Deliveries may be settled from any thread, any number of times, even after their channel is
gone.

It never gives up: a broker that is away is tried again after growing pauses, a queue that another process consumes is
waited for, a message that can't be read becomes a dead letter.  A bug in the receiver costs that one message its
meaning (it becomes a dead letter too), and not the intake.
"""
from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from obsvc import metrics
from obsvc.engine_client.ownership import BusStatus
from obsvc.engine_client.reports import DeadLetter
from obsvc.exceptions import Unavailable, UndecodableMessage
from obsvc.listeners import redact
from obsvc.listeners.dead_letter_sender import DeadLetterSender
from obsvc.listeners.decode import Decoder
from obsvc.listeners.peek import Peeked
from obsvc.listeners.session import Session
from obsvc.listeners.settings import BusSettings
from obsvc.listeners.settlement import Entry, Ledger
from obsvc.listeners.skip_counts import SkipCounts
from obsvc.messaging.consumer import QueueInUse, ReceivedMessage
from obsvc.messaging.topology import queue_name
from obsvc.model import Family, Notification, Ref
from obsvc.process.backoff import Backoff
from obsvc.process.clock import Clock, SystemClock
from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)

#: Seconds of the first and the longest pause between two attempts to connect; jittered by a half either way.
RECONNECT = Backoff(0.5, 15.0, jitter=(0.5, 1.5))

#: Seconds between two attempts at a queue that another process consumes.
IN_USE_RETRY = 5.0


class Delivery:
    """One message that was delivered and is not acknowledged: settle it when it needs nothing more.

    arrived: monotonic seconds of this process's clock.
    """

    __slots__ = ("_entry", "_listener", "arrived")

    def __init__(self, listener: BusListener, entry: Entry, arrived: float) -> None:
        self._listener = listener
        self._entry = entry
        self.arrived = arrived

    def settle(self) -> None:
        """The message may be acknowledged.  Thread-safe, idempotent, harmless after the channel is gone."""
        self._listener._settled(self._entry)


Sink = Callable[[Notification, Delivery], None]

#: Called with the one ref that a notification is about, and whether it asks for a look at it.  Answers what becomes of
#: it (a fate of :data:`obsvc.metrics.NOTIFICATIONS_BY_FATE`) where nothing is to be done here, None where it is to be
#: taken.
SkipReason = Callable[[Ref, bool], str | None]


@dataclass(frozen=True)
class Receiver:
    """Whom a listener calls; all but ``store_dead_letter`` on the listener's own thread, so they must not block.

    take: called with each notification.
    on_gap(bus name, reason): notifications may have been missed; reasons: ``reconnected``, ``queue_vanished``,
        ``exchange_missing``, ``queue_overflowed``, ``queue_nearly_full``.
    store_dead_letter: stores a message that can't be read, or raises Unavailable (it is tried again; the delivery stays
        unsettled meanwhile).
    may_take: False while no more is to be taken in.
    skip_reason: called before ``take``, with what a peek at a message tells; where it gives a reason the message is
        settled without being read further.  None: everything is read.
    """

    take: Sink
    on_gap: Callable[[str, str], None]
    store_dead_letter: Callable[[DeadLetter], None]
    may_take: Callable[[], bool] = lambda: True
    skip_reason: SkipReason | None = None


class BusListener:
    """Listens to ``bus`` for the member ``member_name``.  Raises ConfigError for a URL that can't be used."""

    def __init__(
        self,
        bus: BusSettings,
        member_name: str,
        decoder: Decoder,
        receiver: Receiver,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._bus = bus
        self._member = member_name
        self._decoder = decoder
        self._take = receiver.take
        self._skip_reason = receiver.skip_reason
        self._on_gap = receiver.on_gap
        self._may_take = receiver.may_take
        self._clock = clock or SystemClock()
        self._ledger = Ledger()
        self._broker = bus.broker()
        self._dead_letters = DeadLetterSender(bus.name, receiver.store_dead_letter)
        self._loop = Loop(f"bus-{bus.name}", self._run)
        self._session: Session | None = None
        self._heard_since: float | None = None
        self._had_session = False
        self._last_error: str | None = None
        self._guessed = metrics.GUESSED.labels(bus.name)
        self._by_family = {family: metrics.NOTIFICATIONS.labels(bus.name, family) for family in Family}
        self._skips = SkipCounts(bus.name)
        self._connected = metrics.BUS_CONNECTED.labels(bus.name)

    @property
    def queue(self) -> str:
        """The name of our own queue on this bus."""
        return queue_name(self._member, self._bus.name)

    @property
    def consuming(self) -> bool:
        """Whether the queue is consumed right now (also while back-pressure holds messages back)."""
        return self._heard_since is not None

    @property
    def drained_at(self) -> float | None:
        """Monotonic time at which nothing waited for us at the broker; None while not consuming, and until it is known
        for this connection."""
        session = self._session
        return None if session is None else session.drained_at

    @property
    def unsettled(self) -> int:
        """Number of deliveries that were taken and are not settled."""
        return self._ledger.unsettled

    def status(self) -> BusStatus:
        """The state of the bus; ``heard_since`` is in seconds since the epoch by this machine's clock."""
        since = self._heard_since
        if since is not None:
            since = self._clock.time() - (self._clock.monotonic() - since)
        return BusStatus(
            name=self._bus.name, connected=self.consuming, heard_since=since, queue=self.queue,
            last_error=self._last_error,
        )

    def start(self) -> BusListener:
        """Begin; returns at once (see :attr:`consuming`)."""
        self._dead_letters.start()
        self._loop.start()
        return self

    def stop(self, timeout: float = 5.0) -> bool:
        """Leave the queue; True if the threads ended within ``timeout`` seconds.  What is unsettled stays in the
        broker."""
        self._loop.stop()
        self._dead_letters.stop()
        session = self._session
        if session is not None:
            session.wake()
        return self._loop.join(timeout) and self._dead_letters.join(timeout)

    # the thread

    def _run(self, stop: threading.Event) -> None:
        failures, in_use = 0, False
        while not stop.is_set():
            heard = False
            try:
                with self._opened() as session:
                    heard, in_use = True, False
                    while not stop.is_set():
                        reason = session.step(take=self._may_take())
                        self._skips.flush()
                        if reason is not None:
                            self._gap(reason)
                return
            except QueueInUse as error:
                self._last_error = error.message
                if not in_use:
                    LOG.error(
                        "bus %s: queue %s is consumed by another process: is a second observer named %r running? "
                        "Waiting until it ends; give one of them another [observer] name",
                        self._bus.name, self.queue, self._member,
                    )
                    in_use = True
                stop.wait(IN_USE_RETRY)
            except Unavailable as error:
                failures = 1 if heard else failures + 1
                if heard or self._last_error != error.message:
                    LOG.warning("bus %s: %s; trying again", self._bus.name, error.message)
                self._last_error = error.message
                stop.wait(RECONNECT.delay(failures))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Session]:
        """A session, closed whatever ends it."""
        try:
            yield self._begin()
        finally:
            self._end()

    def _begin(self) -> Session:
        session = Session(self._bus, self.queue, self._broker, self._ledger, self._arrived, self._clock)
        self._session = session  # from here on _end closes it
        session.open(take=self._may_take())
        self._heard_since = self._clock.monotonic()
        self._last_error = None
        self._connected.set(1)
        LOG.info("bus %s: consuming %s", self._bus.name, self.queue)
        if self._had_session:
            self._gap("queue_vanished" if session.queue_was_missing else "reconnected")
        self._had_session = True
        return session

    def _end(self) -> None:
        session, self._session = self._session, None
        self._heard_since = None
        self._connected.set(0)
        if session is not None:
            session.close()
        self._ledger.reset()
        self._dead_letters.forget()

    def _gap(self, reason: str) -> None:
        LOG.warning("bus %s: gap: %s: notifications may have been missed", self._bus.name, reason)
        metrics.GAPS.labels(self._bus.name, reason).inc()
        self._heard_since = self._clock.monotonic()
        try:
            self._on_gap(self._bus.name, reason)
        except Exception:
            LOG.exception("bus %s: the gap %s could not be handled", self._bus.name, reason)

    def _arrived(self, message: ReceivedMessage) -> None:
        try:
            notification = self._read(message)
        except UndecodableMessage as error:
            self._send_dead_letter(message, self._delivery(message), error.reason, error.message)
            return
        except Exception as error:  # noqa: BLE001 - the intake goes on; no traceback: it quotes the message
            LOG.error("bus %s: decoding failed on a message of %d bytes: %s", self._bus.name, len(message.body),
                      redact.error_without_text(error))
            self._send_dead_letter(message, self._delivery(message), "decoder_failed", type(error).__name__)
            return
        if notification is None:
            self._ledger.skipped(message.tag)
            return
        delivery = self._delivery(message)
        self._by_family[notification.family].inc()
        if notification.guessed:
            self._guessed.inc()
        try:
            self._take(notification, delivery)
        except Exception as error:  # noqa: BLE001 - the intake goes on; no traceback: it quotes the message
            LOG.error("bus %s: %r could not be taken in: %s", self._bus.name,
                      redact.redact(notification.event_type), redact.error_without_text(error))
            self._send_dead_letter(message, delivery, "intake_failed", type(error).__name__)

    def _read(self, message: ReceivedMessage) -> Notification | None:
        """The notification; None if a peek at it showed that nothing is to be done here."""
        if self._skip_reason is None:
            return self._decoder.decode(message.body, exchange=message.exchange, routing_key=message.routing_key)
        opened = self._decoder.peek(message.body)
        if not isinstance(opened, Peeked):
            return self._decoder.read(opened, exchange=message.exchange)
        plan = opened.plan
        fate = self._skip_reason(opened.ref, plan.asks)
        if fate is not None:
            self._skips.count(fate, versioned=plan.versioned)
            return None
        return self._decoder.decode_peeked(opened)

    def _delivery(self, message: ReceivedMessage) -> Delivery:
        now = self._clock.monotonic()
        return Delivery(self, self._ledger.arrived(message.tag, now), now)

    def _send_dead_letter(self, message: ReceivedMessage, delivery: Delivery, reason: str, detail: str) -> None:
        size = len(message.body)
        LOG.warning("bus %s: a message of %d bytes becomes a dead letter: %s", self._bus.name, size, reason)
        letter = DeadLetter(
            bus=self._bus.name, reason=reason, detail=redact.redact(detail)[:500], received_at=self._clock.time(),
            excerpt=redact.excerpt(message.body), size=size, member=self._member,
            body=redact.whole_body(message.body), region=self._bus.region, exchange=message.exchange,
        )
        self._dead_letters.put(letter, delivery)

    def _settled(self, entry: Entry) -> None:
        if self._ledger.settle(entry):
            session = self._session
            if session is not None:
                session.settled()
