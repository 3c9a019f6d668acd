"""What a cloud says on its bus: recorded notifications of nova, mostly about servers that nobody observes."""
from __future__ import annotations

import gzip
import random
import re
import uuid

import amqp
import kombu

from benchmarks.harness import ROOT
from benchmarks.messages import EXCHANGE, PROPERTIES
from obsvc.messaging.connection import SOCKET_SETTINGS
from obsvc.simcloud.replay import Message, read_messages

_LIFE = ROOT / "tests/data/nova-server-life.jsonl.gz"
_REQUEST = re.compile(rb"req-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SERVER = b"57c82a76-704d-41b8-b696-37296903fda4"


class Traffic:
    """Notifications in both families, the same for the same arguments.

    observed: ids of servers that are observed, and active.  share: of the notifications that are about those; all
    else is about servers of which each is named once.
    """

    def __init__(self, observed: list[str], share: float, seed: int = 1) -> None:
        self._observed = observed
        self._share = share
        self._random = random.Random(seed)
        with gzip.open(_LIFE, "rt") as lines:
            self._any = read_messages(lines)
        # What is told of the observed is true of a server that is active.
        self._active = [each for each in self._any if each.event_type in ("compute.instance.update", "instance.update")
                        and b'\\"state\\": \\"active\\"' in each.body]
        assert self._active

    def next(self) -> tuple[str, bytes, str | None]:
        """Routing key, body, and the id of the observed server that it is about, None for one that is not."""
        if self._random.random() < self._share:
            one = self._random.choice(self._observed)
            return *self._about(self._random.choice(self._active), one), one
        nobodys = str(uuid.UUID(int=self._random.getrandbits(128)))
        return *self._about(self._random.choice(self._any), nobodys), None

    def _about(self, message: Message, server: str) -> tuple[str, bytes]:
        told = message.body.replace(_SERVER, server.encode())
        request = f"req-{uuid.UUID(int=self._random.getrandbits(128))}"  # else two would pass for copies of one
        return message.routing_key, _REQUEST.sub(request.encode(), told)


class Bus:
    """Publishes as nova does, but without waiting for the broker's confirmation of each; for one thread.

    Leaving the context waits until the broker has read all of it.
    """

    def __init__(self, url: str) -> None:
        self._connection = kombu.Connection(url, transport_options={"socket_settings": SOCKET_SETTINGS})

    def __enter__(self) -> Bus:
        self._channel = self._connection.channel()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._channel.close()
        finally:
            self._connection.release()

    def publish(self, routing_key: str, body: bytes) -> None:
        self._channel.basic_publish(amqp.Message(body, **PROPERTIES), exchange=EXCHANGE, routing_key=routing_key)
