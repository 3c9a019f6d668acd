"""Exchanges and queues: checked first, declared only where they are missing; a mismatch is no error.

oslo.messaging declares topic exchanges that are not durable by default and durable in some clouds; a declaration that
differs is refused with 406 and closes the channel.  So an exchange is declared passively first.

Each function opens channels of its own and may be called only by the thread that owns the connection.
"""
from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

import amqp.exceptions
from kombu.connection import Connection

from obsvc.exceptions import Unavailable
from obsvc.messaging.connection import translated

LOG = logging.getLogger(__name__)

_MISSING = 404


@dataclasses.dataclass(frozen=True)
class QueueSettings:
    """Our own queue.

    expires: seconds without a consumer after which the broker deletes it.  max_length: messages, beyond which the
    oldest are dropped.  queue_type: ``classic`` or ``quorum``.  What is dropped is dead-lettered into the *marker*, a
    queue that keeps one message: so an overflow shows however short it was (:func:`take_overflow`).
    """

    name: str
    expires: float = 3600.0
    max_length: int = 500_000
    queue_type: str = "classic"

    @property
    def marker(self) -> str:
        """The name of the overflow marker."""
        return f"{self.name}.overflow"

    def arguments(self, *, marked: bool = True) -> dict[str, Any]:
        """The ``x-`` arguments of the declaration, as RabbitMQ documents them; marked: with the overflow marker."""
        arguments: dict[str, Any] = {"x-expires": int(self.expires * 1000), "x-max-length": self.max_length}
        if self.queue_type != "classic":
            arguments["x-queue-type"] = self.queue_type
        if marked:
            arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self.marker}
        return arguments

    def marker_arguments(self) -> dict[str, Any]:
        """Keep the first message and reject all others."""
        return {"x-expires": int(self.expires * 1000), "x-max-length": 1, "x-overflow": "reject-publish"}


@dataclasses.dataclass(frozen=True)
class Declared:
    """The result of a declaration: whether the queue had to be created, which exchanges had to be, and which could not
    be bound."""

    queue_was_missing: bool
    exchanges_were_missing: tuple[str, ...] = ()
    unbound: tuple[str, ...] = ()


def queue_name(member: str, bus: str) -> str:
    """``obsvc.<member name>.<bus name>``, with unusual characters replaced by ``_``."""
    return "obsvc." + ".".join(re.sub(r"[^A-Za-z0-9._@-]", "_", part) for part in (member, bus))


def ensure_exchange(connection: Connection, name: str, *, durable: bool = False) -> bool:
    """Make sure that the topic exchange ``name`` exists, of whatever kind; True if it did.

    durable: for an exchange that is missing; False is oslo.messaging's default, so that the service's own declaration
    agrees later.  Raises Unavailable when the broker is lost or refuses the declaration of a missing exchange.
    """
    with translated(connection, f"looking for exchange {name}"):
        if _exists(connection, name):
            return True
        with _channel(connection) as channel:
            try:
                channel.exchange_declare(exchange=name, type="topic", durable=durable, auto_delete=False)
                return False
            except amqp.exceptions.PreconditionFailed:
                return True  # it was declared by another process in between


def _exists(connection: Connection, name: str) -> bool:
    with _channel(connection) as channel:
        try:
            channel.exchange_declare(exchange=name, type="topic", passive=True)
            return True
        except connection.channel_errors as error:
            if _code(error) != _MISSING:
                raise
            return False


def declare_own_queue(
    connection: Connection,
    queue: QueueSettings,
    exchanges: Iterable[str],
    routing_keys: Iterable[str],
) -> Declared:
    """Declare our own durable queue if it is missing, and bind it.

    A missing exchange is declared as oslo.messaging would; one that we may not declare is left out and named in the
    result.  A queue that exists with other arguments is used as it is.  Raises Unavailable.
    """
    keys = tuple(routing_keys)
    missing = _declare_queue(connection, queue)
    made, unbound = [], []
    for exchange in exchanges:
        try:
            if not _bind(connection, queue.name, exchange, keys):
                made.append(exchange)
        except Unavailable as error:
            if not isinstance(error.__cause__, amqp.exceptions.AccessRefused):
                raise
            unbound.append(exchange)
            LOG.warning("queue %s is not bound to exchange %s: %s", queue.name, exchange, error.message)
    return Declared(missing, tuple(made), tuple(unbound))


