"""The bus in a folder: what kombu's own filesystem transport gets wrong."""
import socket
import threading

import pytest

from obsvc.exceptions import ConfigError, Unavailable
from obsvc.messaging import Broker, Publisher, topology
from obsvc.messaging.connection import release
from obsvc.messaging.consumer import QueueInUse, consume


@pytest.fixture
def url(tmp_path):
    return f"filesystem://{tmp_path}/bus"


class Reader:
    """A consumer on a connection of its own."""

    def __init__(self, url, name="obs-1", keys=("notifications.info",), prefetch=100):
        self.connection = Broker(url).connect()
        self.queue = topology.QueueSettings(topology.queue_name(name, "main"))
        self.declared = topology.declare_own_queue(self.connection, self.queue, ["nova"], keys)
        self.got = []
        self.consumer = consume(self.connection, self.queue.name, self.got.append, prefetch)

    def bodies(self):
        self.consumer.run(0.01)
        return [message.body for message in self.got]

    def close(self):
        self.consumer.close()
        release(self.connection)


def test_every_member_gets_what_is_published_with_its_key(url):
    one, two = Reader(url), Reader(url, "obs-2", keys=("other.info", "notifications.info"))
    publisher = Publisher(url, "nova")
    publisher.publish("notifications.info", b'{"a": "\xc3\xa9"}')
    publisher.publish("notifications.error", b"{}")
    publisher.publish("other.info", b'{"b": 1}')
    assert one.bodies() == [b'{"a": "\xc3\xa9"}']
    assert two.bodies() == [b'{"a": "\xc3\xa9"}', b'{"b": 1}']
    assert one.got[0].exchange == "nova" and one.got[0].routing_key == "notifications.info"


def test_bytes_that_are_no_text_come_as_they_were(url):
    reader = Reader(url)
    Publisher(url, "nova").publish("notifications.info", b"\xff\xfe{")
    assert reader.bodies() == [b"\xff\xfe{"]


def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(url):
    reader = Reader(url)
    publisher = Publisher(url, "nova")
    for index in range(3):
        publisher.publish("notifications.info", b"%d" % index)
    assert reader.bodies() == [b"0", b"1", b"2"]
    reader.consumer.acknowledge([reader.got[1].tag], multiple=False)
    reader.close()
    again = Reader(url)
    assert not again.declared.queue_was_missing
    assert again.bodies() == [b"0", b"2"]


def test_prefetch_bounds_what_is_taken(url):
    reader = Reader(url, prefetch=2)
    publisher = Publisher(url, "nova")
    for index in range(5):
        publisher.publish("notifications.info", b"%d" % index)
    assert reader.bodies() == [b"0", b"1"]
    reader.consumer.acknowledge([message.tag for message in reader.got], multiple=True)
    assert reader.bodies() == [b"0", b"1", b"2", b"3"]


def test_a_queue_has_one_consumer(url):
    first = Reader(url)
    with pytest.raises(QueueInUse):
        Reader(url)
    first.consumer.pause()
    first.consumer.resume()
    first.close()
    Reader(url).close()


def test_bindings_declared_at_once_by_many_are_all_kept(url):
    readers, errors = [], []

    def declare(index):
        try:
            readers.append(Reader(url, f"obs-{index}"))
        except Exception as error:  # noqa: BLE001 - told by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=declare, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    Publisher(url, "nova").publish("notifications.info", b"{}")
    assert all(reader.bodies() == [b"{}"] for reader in readers)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden"])
def test_names_cannot_leave_the_folder(url, name):
    publisher = Publisher(url, name)
    with pytest.raises(Unavailable):
        publisher.publish("notifications.info", b"{}")


@pytest.mark.parametrize(
    "bad", ["", " ; ", "filesystem://relative", "filesystem://", "nonsense://x", "amqp://host:port//", "plain"]
)
def test_urls_that_cannot_be_used_are_refused_at_once(bad):
    with pytest.raises(ConfigError) as caught:
        Broker(bad)
    assert "expected" in caught.value.message


def test_passwords_do_not_show():
    broker = Broker("amqp://user:secret@127.0.0.1:1//;amqp://u2:secret2@127.0.0.1:2//")
    assert "secret" not in str(broker)


def test_unreachable_broker_names_every_url(monkeypatch):
    def refused(*_args, **_kwargs):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "socket", refused)
    with pytest.raises(Unavailable) as caught:
        Broker("amqp://u:secret@127.0.0.1:1//;amqp://127.0.0.1:2//").connect()
    assert ":1" in caught.value.message and ":2" in caught.value.message and "secret" not in caught.value.message
