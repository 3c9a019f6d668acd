"""AMQP 0.9.1 frames, read from the socket in large pieces (AMQP 0.9.1 specification, 2.3 and 4.2).

py-amqp makes nine ``recv`` calls and a dozen objects for each message; here one ``recv`` reads many messages, and a
message that is complete in the buffer is handed over from it.  Everything else (answers, cancellations, heartbeats,
messages of several frames) goes through py-amqp as usual: :class:`FrameReader` replaces its transport's ``read_frame``,
so that all readers of the connection share one buffer.

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

#: What ``on_deliver`` is called with: delivery tag, exchange and routing key (for :func:`route`), body.
OnDeliver = Callable[[int, bytes, bytes], None]


class FrameReader:
    """Reads the frames of ``connection`` from here on; messages on ``channel`` go to ``on_deliver``.

    accepts(consumer tag): False for a message that py-amqp is to handle.
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
        """Wait for the next frame and return (type, channel, payload).

        Called by py-amqp for an answer, which may be behind messages that were under way: these are handed over as
        usual.
        """
        while True:
            frame = self._whole(self._at)
            handled = None if frame is None else self._message(frame)
            if frame is None or handled is False:
                self.fill()
            elif handled is None:
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
        handled = self._message(frame)
        if handled is not None:
            return handled
        kind, channel, begin, end = frame
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
            raise _broken(data[end])
        return kind, channel, end - size, end

    def _message(self, frame: tuple[int, int, int, int]) -> bool | None:
        """Hand over the message that begins with ``frame``.

        False while it is not all here; None when it is none, or py-amqp shall put it together.
        """
        kind, channel, at, end = frame
        data = self._data
        if kind != _METHOD or channel != self._channel or not data.startswith(_DELIVER, at):
            return None
        first = end + 1 + _FRAME.size
        if len(data) < first:
            return False
        kind, channel, length = _FRAME.unpack_from(data, end + 1)
        if kind != _HEADER or channel != self._channel:
            return None
        if len(data) < first + _CONTENT.size:
            return False
        size = _CONTENT.unpack_from(data, first)[2]
        begin = first + length + _AROUND
        if not size:
            return None
        if len(data) < begin:
            return False
        if _FRAME.unpack_from(data, begin - _FRAME.size) != (_BODY, self._channel, size):
            return None
        last = begin + size
        if last >= len(data):
            return False
        if data[first + length] != _END or data[last] != _END:
            raise _broken(data[last] if data[first + length] == _END else data[first + length])
        at += len(_DELIVER)
        begun = at + 1 + data[at]
        tag = data[at + 1:begun]
        if not self._accepts(tag):
            return None
        number = _LONG.unpack_from(data, begun)[0]
        self._at = last + 1
        self._connection.bytes_recv += 1  # a sign of life, for the heartbeats
        # The octet after the number says whether it was redelivered.
        self._on_deliver(number, data[begun + _LONG.size + 1:end], data[begin:last])
        return True


def route(raw: bytes) -> tuple[str, str]:
    """Exchange and routing key, as a delivery has them one after the other."""
    middle = 1 + raw[0]
    return raw[1:middle].decode("utf-8", "replace"), raw[middle + 1:].decode("utf-8", "replace")


def _broken(octet: int) -> amqp.exceptions.UnexpectedFrame:
    return amqp.exceptions.UnexpectedFrame(f"expected a frame's end, 0xce, got {octet:#04x}")
