"""Frames without the properties of messages, which are never read here.

py-amqp decodes every property of every message: headers, content type, time.  A publisher may put anything there, the
broker passes it on unchanged, and py-amqp raises for what it can't decode (a content type that is not UTF-8, a header
of an unknown type, an invalid time) before anybody sees the message.  Such a message would end the connection, be
delivered again on the next one, and end that too, for ever.

Only the body is needed, so the properties are cut off before they are decoded.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amqp.method_framing import frame_handler

#: Type of a content header frame (AMQP 0-9-1, 2.3.5.2), and its bytes before the property flags: class, weight, size.
_HEADER = 2
_FIXED = 12
_NO_PROPERTIES = b"\0\0"


def without_properties(connection: Any, callback: Callable[..., None], **options: Any) -> Callable[[Any], bool]:
    """py-amqp's frame handler for ``connection``; give it as its ``frame_handler``."""
    handle = frame_handler(connection, callback, **options)

    def on_frame(frame: tuple[int, int, Any]) -> bool:
        kind, channel, content = frame
        if kind == _HEADER:
            frame = (kind, channel, bytes(content[:_FIXED]) + _NO_PROPERTIES)
        return bool(handle(frame))

    return on_frame
