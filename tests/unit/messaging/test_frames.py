"""Properties of a message can't hurt: they are cut off before anybody decodes them."""
import struct

import pytest
from amqp.method_framing import frame_handler

from obsvc.messaging import frames

DELIVER = struct.pack(">HH", 60, 60) + b"\3tag" + struct.pack(">QB", 1, 0) + b"\4nova\1k"

#: Flags and what follows them: a content type that is no UTF-8, headers of an unknown type, headers that end early.
HOSTILE = {
    "no_utf8": b"\x80\x00\x04\xff\xfe\xff\xff",
    "unknown_type": b"\x20\x00" + struct.pack(">I", 4) + b"\1a\x01\x01",
    "ends_early": b"\x20\x00" + struct.pack(">I", 900) + b"\1aS",
    "all_flags": b"\xff\xff",
}


class Connection:
    bytes_recv = 0


def deliver(handler, properties):
    got = []
    handle = handler(Connection(), lambda channel, method, args, content: got.append(content))
    handle((1, 1, DELIVER))
    handle((2, 1, struct.pack(">HHQ", 60, 0, 5) + properties))
    handle((3, 1, b"hello"))
    return got


@pytest.mark.parametrize("properties", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_properties_are_not_looked_at(properties):
    with pytest.raises(Exception):  # noqa: B017 - whatever py-amqp raises: this is why we cut them off
        deliver(frame_handler, properties)
    assert [bytes(content.body) for content in deliver(frames.without_properties, properties)] == [b"hello"]
