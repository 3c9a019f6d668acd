"""Publishing with the broker's confirmation.

A :class:`Publisher` may be called from any thread; it sends one message at a time.  When :meth:`Publisher.publish`
returns, the broker has the message; when it raises Unavailable, the outcome is unknown: send it again (consumers drop
duplicates by ``message_id``).
"""
from __future__ import annotations

import logging
import threading
from typing import Any

from kombu.connection import Connection

from obsvc.exceptions import Unavailable
from obsvc.messaging import topology
from obsvc.messaging.connection import Broker, Tls, release, translated

LOG = logging.getLogger(__name__)

#: Seconds to wait for a confirmation.  A broker that is out of memory or disk blocks publishers instead of
#: refusing them.
CONFIRM_TIMEOUT = 10.0


class Publisher:
    """Publishes on one topic exchange.

    url: kombu URLs, separated by ``;``.  exchange: declared (topic, as oslo.messaging would) if it is missing.
    durable: for an exchange that has to be declared.  Raises ConfigError for a bad URL; connects when first used.
    """

    def __init__(
        self,
        url: str,
        exchange: str,
        *,
        durable: bool = False,
        tls: Tls | None = None,
        confirm_timeout: float = CONFIRM_TIMEOUT,
    ) -> None:
        self._broker = Broker(url, tls=tls)
        self._exchange = exchange
        self._durable = durable
        self._confirm_timeout = confirm_timeout
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._channel: Any = None  # kombu's and amqp's channels have no types

    def publish(self, routing_key: str, body: bytes) -> None:
        """Send ``body`` (JSON) and return when the broker has confirmed it.

        A connection that turns out to be dead is replaced once.  Raises Unavailable.
        """
        with self._lock:
            fresh = self._connection is None
            try:
                self._publish(routing_key, body)
            except Unavailable:
                self._drop()
                if fresh:
                    raise
                try:
                    self._publish(routing_key, body)
                except Unavailable:
                    self._drop()
                    raise

    def close(self) -> None:
        """Close the connection; a later publish opens one again."""
        with self._lock:
            self._drop()

    def _publish(self, routing_key: str, body: bytes) -> None:
        connection = self._connection or self._open()
        with translated(connection, f"publishing on exchange {self._exchange}"):
            message = self._channel.prepare_message(
                body,
                priority=0,
                content_type="application/json",
                content_encoding="utf-8",
                headers={},
                properties={"delivery_mode": 2},
            )
            options = {"confirm_timeout": self._confirm_timeout} if self._broker.is_amqp else {}
            self._channel.basic_publish(message, exchange=self._exchange, routing_key=routing_key, **options)

    def _open(self) -> Connection:
        connection = self._broker.connect()
        try:
            topology.ensure_exchange(connection, self._exchange, durable=self._durable)
            with translated(connection, "opening a channel"):
                self._channel = connection.channel()
                if not self._broker.is_amqp:
                    self._channel.exchange_declare(exchange=self._exchange, type="topic", durable=self._durable)
        except Exception:
            release(connection)
            raise
        self._connection = connection
        return connection

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            release(connection)
