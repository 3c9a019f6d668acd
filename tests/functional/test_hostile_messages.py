"""A message that py-amqp can't decode must not end the connection again and again."""
import struct

import amqp

from obsvc.listeners.settings import BusSettings
from obsvc.messaging import Publisher, wire
from tests.support.processes.listening import connected, hearing, instance_update

INFO = "notifications.info"
NO_UTF8 = struct.pack(">H", 0x8000) + b"\x04\xff\xfe\xff\xff"


class _Hostile(amqp.Message):
    """Its content type is not UTF-8."""

    def _serialize_properties(self):
        return NO_UTF8


def test_properties_that_cant_be_decoded_do_no_harm(shared_rabbitmq):
    url = shared_rabbitmq.create_vhost("hostile")
    with hearing(BusSettings("main", url, exchanges=("nova",))) as heard:
        with connected(url) as connection:
            channel = connection.channel()
            channel.basic_publish(_Hostile(wire.pack(instance_update("hostile"))), exchange="nova", routing_key=INFO)
            channel.close()
        publisher = Publisher(url, "nova")
        publisher.publish(INFO, wire.pack(instance_update("after")))
        publisher.close()
        heard.wait_count(2)
        assert heard.ids() == ["hostile", "after"]
        assert heard.gaps == [] and heard.letters == []
