"""AMQP 0.9.1 frames, read from the socket in large pieces (AMQP 0.9.1 specification, 2.3 and 4.2).

py-amqp makes nine ``recv`` calls and a dozen objects for each message; here one ``recv`` brings many, and a message
that lies whole in the buffer is handed over from it.  Everything else (answers, cancellations, heartbeats, messages
of several frames) goes through py-amqp as before: :class:`FrameReader` takes the place of its transport's
``read_frame``, so that whoever reads the connection reads from the one buffer.

For the one thread that owns the connection.  Over TLS as well: the socket's own ``recv`` decrypts.
"""
from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import Any

import amqp.exceptions

#: Bytes asked for at once: some twenty notifications.
_PIECE = 64 * 1024

_FRAME = struct.Struct(">BHI")  # type, channel, size; the payload and the end octet follow
_CONTENT = struct.Struct(">HHQ")  # class, weight, body size: how the payload of a content header begins
_LONG = struct.Struct(">Q")
_METHOD, _HEADER, _BODY = 1, 2, 3
_DELIVER = b"\x00\x3c\x00\x3c"  # basic.deliver: class 60, method 60
_END = 0xCE
_AROUND = _FRAME.size + 1

#: What ``on_deliver`` is called with: consumer tag, delivery tag, exchange, routing key, body.
OnDeliver = Callable[[bytes, int, bytes, bytes, bytes], None]


class FrameReader:
    """Reads the frames of ``connection`` from here on; messages on ``channel`` go to ``on_deliver``.

    accepts(consumer tag): False for a message that py-amqp shall handle.
    """

    def __init__(self, connection: Any, channel: int, on_deliver: OnDeliver, accepts: Callable[[bytes], bool]) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._socket = connection.sock
        self._channel = channel
        self._on_deliver = on_deliver
        self._accepts = accepts
        self._data = bytes(getattr(self._transport, "_read_buffer", b""))
        self._at = 0
        self._transport.read_frame = self.read_frame

    def read_frame(self, *_: Any) -> tuple[int, int, bytes]:
        """The next frame as (type, channel, payload), waited for; what py-amqp calls."""
        while (frame := self._whole(self._at)) is None:
            self.fill()
        kind, channel, begin, end = frame
        self._at = end + 1
        return kind, channel, self._data[begin:end]

    def fill(self) -> None:
        """One ``recv``.  Raises OSError when the connection is lost; a time-out loses nothing."""
        try:
            piece = self._socket.recv(_PIECE)
            if not piece:
                raise OSError("the broker closed the connection")
        except TimeoutError:
            raise
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                self._transport.connected = False
            raise
        self._data = self._data[self._at:] + piece if self._at < len(self._data) else piece
        self._at = 0

    def handle(self) -> bool:
        """Handle the next frame, or whole message, of the buffer; False when there is none."""
        frame = self._whole(self._at)
        if frame is None:
            return False
        kind, channel, begin, end = frame
        if kind == _METHOD and channel == self._channel and self._data.startswith(_DELIVER, begin):
            handled = self._deliver(begin, end)
            if handled is not None:
                return handled
        self._at = end + 1
        self._connection.on_inbound_frame((kind, channel, self._data[begin:end]))
        return True

    def _whole(self, at: int) -> tuple[int, int, int, int] | None:
        """Type, channel, and where the payload begins and ends; None while the frame is not all here."""
        data = self._data
        if len(data) - at < _AROUND:
            return None
        kind, channel, size = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + size
        if end >= len(data):
            return None
        if data[end] != _END:
            raise amqp.exceptions.UnexpectedFrame(f"expected a frame's end, 0xce, got {data[end]:#04x}")
        return kind, channel, end - size, end

    def _deliver(self, at: int, end: int) -> bool | None:
        """Hand over the message whose method is at hand.

        False while it is not all here; None when py-amqp shall put it together.
        """
        data = self._data
        header = self._whole(end + 1)
        if header is None:
            return False
        if header[0] != _HEADER or header[1] != self._channel:
            return None
        size = _CONTENT.unpack_from(data, header[2])[2]
        first = header[3] + 1
        if not size or size + _AROUND > self._connection.frame_max:
            return None
        body = self._whole(first)
        if body is None:
            return False
        if body[0] != _BODY or body[1] != self._channel or body[3] - body[2] != size:
            return None
        at += len(_DELIVER)
        tag = data[at + 1:at + 1 + data[at]]
        at += 1 + len(tag)
        if not self._accepts(tag):
            return None
        number = _LONG.unpack_from(data, at)[0]
        at += _LONG.size + 1  # the octet after it says whether it was redelivered
        exchange = data[at + 1:at + 1 + data[at]]
        at += 1 + len(exchange)
        routing_key = data[at + 1:at + 1 + data[at]]
        self._at = body[3] + 1
        self._connection.bytes_recv += 1  # a sign of life, for the heartbeats
        self._on_deliver(tag, number, exchange, routing_key, data[body[2]:body[3]])
        return True
