"""Taking messages from our own queue.

For AMQP the deliveries come straight from the connection's buffer (:mod:`obsvc.messaging.frame_reader`), as bytes; the
thread waits on the socket and then handles everything that has arrived.  Other transports go through kombu's
``drain_events``.

A consumer belongs to the thread that made it; only :meth:`Consumer.wake` may be called by others.  Its delivery tags
are invalid once it is closed.
"""
from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import amqp.exceptions
import msgspec
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer as KombuConsumer

from obsvc.exceptions import Unavailable
from obsvc.messaging import frame_reader
from obsvc.messaging.connection import translated
from obsvc.messaging.filesystem import QueueTaken


class QueueInUse(Unavailable):
    """Another process consumes the queue: two processes have the same name."""


class QueueVanished(Unavailable):
    """The broker cancelled our consumer: the queue was deleted, or its node went away."""


class ReceivedMessage(msgspec.Struct, frozen=True, gc=False):
    """One message as it was received.  tag: for :meth:`Consumer.acknowledge`."""

    body: bytes
    tag: Any
    exchange: str
    routing_key: str


#: Pairs of exchange and routing key that are kept as text: whoever may publish can invent any number.
_NAMES = 256

OnMessage = Callable[[ReceivedMessage], None]


class Consumer(Protocol):
    """Takes messages from a queue; made by :func:`consume`.  Every method may raise Unavailable."""

    def run(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds for messages, hand those at hand to the callback, return their number."""

    def acknowledge(self, tags: Sequence[Any], *, multiple: bool) -> None:
        """Acknowledge each tag; ``multiple``: the last of them and all before it."""

    def pause(self) -> None:
        """Ask for no more messages; those on their way still arrive."""

    def resume(self) -> None:
        """Ask for messages again.  Raises QueueInUse if another process took the queue meanwhile."""

    def heartbeat(self) -> None:
        """Send a heartbeat if one is due; to be called several times per heartbeat interval."""

    def wake(self) -> None:
        """End a wait in :meth:`run`; any thread; never raises."""

    def close(self) -> None:
        """Leave the queue; never raises."""


def consume(
    connection: Connection, queue: str, on_message: OnMessage, prefetch: int, *, take: bool = True
) -> Consumer:
    """Consume ``queue`` exclusively.

    prefetch: maximum number of unacknowledged messages.  take: False begins paused.  Raises QueueInUse while
    another process consumes it, and Unavailable when the broker is lost.
    """
    kind = _AmqpConsumer if connection.transport.driver_type == "amqp" else _GenericConsumer
    return kind(connection, queue, on_message, prefetch, take=take)


class _AmqpConsumer:
    """AMQP 0.9.1 by py-amqp."""

    #: Messages handed over before ``run`` returns, so that acknowledgements and heartbeats get their turn.
    _BURST = 500

    def __init__(
        self, connection: Connection, queue: str, on_message: OnMessage, prefetch: int, *, take: bool = True
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._on_message = on_message
        self._taken = 0
        self._cancelled = False
        self._tag: str | None = None
        self._wake_lock = threading.Lock()  # a closed descriptor may belong to another file when it is written to
        self._tag_bytes: bytes | None = None
        self._names: dict[bytes, tuple[str, str]] = {}  # exchange and routing key: there are dozens
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        try:
            with translated(connection, f"consuming {queue}"):
                self._channel = connection.channel()
                self._channel.auto_decode = False
                self._channel.basic_qos(0, prefetch, False)
                self._socket = connection.connection.sock
                self._reader = frame_reader.FrameReader(
                    connection.connection, self._channel.channel_id, self._taken_whole,
                    lambda tag: tag == self._tag_bytes,
                )
                self._poll = select.poll()
                self._poll.register(self._socket, select.POLLIN)
                self._poll.register(self._wake_read, select.POLLIN)
            if take:
                self.resume()
        except Exception:
            self._close_pipe()
            raise

    def resume(self) -> None:
        if self._tag is not None:
            return
        try:
            with translated(self._connection, f"consuming {self._queue}"):
                self._tag = self._channel.basic_consume(
                    self._queue, callback=self._delivered, exclusive=True, on_cancel=self._on_cancel
                )
                self._tag = getattr(self._tag, "consumer_tag", self._tag)
                self._tag_bytes = self._tag.encode()
        except Unavailable as error:
            if isinstance(error.__cause__, amqp.exceptions.AccessRefused):
                raise QueueInUse(f"queue {self._queue} is consumed by another process") from error
            raise

    def pause(self) -> None:
        tag, self._tag = self._tag, None
        if tag is not None:
            with translated(self._connection, f"pausing {self._queue}"):
                self._channel.basic_cancel(tag)

    def run(self, timeout: float) -> int:
        before = self._taken
        end = before + self._BURST
        with translated(self._connection, f"consuming {self._queue}"):
            wait = timeout
            while True:
                # One frame at a time: py-amqp's drain_events goes on until a *message* is whole, and so blocks behind
                # the broker's heartbeat until the next message, while ours go unsent and the broker hangs up.
                while self._taken < end and self._reader.handle():
                    wait = 0.0
                if self._cancelled:
                    raise QueueVanished(f"the broker ended our consumption of {self._queue}: it was deleted")
                if self._taken >= end or not self._readable(wait):
                    break
                self._reader.fill()
                wait = 0.0
        return self._taken - before

    def _readable(self, timeout: float) -> bool:
        pending = getattr(self._socket, "pending", None)  # TLS may have decrypted more than was asked for
        if pending is not None and pending():
            return True
        ready = self._poll.poll(timeout * 1000)
        if any(descriptor == self._wake_read for descriptor, _ in ready):
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
        return any(descriptor != self._wake_read for descriptor, _ in ready)

    def _taken_whole(self, number: int, route: bytes, body: bytes) -> None:
        self._taken += 1
        names = self._names.get(route)
        if names is None:
            if len(self._names) >= _NAMES:
                self._names.clear()
            names = self._names[route] = frame_reader.route(route)
        self._on_message(ReceivedMessage(body, number, *names))

    def _delivered(self, message: Any) -> None:
        self._taken += 1
        info = message.delivery_info
        body = message.body
        self._on_message(
            ReceivedMessage(
                body.encode("utf-8", "surrogateescape") if isinstance(body, str) else bytes(body),
                message.delivery_tag, info.get("exchange", ""), info.get("routing_key", ""),
            )
        )

    def _on_cancel(self, tag: str) -> None:
        if tag == self._tag:
            self._cancelled = True

    def acknowledge(self, tags: Sequence[Any], *, multiple: bool) -> None:
        with translated(self._connection, "acknowledging"):
            for tag in tags[-1:] if multiple else tags:
                self._channel.basic_ack(tag, multiple=multiple)

    def heartbeat(self) -> None:
        with translated(self._connection, "sending a heartbeat"):
            if self._connection.connection.heartbeat:
                self._connection.heartbeat_check()

    def wake(self) -> None:
        with self._wake_lock, contextlib.suppress(OSError):
            if self._wake_write >= 0:
                os.write(self._wake_write, b"w")

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._socket.settimeout(2.0)
            self.pause()
        with contextlib.suppress(Exception):
            self._channel.close()
        self._close_pipe()

    def _close_pipe(self) -> None:
        with self._wake_lock:
            for descriptor in (self._wake_read, self._wake_write):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            self._wake_read = self._wake_write = -1


class _GenericConsumer:
    """Any other kombu transport: no promises on speed, each message is acknowledged by itself."""

    def __init__(
        self, connection: Connection, queue: str, on_message: OnMessage, prefetch: int, *, take: bool = True
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._on_message = on_message
        self._taken = 0
        self._consumer: KombuConsumer | None = None
        self._messages: dict[Any, Any] = {}
        self._prefetch = prefetch
        with translated(connection, f"consuming {queue}"):
            self._channel = connection.channel()
            self._channel.basic_qos(0, prefetch, False)
        if take:
            self.resume()

    def resume(self) -> None:
        if self._consumer is not None:
            return
        consumer = KombuConsumer(
            self._channel, [Queue(self._queue, no_declare=True)], on_message=self._delivered,
            auto_declare=False, prefetch_count=self._prefetch,
        )
        try:
            with translated(self._connection, f"consuming {self._queue}"):
                consumer.consume()
        except Unavailable as error:
            if isinstance(error.__cause__, QueueTaken):
                raise QueueInUse(f"queue {self._queue} is consumed by another process") from error
            raise
        self._consumer = consumer

    def pause(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with translated(self._connection, f"pausing {self._queue}"):
                consumer.cancel()

    def run(self, timeout: float) -> int:
        before = self._taken
        with contextlib.suppress(socket.timeout), translated(self._connection, f"consuming {self._queue}"):
            wait = timeout
            while self._taken - before < self._prefetch:
                try:
                    self._connection.drain_events(timeout=wait)
                except TimeoutError:
                    break
                wait = 0.001
        return self._taken - before

    def _delivered(self, message: Any) -> None:
        self._taken += 1
        body = message.body
        info = message.delivery_info or {}
        self._on_message(
            ReceivedMessage(
                body.encode("utf-8", "surrogateescape") if isinstance(body, str) else bytes(body or b""),
                message.delivery_tag, info.get("exchange", ""), info.get("routing_key", ""),
            )
        )

    def acknowledge(self, tags: Sequence[Any], *, multiple: bool) -> None:
        with translated(self._connection, "acknowledging"):
            for tag in tags:
                self._channel.basic_ack(tag)

    def heartbeat(self) -> None:
        """These transports have none, or send their own."""

    def wake(self) -> None:
        """Nothing to end: a wait here polls."""

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.pause()
        with contextlib.suppress(Exception):
            self._channel.close()
