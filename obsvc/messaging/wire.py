"""The oslo.messaging wire format of notifications (its ``notify/messaging.py`` and ``_drivers/common.py``).

Driver ``messagingv2`` sends ``{"oslo.version": "2.0", "oslo.message": "<JSON text>"}``; driver ``messaging`` sends
the inner object without an envelope; over AMQP 1.0 the envelope is under ``request``, beside ``context``.  oslo's own
rule: an object without both envelope keys is the message itself; the major version must be 2.

Pure; any thread.  The only error raised is UndecodableMessage.
"""
from __future__ import annotations

import re
from typing import Any

import msgspec

from obsvc.exceptions import UndecodableMessage

#: Bytes of the largest body that is read.  Real ones are below 50 KB; RabbitMQ's own limit is
#: 128 MB.  A body beyond this becomes a dead letter.
MAX_BODY = 16 * 1024 * 1024

VERSION = "2.0"

_QUOTE = ord('"')

#: What is shown of an unknown version; anything else in its place may be a secret.
_VERSION = re.compile(rb'"?\d{1,5}(\.\d{1,5}){0,2}"?')

#: What msgspec raises for JSON that it can't read; RecursionError for JSON nested too deeply.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError, ValueError)


class _Envelope(msgspec.Struct, gc=False):
    version: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="oslo.version", default=msgspec.UNSET)
    message: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="oslo.message", default=msgspec.UNSET)
    request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Plain(msgspec.Struct, gc=False):
    """The envelope as oslo.messaging writes it: both values are texts, read in one pass."""

    version: str | msgspec.UnsetType = msgspec.field(name="oslo.version", default=msgspec.UNSET)
    message: str | msgspec.UnsetType = msgspec.field(name="oslo.message", default=msgspec.UNSET)


_plain = msgspec.json.Decoder(_Plain)
_envelope = msgspec.json.Decoder(_Envelope)
_text = msgspec.json.Decoder(str)
_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def pack(inner: dict[str, Any]) -> bytes:
    """The body that driver ``messagingv2`` would send for ``inner``, a whole inner notification."""
    return _encode({"oslo.version": VERSION, "oslo.message": _encode(inner).decode()})


def unpack(body: bytes | str, *, max_body: int = MAX_BODY) -> dict[str, Any]:
    """The inner notification of a message body as a dict.  Raises UndecodableMessage."""
    inner = unwrap(body, max_body=max_body)
    try:
        message = _any.decode(inner)
    except DECODE_ERRORS as error:
        raise undecodable(error) from error
    if not isinstance(message, dict):
        raise UndecodableMessage(
            f"expected a JSON object as notification, got {type(message).__name__}", reason="not_an_object"
        )
    return message


def unwrap(body: bytes | str, *, max_body: int = MAX_BODY) -> bytes | str:
    """The JSON text of the inner notification, with only the envelope read.  Raises UndecodableMessage."""
    if len(body) > max_body:
        raise UndecodableMessage(f"expected a body of at most {max_body} bytes, got {len(body)}", reason="oversized")
    try:
        plain = _plain.decode(body)
        if plain.version == VERSION and type(plain.message) is str:
            return plain.message
    except DECODE_ERRORS:
        pass  # not what oslo.messaging writes: the errors are reported below
    try:
        envelope = _envelope.decode(body)
        if envelope.request is not msgspec.UNSET and envelope.message is msgspec.UNSET:
            envelope = _nested(envelope.request) or envelope
        if envelope.message is msgspec.UNSET or envelope.version is msgspec.UNSET:
            return body
        version = bytes(envelope.version)
        if version.strip(b'" ').split(b".")[0] != b"2":
            shown = version.decode() if _VERSION.fullmatch(version) else f"{len(version)} bytes that are no version"
            raise UndecodableMessage(f"expected oslo.version 2.x, got {shown}", reason="unknown_version")
        if memoryview(envelope.message)[0] != _QUOTE:
            return bytes(envelope.message)
        return _text.decode(envelope.message)
    except DECODE_ERRORS as error:
        raise undecodable(error) from error


def _nested(request: msgspec.Raw) -> _Envelope | None:
    if bytes(request)[:1] != b"{":
        return None
    inner = _envelope.decode(request)
    return inner if inner.message is not msgspec.UNSET and inner.version is not msgspec.UNSET else None


def undecodable(error: Exception) -> UndecodableMessage:
    """What a JSON error means for the message: the reason as a stable word, and a text that quotes nothing of it."""
    if isinstance(error, UndecodableMessage):
        return error
    if isinstance(error, RecursionError):
        return UndecodableMessage("expected JSON of a sane depth, got one nested too deeply", reason="too_deep")
    if isinstance(error, msgspec.ValidationError):
        return UndecodableMessage(f"expected an oslo notification: {error}", reason="not_a_notification")
    return UndecodableMessage(f"expected JSON: {error}", reason="not_json")
