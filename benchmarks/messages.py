"""Messages as a cloud's services send them: a recorded server's life, told of as many servers as are wanted.

Each message is one of tests/data (nova 34, both families, as it was on the wire) with the server's id replaced.
"""
from __future__ import annotations

import gzip
import json
import random
import uuid
from typing import NamedTuple

from benchmarks.harness import ROOT

EXCHANGE = "nova"

#: Servers that the messages of a benchmark are about.
SERVERS = 1000

PROPERTIES = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2, "priority": 0}


class Message(NamedTuple):
    body: bytes
    routing_key: str


def recorded() -> tuple[list[Message], str]:
    """The messages in the order of their arrival, and the server's id."""
    with gzip.open(ROOT / "tests/data/nova-server-life.jsonl.gz", "rt") as lines:
        found = [json.loads(line) for line in lines]
    with gzip.open(ROOT / "tests/data/nova-server-life.bodies.jsonl.gz", "rt") as lines:
        server = json.loads(lines.readline())["server"]["id"]
    return [Message(each["body"].encode(), each["routing_key"]) for each in found], server


def server_ids(count: int, seed: int = 7) -> list[str]:
    """The same ids for the same arguments, in every process."""
    rng = random.Random(seed)
    return [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(count)]


def lives(count: int, servers: int = SERVERS, seed: int = 7) -> list[Message]:
    """``count`` messages of ``servers`` servers, mixed; about as many of each kind as there are in a life."""
    rng = random.Random(seed)
    ids = server_ids(servers, seed)
    messages, server = recorded()
    made = []
    for number in range(count):
        message = messages[number % len(messages)]
        one = rng.choice(ids)
        made.append(Message(message.body.replace(server.encode(), one.encode()), message.routing_key))
    return made
