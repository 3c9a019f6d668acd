"""A bus in a folder: a kombu transport for one host without a broker, used by the demo and by tests.

kombu's own ``filesystem`` transport loses bindings when two processes declare at once, hands out half-written
messages, keeps its bindings per process and reads the whole folder for each message.  This one keeps kombu's
virtual channel above it and has its own files:

* ``control/<exchange>.exchange`` lists the bindings, changed under a lock and replaced by rename;
* ``queues/<queue>/<time>_<uuid>.msg`` is one message, put there by rename, so that it is complete or absent.

A message stays in its folder until it is acknowledged: what a killed process had taken is delivered again at its next
start (at-least-once).  A queue has one consumer: :meth:`Channel.basic_consume` locks it.
"""
from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import re
import time
import uuid
from collections import deque
from collections.abc import Iterator
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual

_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._@-]*\Z")


class QueueTaken(ChannelError):  # type: ignore[misc]  # amqp has no types
    """Another process consumes the queue."""


def options(folder: str, polling_interval: float) -> dict[str, Any]:
    """kombu's transport options for a bus in ``folder`` (made where it is missing)."""
    return {"folder": folder, "polling_interval": polling_interval}


class Channel(virtual.Channel):
    """One channel; like every virtual channel it belongs to one thread."""

    supports_fanout = True
    do_restore = False  # what is not acknowledged never left its folder

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]
        self._folder = pathlib.Path(self.connection.client.transport_options["folder"])
        self._control = self._folder / "control"
        self._control.mkdir(parents=True, exist_ok=True)
        (self._folder / "queues").mkdir(exist_ok=True)
        self._ready: dict[str, deque[str]] = {}
        self._taken: dict[str, pathlib.Path] = {}
        self._locks: dict[str, Any] = {}

    # exchanges and bindings

    def exchange_declare(
        self, exchange: str | None = None, type: str = "topic", durable: bool = False, auto_delete: bool = False,
        arguments: Any = None, nowait: bool = False, passive: bool = False,
    ) -> None:
        """As AMQP; ``passive`` asks whether any process has declared it."""
        file = self._control / f"{_checked(exchange)}.exchange"
        if passive and not file.exists():
            raise ChannelError(f"NOT_FOUND - no exchange {exchange!r}", (40, 10), "404", "Exchange.declare")
        self.state.exchanges.setdefault(
            exchange, {"type": type or "topic", "durable": True, "auto_delete": False, "arguments": {}, "table": []}
        )
        if not file.exists():
            with self._locked():
                if not file.exists():
                    _replace(file, [])

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        try:
            return [tuple(row) for row in json.loads((self._control / f"{_checked(exchange)}.exchange").read_bytes())]
        except FileNotFoundError:
            return []

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        file = self._control / f"{_checked(exchange)}.exchange"
        row = [routing_key or "", pattern or "", queue or ""]
        with self._locked():
            rows = json.loads(file.read_bytes()) if file.exists() else []
            if row not in rows:
                _replace(file, [*rows, row])

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._control / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # queues and messages

    def _queue_folder(self, queue: str) -> pathlib.Path:
        return self._folder / "queues" / _checked(queue)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return self._queue_folder(queue).is_dir()

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._queue_folder(queue).mkdir(parents=True, exist_ok=True)

    def _size(self, queue: str) -> int:
        return len(self._listing(queue))

    def _listing(self, queue: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(name for name in os.listdir(self._queue_folder(queue)) if name.endswith(".msg"))
        return []

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        folder = self._queue_folder(queue)
        name = f"{time.time_ns():020d}_{uuid.uuid4().hex}"
        try:
            (folder / f"{name}.new").write_text(json.dumps(message))
            os.rename(folder / f"{name}.new", folder / f"{name}.msg")
        except FileNotFoundError:
            return  # the queue was deleted meanwhile: nobody wants the message

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        ready = self._ready.setdefault(queue, deque())
        if not ready:
            taken = {path.name for path in self._taken.values()}
            ready.extend(name for name in self._listing(queue) if name not in taken)
        while ready:
            path = self._queue_folder(queue) / ready.popleft()
            try:
                message: dict[str, Any] = json.loads(path.read_bytes())
            except FileNotFoundError:
                continue
            tag = f"{queue}/{path.name}"
            message["properties"]["delivery_tag"] = tag
            self._taken[tag] = path
            return message
        raise Empty()

    def _purge(self, queue: str) -> int:
        names = self._listing(queue)
        for name in names:
            (self._queue_folder(queue) / name).unlink(missing_ok=True)
        return len(names)

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self._purge(queue)
        with contextlib.suppress(OSError):
            self._queue_folder(queue).rmdir()

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any) -> None:
        """As AMQP's exclusive consume.  Raises QueueTaken while another process consumes the queue."""
        if queue not in self._locks:
            lock = (self._control / f"{_checked(queue)}.consumer").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                lock.close()
                raise QueueTaken(f"ACCESS_REFUSED - queue {queue!r} in exclusive use") from error
            self._locks[queue] = lock
        super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)  # type: ignore[no-untyped-call]

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        super().basic_ack(delivery_tag)  # type: ignore[no-untyped-call]
        path = self._taken.pop(delivery_tag, None)
        if path is not None:
            path.unlink(missing_ok=True)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self.qos._quick_ack(delivery_tag)
        path = self._taken.pop(delivery_tag, None)
        if path is not None and not requeue:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        super().close()  # type: ignore[no-untyped-call]
        for lock in self._locks.values():
            lock.close()
        self._locks.clear()


class Transport(virtual.Transport):
    """The transport; its state is its own, so that one process may use several folders."""

    implements = virtual.Transport.implements.extend(
        asynchronous=False, exchange_type=frozenset(["direct", "topic", "fanout"])
    )
    Channel = Channel
    default_port = 0  # type: ignore[assignment]  # kombu's own transports do the same
    driver_type = "filesystem"
    driver_name = "obsvc-filesystem"

    def driver_version(self) -> str:
        return "1"


def _checked(name: str | None) -> str:
    if not name or not _NAME.match(name):
        raise ChannelError(f"expected a name of letters, digits and ._@-, got {name!r}")
    return name


def _replace(file: pathlib.Path, rows: list[Any]) -> None:
    fresh = file.with_suffix(f".{uuid.uuid4().hex}")
    fresh.write_text(json.dumps(rows))
    os.rename(fresh, file)
