"""Frames from the socket: however the bytes are cut, the same messages; what is not a whole message is py-amqp's."""
import errno
import struct
import types

import amqp.exceptions
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.messaging.frame_reader import FrameReader, route

CHANNEL, TAG, END = 3, b"ctag", b"\xce"


def frame(kind, channel, payload, end=END):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def short(text):
    return bytes([len(text)]) + text


def method(number, tag=TAG, exchange=b"nova", key=b"notifications.info", redelivered=0, channel=CHANNEL):
    """basic.deliver (AMQP 0.9.1, 1.8.3.13)."""
    told = short(tag) + struct.pack(">QB", number, redelivered) + short(exchange) + short(key)
    return frame(1, channel, b"\x00\x3c\x00\x3c" + told)


PROPERTIES = b"\x80\x00" + short(b"application/json")


def header(size, properties=PROPERTIES, channel=CHANNEL):
    return frame(2, channel, struct.pack(">HHQ", 60, 0, size) + properties)


def message(number, body, **told):
    return method(number, **told) + header(len(body)) + frame(3, CHANNEL, body)


class Socket:
    """Hands out its pieces, one a call; an exception in their place is raised."""

    def __init__(self, pieces):
        self.pieces = list(pieces)

    def recv(self, _size):
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece


class Reading:
    """A reader of the pieces; got: what was handed over, passed: the frames that py-amqp was given."""

    def __init__(self, pieces, buffered=b"", accepts=lambda tag: tag == TAG):
        self.got, self.passed = [], []
        self.connection = types.SimpleNamespace(
            sock=Socket(pieces), transport=types.SimpleNamespace(_read_buffer=buffered, connected=True),
            bytes_recv=0, on_inbound_frame=self.passed.append,
        )
        self.reader = FrameReader(self.connection, CHANNEL, self.take, accepts)

    def take(self, number, names, body):
        self.got.append((number, *route(names), body))

    def all(self):
        """As the consumer does it."""
        while True:
            while self.reader.handle():
                pass
            if not self.connection.sock.pieces:
                return self
            self.reader.fill()


def read(*pieces, **options):
    return Reading(pieces, **options).all()


def told(number, body, exchange=b"nova", key=b"notifications.info"):
    return number, exchange.decode(), key.decode(), body


STREAM = message(1, b'{"a": 1}') + message(2, b"x\xceyz" * 9, exchange=b"", redelivered=1) + frame(8, 0, b"") + \
    message(2**40, b"z", key=b"k" * 200)
TOLD = [told(1, b'{"a": 1}'), told(2, b"x\xceyz" * 9, exchange=b""), told(2**40, b"z", key=b"k" * 200)]


@pytest.mark.parametrize("at", range(1, len(STREAM)))
def test_cut_anywhere_the_messages_are_the_same(at):
    found = read(STREAM[:at], STREAM[at:])
    assert found.got == TOLD and found.passed == [(8, 0, b"")]


def test_octet_by_octet():
    found = read(*(STREAM[at:at + 1] for at in range(len(STREAM))))
    assert found.got == TOLD and found.passed == [(8, 0, b"")]


@settings(max_examples=200)
@given(st.data())
def test_any_messages_in_any_pieces(data):
    bodies = data.draw(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6))
    stream = b"".join(message(number, body) for number, body in enumerate(bodies))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=12, unique=True)))
    found = read(*(stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)))
    assert found.got == [told(number, body) for number, body in enumerate(bodies)] and not found.passed
    assert found.connection.bytes_recv == len(bodies)  # a sign of life each: py-amqp's heartbeat counts them


def test_what_py_amqp_had_read_ahead_comes_first():
    assert read(STREAM[50:], buffered=STREAM[:50]).got == TOLD


def test_other_frames_are_py_amqps_in_their_order():
    found = read(frame(8, 0, b"") + frame(1, 0, b"\x00\x0a\x00\x32") + frame(1, CHANNEL, b"\x00\x3c\x00\x15ok"))
    assert found.passed == [(8, 0, b""), (1, 0, b"\x00\x0a\x00\x32"), (1, CHANNEL, b"\x00\x3c\x00\x15ok")]
    assert found.got == []


