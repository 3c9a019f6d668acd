"""The bus in a folder across processes: a producer and several consumers, killed and started again."""
import subprocess
import sys

from obsvc.listeners.settings import BusSettings
from tests.support.processes.listening import hearing
from tests.support.processes.servers import wait_until

PRODUCER = """
import sys
from obsvc.messaging import Publisher, wire
publisher = Publisher(sys.argv[1], "nova")
for index in range(int(sys.argv[2])):
    publisher.publish("notifications.info", wire.pack({"event_type": "compute.instance.update", "priority": "INFO",
        "payload": {"instance_id": f"{sys.argv[3]}-{index}", "tenant_id": "p", "state": "active"}}))
"""

#: Takes without settling until it is killed; says that it is there.
CONSUMER = """
import sys, threading
from obsvc.catalog import load
from obsvc.listeners.decode import Decoder
from obsvc.listeners.listener import BusListener, Receiver
from obsvc.listeners.settings import BusSettings
listener = BusListener(BusSettings("main", sys.argv[1], exchanges=("nova",)), "obs-2", Decoder(load()),
                       Receiver(lambda notification, delivery: print(notification.refs[0].resource_id, flush=True),
                                on_gap=print, store_dead_letter=print)).start()
threading.Event().wait()
"""


def produce(url, count, name):
    return subprocess.Popen([sys.executable, "-c", PRODUCER, url, str(count), name])


def test_two_producers_and_two_members_meet_in_the_folder(tmp_path):
    bus = BusSettings("main", f"filesystem://{tmp_path}/bus", exchanges=("nova", "neutron"))
    with hearing(bus, "obs-1") as one, hearing(bus, "obs-2") as two:
        producers = [produce(bus.url, 200, name) for name in ("left", "right")]
        wanted = {f"{name}-{index}" for name in ("left", "right") for index in range(200)}
        for heard in (one, two):
            wait_until(lambda heard=heard: len(heard.notifications) >= 400, bound=60, what="all notifications")
            assert len(heard.notifications) == 400 and set(heard.ids()) == wanted
        assert [producer.wait(30) for producer in producers] == [0, 0]


def test_what_a_killed_process_had_taken_comes_again(tmp_path):
    bus = BusSettings("main", f"filesystem://{tmp_path}/bus", exchanges=("nova",))
    consumer = subprocess.Popen([sys.executable, "-c", CONSUMER, bus.url], stdout=subprocess.PIPE, text=True)
    try:
        folder = tmp_path / "bus" / "control" / "obsvc.obs-2.main.consumer"
        wait_until(folder.exists, bound=30, what="the consumer is there")
        assert produce(bus.url, 5, "x").wait(30) == 0
        assert [consumer.stdout.readline().strip() for _ in range(5)] == [f"x-{index}" for index in range(5)]
        with hearing(bus, "obs-2", wait=False) as second:  # the same name: it waits
            wait_until(lambda: second.listener.status().last_error, bound=20, what="the second waits")
            consumer.kill()
            consumer.wait()
            second.wait_count(5)
            assert second.ids() == [f"x-{index}" for index in range(5)]
    finally:
        consumer.kill()
        consumer.wait()
        consumer.stdout.close()
