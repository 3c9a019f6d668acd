"""The run: each message through the decoder, and through the listener's own callback as py-amqp would call it.

The channel is false (no broker); consumer, ledger, listener and dead-letter sender are the real ones.  What must hold,
and is recorded as a failure when it does not:

* ``decode`` raises nothing but UndecodableMessage, whose text holds nothing of a token, and whose reason is known;
* nothing escapes the callback, and neither decoder nor intake is said to have failed;
* every delivery is settled: by the sink, or by a dead letter that is bounded, printable and without a token;
* no log line holds a token.
"""
from __future__ import annotations

import collections
import dataclasses
import logging
import socket
import types
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from obsvc.catalog import load
from obsvc.engine_client.reports import DEAD_LETTER_BODY_MAX, DeadLetter
from obsvc.exceptions import UndecodableMessage
from obsvc.listeners.decode import Decoder
from obsvc.listeners.listener import BusListener, Receiver
from obsvc.listeners.redact import EXCERPT
from obsvc.listeners.settings import BusSettings
from obsvc.messaging.consumer import consume
from obsvc.model import Notification, Ref, partition_of_id
from tests.fuzz.corpus import Sample, leaks
from tests.fuzz.mutate import Mutated, mutation

#: Every reason for which a message may be unreadable.
REASONS = frozenset({
    "not_json", "not_a_notification", "not_an_object", "no_payload", "no_event_type", "too_deep", "oversized",
    "unknown_version",
})

#: Messages between two rounds of acknowledgement: the prefetch.
WINDOW = 200

#: Failures that are kept; the first tell enough.
_KEPT = 20


class _Channel:
    """A channel of py-amqp's kind that only remembers what was acknowledged."""

    channel_id = 1

    def __init__(self) -> None:
        self.callback: Callable[[Any], None] | None = None
        self.acknowledged = 0

    def basic_qos(self, *_: Any) -> None: ...

    def basic_cancel(self, _tag: str) -> None: ...

    def close(self) -> None: ...

    def basic_consume(self, _queue: str, *, callback: Callable[[Any], None], **_: Any) -> str:
        self.callback = callback
        return "tag"

    def basic_ack(self, _tag: int, *, multiple: bool) -> None:
        self.acknowledged += 1


class _Connection:
    """As much of a kombu connection as a consumer asks of one."""

    connection_errors = channel_errors = ()

    def __init__(self) -> None:
        self.transport = types.SimpleNamespace(driver_type="amqp")
        self.made = _Channel()
        self._sockets = socket.socketpair()
        self.connection = types.SimpleNamespace(sock=self._sockets[0], transport=types.SimpleNamespace())

    def channel(self) -> _Channel:
        return self.made

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@dataclasses.dataclass
class Result:
    """outcomes: how many of each.  failures: the first few, each with its index, kind and what went wrong."""

    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    kinds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failed: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    largest: int = 0

    def fail(self, index: int, kind: str, what: str) -> None:
        self.failed += 1
        if len(self.failures) < _KEPT:
            self.failures.append(f"index {index} ({kind}): {what}")


