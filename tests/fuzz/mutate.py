"""Damage to messages, each kind a small function of ``(random, sample)`` that answers the body to send.

:func:`mutation` is a pure function of the corpus, a seed and an index: any failure is found again by its two numbers.
"""
from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from tests.fuzz.corpus import CANARY, Sample

#: Bytes of the largest body that is made.
LARGEST = 10 * 1024 * 1024

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

#: Values that stand where something else is expected.
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**53 + 1, -(2**63), 2**64 - 1, 1e308, "", " ", "\0", "a\0b", "x" * 300, "é" * 200,
    "\N{GRINNING FACE}" * 100, "\u202e\u200b", "\r\n\x1b[31m", "../../../etc/passwd", "%s%n{0}", [], {},
    "'; DROP TABLE ref", [[]], [None], {"": {}}, {"id": {"id": {}}}, [{"id": 1}, {"id": []}, "x"],
    {"nova_object.data": None}, {"nova_object.data": [1], "nova_object.name": 7},
    {"a_object.data": {"a_object.data": {"a_object.data": 1}}},
)
_KEYS = ("event_type", "payload", "publisher_id", "priority", "timestamp", "message_id", "_context_project_id",
         "_context_auth_token", "eventType", "typeURI", "outcome", "initiator", "nova_object.data", "oslo.message", "")

#: JSON that no dict can say: put into the text itself.
_TOKENS = (
    b"1e999", b"-1e999", b"9" * 400, b"9" * 5000, b"-" + b"9" * 20000, b"0." + b"1" * 3000, b"NaN", b"Infinity", b"-",
    b"01", b"1e", b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u0000"', b'"\xed\xa0\x80"', b'"\xff\xfe"', b'"\xc0\xaf"',
    b'"\\x41"', b"'a'", b"undefined", b"tru", b"[1,]", b"{,}", b'{"a":1,"a":2}', b"/**/1", b'"unended', b"",
)

_BYTES = (b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b'"', b"\\", b"{", b"]", b"\n")

#: As text, for each use makes its own: what one message damages must not be in the next.
_ODD_TEXTS = tuple(_encode(value) for value in _ODD)


def _odd(rng: random.Random) -> Any:
    return _decode(rng.choice(_ODD_TEXTS))


class Mutated(NamedTuple):
    """kind: the names of what was done, joined by ``+``."""

    kind: str
    exchange: str
    routing_key: str
    body: bytes


def mutation(samples: Sequence[Sample], seed: int, index: int, *, large_share: float = 0.0005) -> Mutated:
    """The message number ``index`` of ``seed``; large_share: of bodies that are blown up to megabytes."""
    rng = random.Random((seed << 40) | index)
    sample = rng.choice(samples)
    if rng.random() < large_share:
        kind, make = "large", large
    else:
        kind, make = rng.choice(_KINDS)
    body = make(rng, sample)
    if rng.random() < 0.15:
        kind, body = f"{kind}+bytes", _damaged(rng, body)
    exchange = sample.exchange if rng.random() < 0.9 else rng.choice(("", "nova", "\ufffd", "x" * 255))
    return Mutated(kind, exchange, sample.routing_key, body)


# bytes

def flipped(rng: random.Random, sample: Sample) -> bytes:
    return _damaged(rng, sample.body)


def _damaged(rng: random.Random, body: bytes) -> bytes:
    damaged = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 30))):
        at = rng.randrange(len(damaged) + 1)
        what = rng.randrange(6)
        if what == 0 and damaged:
            damaged[at - 1] ^= 1 << rng.randrange(8)
        elif what == 1:
            del damaged[at: at + rng.randrange(1, 50)]
        elif what == 2:
            damaged[at:at] = rng.choice((*_BYTES, rng.randbytes(8)))
        elif what == 3:
            damaged[at:at] = damaged[at: at + rng.randrange(1, 200)]
        elif what == 4:
            other = rng.randrange(len(damaged) + 1)
            damaged[at: at + 20] = damaged[other: other + 20]
        else:
            damaged[at: at + 8] = rng.randbytes(rng.randrange(9))
    return bytes(damaged)


def cut(rng: random.Random, sample: Sample) -> bytes:
    at = rng.randrange(len(sample.body) + 1)
    return sample.body[:at] if rng.random() < 0.5 else sample.body[at:]


def spliced(rng: random.Random, sample: Sample) -> bytes:
    one, other = rng.randrange(len(sample.body)), rng.randrange(len(sample.body))
    return sample.body[:one] + sample.body[other:]


def noise(rng: random.Random, sample: Sample) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 2, 10, 1000)))


# structure

def structured(rng: random.Random, sample: Sample) -> bytes:
    inner = _decode(sample.inner)
    for _ in range(rng.choice((1, 1, 2, 5))):
        holder, key = _place(rng, inner)
        if holder is None:
            return _encode(_odd(rng))
        what = rng.randrange(7)
        if what == 0:
            del holder[key]
        elif what <= 3:
            holder[key] = _odd(rng)
        elif what == 4:
            holder[key] = [holder[key]] * rng.choice((1, 2, 1500))
        elif what == 5 and isinstance(holder, dict):
            holder[rng.choice(_KEYS)] = holder.pop(key)
        else:
            holder[key] = {rng.choice(_KEYS): holder[key], "token": CANARY}
    return _wrapped(rng, _encode(inner))