def _bind(connection: Connection, queue: str, exchange: str, routing_keys: tuple[str, ...]) -> bool:
    """Make sure that the exchange exists, and bind; True if it did exist."""
    there = ensure_exchange(connection, exchange)
    with translated(connection, f"binding {queue} to exchange {exchange}"), _channel(connection) as channel:
        if _virtual(connection):
            channel.exchange_declare(exchange=exchange, type="topic", durable=False)  # each process must know it
        for key in routing_keys:
            channel.queue_bind(queue=queue, exchange=exchange, routing_key=key)
    return there


def _declare_queue(connection: Connection, queue: QueueSettings) -> bool:
    """True if the queue had to be created."""
    with translated(connection, f"declaring queue {queue.name}"):
        if queue_length(connection, queue.name) is not None:
            return False
        marked = not _virtual(connection) and _declare_marker(connection, queue) is not None
        try:
            _declare_one(connection, queue.name, queue.arguments(marked=marked))
        except amqp.exceptions.AccessRefused as error:
            if not marked:
                raise
            LOG.warning("queue %s has no overflow marker: %s", queue.name, error.reply_text)
            _declare_one(connection, queue.name, queue.arguments(marked=False))
        return True


def _declare_one(connection: Connection, name: str, arguments: dict[str, Any]) -> int:
    """Declare the queue; the number of messages in it."""
    with _channel(connection) as channel:
        try:
            return int(channel.queue_declare(
                queue=name, durable=True, auto_delete=False, exclusive=False, arguments=arguments
            ).message_count)
        except amqp.exceptions.PreconditionFailed as error:
            LOG.warning("queue %s is used as it is: %s", name, error.reply_text)
            return 0


def _declare_marker(connection: Connection, queue: QueueSettings) -> int | None:
    """Declare the overflow marker; the number of messages in it, None if it may not be declared."""
    try:
        return _declare_one(connection, queue.marker, queue.marker_arguments())
    except amqp.exceptions.AccessRefused:
        return None


def take_overflow(connection: Connection, queue: QueueSettings) -> bool:
    """Whether our queue has dropped messages since the last call.  Raises Unavailable.

    False if the queue has no marker: it is an older one that is used as it is, or the broker does not allow markers.
    """
    if _virtual(connection):
        return False
    with translated(connection, f"looking for overflow of {queue.name}"):
        if not _declare_marker(connection, queue):
            return False
        with _channel(connection) as channel:
            channel.queue_purge(queue=queue.marker)
        return True


def queue_length(connection: Connection, name: str) -> int | None:
    """Messages that are ready in the queue (not those delivered and unacknowledged); None if there is no queue."""
    with translated(connection, f"looking for queue {name}"), _channel(connection) as channel:
        try:
            return int(channel.queue_declare(queue=name, passive=True).message_count)
        except connection.channel_errors as error:
            if _code(error) != _MISSING:
                raise
            return None


@contextlib.contextmanager
def _channel(connection: Connection) -> Iterator[Any]:
    """A channel for one operation: an error closes the channel, and must not take anything else with it."""
    channel = connection.default_channel if _virtual(connection) else connection.channel()
    try:
        yield channel
    finally:
        if not _virtual(connection):
            with contextlib.suppress(Exception):
                channel.close()


def _virtual(connection: Connection) -> bool:
    return bool(connection.transport.driver_type != "amqp")


def _code(error: BaseException) -> int | None:
    for value in (getattr(error, "code", None), *getattr(error, "args", ())):
        if value in (_MISSING, str(_MISSING)):
            return _MISSING
    return None