class Fuzz(logging.Handler):
    """Takes messages; also the log handler that reads over everybody's shoulder.  Close it at the end."""

    def __init__(self, samples: list[Sample]) -> None:
        super().__init__()
        self._samples = samples
        self._decoder = Decoder(load())
        self._result = Result()
        self._index = 0
        self._kind = ""
        self._tag = 0
        self._taken: collections.Counter[str] = collections.Counter()
        self._encode = msgspec.json.Encoder().encode
        self._listener = BusListener(
            BusSettings("fuzz", "amqp://nobody:nothing@127.0.0.1:1//"), "fuzz", self._decoder,
            Receiver(self._sink, on_gap=lambda bus, reason: None, store_dead_letter=self._buried,
                     skip_reason=self._skip_reason),
        )
        self._connection = _Connection()
        self._consumer = consume(self._connection, "fuzz", self._listener._arrived, WINDOW)
        self._log = logging.getLogger("obsvc")
        self._was = (self._log.propagate, self._log.level)
        self._log.addHandler(self)
        self._log.propagate = False
        self._log.setLevel(logging.DEBUG)
        self._listener._dead_letters.start()

    def close(self) -> None:
        self._log.removeHandler(self)
        self._log.propagate = self._was[0]
        self._log.setLevel(self._was[1])
        self._listener._dead_letters.stop()
        self._listener._dead_letters.join(10)
        self._consumer.close()
        self._connection.close()
        super().close()

    def run(self, seed: int, first: int, count: int, *, large_share: float = 0.0005) -> Result:
        """Messages ``first`` to ``first + count`` of ``seed``."""
        self._result = Result()
        for index in range(first, first + count):
            self._one(index, mutation(self._samples, seed, index, large_share=large_share))
            if (index - first) % WINDOW == WINDOW - 1:
                self._round()
        self._round()
        return self._result

    def _one(self, index: int, made: Mutated) -> None:
        self._index, self._kind = index, made.kind
        self._result.kinds[made.kind] += 1
        self._result.largest = max(self._result.largest, len(made.body))
        self._result.outcomes[self._decoded(made)] += 1
        self._tag += 1
        info = {"exchange": made.exchange, "routing_key": made.routing_key, "delivery_tag": self._tag}
        message = types.SimpleNamespace(body=made.body, delivery_info=info, delivery_tag=self._tag)
        try:
            self._connection.made.callback(message)
        except BaseException as error:  # noqa: BLE001 - just this is what is looked for
            self._wrong(f"the callback let {type(error).__name__} out: {error}")

    def _decoded(self, made: Mutated) -> str:
        try:
            notification = self._decoder.decode(made.body, exchange=made.exchange, routing_key=made.routing_key)
        except UndecodableMessage as error:
            if error.reason not in REASONS:
                self._wrong(f"unknown reason {error.reason!r}")
            if leaks(error.message) or len(error.message) > 500:
                self._wrong(f"the reason's text tells too much: {len(error.message)} characters")
            return f"unreadable: {error.reason}"
        except BaseException as error:  # noqa: BLE001 - as above
            self._wrong(f"decode raised {type(error).__name__}: {error}")
            return f"raised: {type(error).__name__}"
        if notification.refs:
            return "understood: a resource"
        return "understood: no resource" if notification.resource_type or notification.service else "unknown event"

    def _skip_reason(self, ref: Ref, asks: bool) -> str | None:
        """One in four is ours."""
        return "not_owned" if partition_of_id(ref.resource_id, 4) else None

    def _sink(self, notification: Notification, delivery: Any) -> None:
        """What an observer would do at least: partition each ref, and be able to write it to the engine."""
        for ref in notification.refs:
            partition_of_id(ref.resource_id, 1024)
        self._encode(notification.refs)
        delivery.settle()

    def _buried(self, letter: DeadLetter) -> None:
        if letter.reason not in REASONS:
            self._wrong(f"a dead letter for {letter.reason!r}: {letter.detail}")
        if len(letter.excerpt) > EXCERPT or len(letter.detail) > 500 or not letter.excerpt.isprintable():
            self._wrong(f"a dead letter out of bounds: {len(letter.excerpt)}, {len(letter.detail)}")
        if len(letter.body) > DEAD_LETTER_BODY_MAX:
            self._wrong(f"a dead letter's body of {len(letter.body)} characters")
        encoded = self._encode(letter).decode()
        if leaks(encoded) or "\0" in letter.detail:
            self._wrong("a dead letter with a token")
        self._result.outcomes["dead letters"] += 1

    def _round(self) -> None:
        """Wait until everything is settled and acknowledge it, as a session would."""
        ledger = self._listener._ledger
        for _ in self._patience():
            if ledger.unsettled == 0:
                break
        else:
            self._wrong(f"{ledger.unsettled} deliveries are not settled")
        ackable = ledger.take()
        if ackable.prefix:
            self._consumer.acknowledge(ackable.prefix, multiple=True)

    def _patience(self) -> Iterator[None]:
        """A step each time the dead-letter thread had a chance, for up to ten seconds."""
        thread = self._listener._dead_letters
        for _ in range(10_000):
            yield
            thread.join(0.001)

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if leaks(text):
            self._wrong("a log line with a token")
        if record.levelno >= logging.ERROR:
            self._wrong(f"an error in the log: {text}")

    def _wrong(self, what: str) -> None:
        self._result.fail(self._index, self._kind, what[:1000])