def top_level(rng: random.Random, sample: Sample) -> bytes:
    inner = _decode(sample.inner)
    inner[rng.choice(_KEYS)] = rng.choice((_odd(rng), _odd(rng), CANARY, _decode(sample.inner)))
    return _wrapped(rng, _encode(inner))


def tokens(rng: random.Random, sample: Sample) -> bytes:
    inner = _decode(sample.inner)
    holder, key = _place(rng, inner)
    if holder is None:
        return rng.choice(_TOKENS)
    holder[key] = "@@@"
    return _wrapped(rng, _encode(inner).replace(b'"@@@"', rng.choice(_TOKENS)))


def doubled(rng: random.Random, sample: Sample) -> bytes:
    """Duplicate keys: of the inner object or of the envelope."""
    key, value = rng.choice(_KEYS), _encode(_odd(rng))
    extra = _encode(key) + b":" + value
    inner = sample.inner[:-1] + b"," + extra + b"}" if rng.random() < 0.5 else b"{" + extra + b"," + sample.inner[1:]
    if rng.random() < 0.3:
        text = _encode(sample.inner.decode())
        first, last = b'{"oslo.version":"2.0","oslo.message":' + value, b',"oslo.version":' + value + b"}"
        return first + b',"oslo.message":' + text + last
    return _wrapped(rng, inner)


def nested(rng: random.Random, sample: Sample) -> bytes:
    depth = rng.choice((50, 500, 900, 1100, 5000, 100_000))
    opened, closed = rng.choice((
        (b"[", b"]"), (b'{"a":', b"}"), (b'{"nova_object.data":', b"}"), (b'[{"payload":', b"}]"),
    ))
    deep = opened * depth + (b"1" + closed * depth if rng.random() < 0.7 else b"")
    if rng.random() < 0.2:
        return deep
    return _wrapped(rng, sample.inner[:-1] + b',"payload":' + deep + b"}")


# envelope and encoding

def enveloped(rng: random.Random, sample: Sample) -> bytes:
    text = sample.inner.decode()
    version = rng.choice(
        ("2.0", "2.99", "1.0", "3.0", "2", "", "two", 2, 2.0, None, [2], {"2": 0}, CANARY, "2." + "9" * 500)
    )
    message = rng.choice((text, text, _decode(sample.inner), [text], None, 7, text[:-1], json.dumps(text), ""))
    envelope = {"oslo.version": version, "oslo.message": message}
    if rng.random() < 0.2:
        envelope.pop(rng.choice(("oslo.version", "oslo.message")))
    if rng.random() < 0.3:
        envelope = {"request": rng.choice((envelope, [envelope], {"request": envelope}, "x", None)), "context": {}}
    if rng.random() < 0.1:
        envelope = {"oslo.version": "2.0", "oslo.message": json.dumps(envelope)}
    return json.dumps(envelope).encode()


def encoded(rng: random.Random, sample: Sample) -> bytes:
    text = sample.body.decode()
    return rng.choice((
        lambda: text.encode("utf-16"), lambda: text.encode("utf-16-le"), lambda: text.encode("utf-32"),
        lambda: text.encode("utf-8-sig"), lambda: text.encode("utf-7"),
        lambda: text.replace("e", "é").encode("latin-1", "replace"),
        lambda: base64.b64encode(sample.body), lambda: gzip.compress(sample.body, 1), lambda: text.encode("cp500"),
        lambda: sample.body + b"\0" * 100, lambda: b"\n\t " * 100 + sample.body, lambda: sample.body + sample.body,
    ))()


def large(rng: random.Random, sample: Sample) -> bytes:
    """Up to LARGEST bytes of one thing."""
    size = rng.choice((100_000, 1_000_000, LARGEST)) - len(sample.inner) - 200
    unit = rng.choice((b"[", b'"', b"\\", b" ", b"\0", b"9", b"{},", b'{"id":"x"},', b"gAAAA", b'"token":"', b"x", b"://a:"))
    filling = unit * (size // len(unit))
    made = rng.choice((
        lambda: filling,
        lambda: sample.inner[:-1] + b',"payload":"' + filling + b'"}',
        lambda: sample.inner[:-1] + b',"payload":{"ports":[' + filling + b'{"id":1}]}}',
        lambda: sample.inner[:-1] + b',"event_type":"' + b"e" * size + b'"}',
    ))()
    return made[:LARGEST]


def _place(rng: random.Random, value: Any) -> tuple[Any, Any]:
    """A holder and a key or index somewhere inside ``value``."""
    holder, key = None, None
    while isinstance(value, dict | list) and value:
        holder, key = value, rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        value = holder[key]
        if rng.random() < 0.3:
            break
    return holder, key


def _wrapped(rng: random.Random, inner: bytes) -> bytes:
    how = rng.randrange(4)
    if how == 0:
        return inner
    if how == 1:
        return b'{"oslo.version":"2.0","oslo.message":' + inner + b"}"
    escaped = inner.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'{"oslo.version": "2.0", "oslo.message": "' + escaped + b'"}'


_KINDS: tuple[tuple[str, Callable[[random.Random, Sample], bytes]], ...] = (
    ("bytes", flipped), ("cut", cut), ("spliced", spliced), ("noise", noise), ("structure", structured),
    ("structure", structured), ("top", top_level), ("tokens", tokens), ("doubled", doubled), ("envelope", enveloped),
    ("encoding", encoded), ("nested", nested),
)