@pytest.mark.parametrize(
    "frames",
    [
        [method(1), header(6), frame(3, CHANNEL, b"abc"), frame(3, CHANNEL, b"def")],  # a body in two frames
        [method(1), header(0)],  # no body
        [method(1), header(10_000), frame(3, CHANNEL, b"a" * 4000)],  # larger than a frame
        [method(1, tag=b"another"), header(1), frame(3, CHANNEL, b"a")],
        [method(1, channel=9), header(1, channel=9), frame(3, 9, b"a")],
        [method(1), frame(1, CHANNEL, b"\x00\x14\x00\x28")],  # the channel is closed in between
        [method(1), header(3000), frame(1, CHANNEL, b"\x00\x14\x00\x28")],
        [method(1), header(1), frame(8, 0, b""), frame(3, CHANNEL, b"a")],  # a heartbeat in between
        [method(1), header(3000), frame(8, 0, b"")],  # which is handled before the body is here
    ],
    ids=["frames", "empty", "large", "tag", "channel", "closed", "closed-later", "heartbeat", "heartbeat-first"],
)
def test_what_is_no_message_in_one_piece_is_put_together_by_py_amqp(frames):
    found = read(b"".join(frames))
    assert found.got == [] and [frame(*one) for one in found.passed] == frames


def test_after_what_py_amqp_handled_messages_are_handed_over_again():
    found = read(method(1) + header(2) + frame(3, CHANNEL, b"a") + frame(3, CHANNEL, b"b") + message(2, b"c"))
    assert found.got == [told(2, b"c")] and len(found.passed) == 4


@pytest.mark.parametrize("at", range(3))
def test_a_frame_without_its_end_octet_is_an_error(at):
    frames = [method(1), header(1), frame(3, CHANNEL, b"a")]
    frames[at] = frames[at][:-1] + b"\x00"
    with pytest.raises(amqp.exceptions.UnexpectedFrame, match="0xce"):
        read(b"".join(frames))


ANSWER = b"\x00\x32\x00\x0bok"


@pytest.mark.parametrize("cut", [1, 60, 100, 140, 200])
def test_while_py_amqp_waits_for_an_answer_messages_are_handed_over_as_ever(cut):
    stream = message(1, b"a") + message(2, b"b") + frame(1, CHANNEL, ANSWER) + message(3, b"c")
    reading = Reading([stream[:cut], stream[cut:]])
    assert reading.connection.transport.read_frame() == (1, CHANNEL, ANSWER)
    assert reading.got == [told(1, b"a"), told(2, b"b")]
    assert reading.all().got == [told(1, b"a"), told(2, b"b"), told(3, b"c")] and not reading.passed


def test_while_py_amqp_waits_it_gets_what_it_must_put_together():
    parts = [(1, CHANNEL, method(1)[7:-1]), (2, CHANNEL, header(2)[7:-1]), (3, CHANNEL, b"a"), (3, CHANNEL, b"b")]
    reading = Reading([b"".join(frame(*part) for part in parts) + message(2, b"c") + frame(1, CHANNEL, ANSWER)])
    assert [reading.connection.transport.read_frame() for _ in range(5)] == [*parts, (1, CHANNEL, ANSWER)]
    assert reading.got == [told(2, b"c")]


def test_a_closed_connection_is_an_error():
    reading = Reading([STREAM[:30], b""])
    reading.reader.fill()
    with pytest.raises(OSError, match="closed"):
        reading.reader.fill()


@pytest.mark.parametrize(
    ("error", "connected"),
    [(TimeoutError(), True), (OSError(errno.EAGAIN, "again"), True), (OSError(errno.ECONNRESET, "reset"), False)],
)
def test_an_error_of_the_socket_loses_nothing_that_was_read(error, connected):
    reading = Reading([STREAM[:30], error, STREAM[30:]])
    reading.reader.fill()
    with pytest.raises(OSError):
        reading.reader.fill()
    assert reading.connection.transport.connected is connected
    assert reading.all().got == TOLD
