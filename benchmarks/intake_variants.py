"""One consumer's run: ``python -m benchmarks.intake_variants VARIANT URL COUNT`` takes COUNT messages that lie ready.

Prints one JSON object: CPU microseconds a message and messages a second, from the first delivery to the last
acknowledgement written.
"""
from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from obsvc.listeners.settings import BusSettings
from obsvc.messaging.topology import queue_name

BUS = BusSettings("bench", "amqp://", exchanges=("nova",))
OWN_QUEUE = queue_name("bench", BUS.name)
#: What oslo.messaging's listener declares for the topic ``notifications`` and an endpoint with ``info``.
OSLO_QUEUE = ("notifications.info",)

#: Of the baselines: prefetch is flat from 50 up, acknowledging each message triples the broker's CPU.
RAW_PREFETCH, RAW_ACK = 500, 100

#: Seconds that the stand-in for fetch and report takes (a nova API's 20 ms, and a batch of reports).
LOOK_SECONDS = 0.03


class Stopwatch:
    """CPU and wall time from the first hit to :meth:`figures`; hit answers True at the last message."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.seen = 0
        self._wall = self._cpu = 0.0

    def hit(self) -> bool:
        if not self.seen:
            self._wall, self._cpu = time.perf_counter(), time.process_time()
        self.seen += 1
        return self.seen == self._count

    def figures(self) -> dict[str, float]:
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"consumer_us": cpu / self.seen * 1e6, "messages_per_s": self.seen / wall}


def amqp_raw(url: str, count: int) -> dict[str, float]:
    """py-amqp, nothing decoded, acknowledged a hundred at a time."""
    import kombu

    connection = kombu.Connection(url).connection
    channel = connection.channel()
    channel.auto_decode = False
    channel.basic_qos(0, RAW_PREFETCH, False)
    watch, done = Stopwatch(count), []

    def take(message: Any) -> None:
        last = watch.hit()
        if last or not watch.seen % RAW_ACK:
            channel.basic_ack(message.delivery_tag, multiple=True)
        if last:
            done.append(watch.figures())

    channel.basic_consume(OWN_QUEUE, callback=take)
    while not done:
        connection.drain_events()
    connection.close()
    return done[0]


def kombu_naive(url: str, count: int) -> dict[str, float]:
    """kombu as its manual shows it: a Consumer that decodes, the inner message decoded, each acknowledged."""
    import kombu

    watch, done = Stopwatch(count), []

    def take(body: dict[str, Any], message: Any) -> None:
        json.loads(body["oslo.message"])
        last = watch.hit()
        message.ack()
        if last:
            done.append(watch.figures())

    with kombu.Connection(url) as connection:
        queue = kombu.Queue(OWN_QUEUE, no_declare=True)
        with kombu.Consumer(connection.channel(), [queue], callbacks=[take], accept=["json"],
                            prefetch_count=RAW_PREFETCH):
            while not done:
                connection.drain_events()
    return done[0]


def oslo_listener(url: str, count: int) -> dict[str, float]:
    """oslo.messaging's notification listener, threading executor, its defaults."""
    import logging

    import oslo_messaging
    from oslo_config import cfg

    logging.disable(logging.WARNING)
    watch, done = Stopwatch(count), threading.Event()

    class Endpoint:
        def info(self, context: Any, publisher: str, event_type: str, payload: Any, metadata: Any) -> None:
            if watch.hit():
                done.set()

    conf = cfg.ConfigOpts()
    conf([], project="bench")
    transport = oslo_messaging.get_notification_transport(conf, url="rabbit" + url.removeprefix("amqp").rstrip("/"))
    listener = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic="notifications", exchange="nova")], [Endpoint()],
        executor="threading",
    )
    listener.start()
    if not done.wait(600):
        raise RuntimeError(f"expected {count} messages within 600 s, got {watch.seen}")
    figures = watch.figures()
    print(json.dumps(figures), flush=True)
    os._exit(0)  # its threads take seconds to stop, and nothing of them is measured


def obsvc(url: str, count: int) -> dict[str, float]:
    """Our listener, decoder and intake; a quarter of the partitions is ours, and every server in them observed.

    What is not ours is settled at once.  What is ours goes through the schedule of looks and the work queue; fetch and
    report are stood in for by a thread that lets the looks which are due be answered LOOK_SECONDS later.
    """
    from benchmarks.intake_observer import Member

    watch, last = Stopwatch(count), threading.Event()
    member = Member(url, BUS, on_message=lambda: last.set() if watch.hit() else None, look_seconds=LOOK_SECONDS)
    member.start()
    if not last.wait(600):
        raise RuntimeError(f"expected {count} messages within 600 s, got {watch.seen}")
    member.wait_settled(60)
    member.stop()  # writes the last acknowledgements
    figures = watch.figures()
    return figures | member.figures()


VARIANTS: dict[str, Callable[[str, int], dict[str, float]]] = {
    "amqp-raw": amqp_raw, "obsvc": obsvc, "kombu-naive": kombu_naive, "oslo-listener": oslo_listener,
}

if __name__ == "__main__":
    print(json.dumps(VARIANTS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))
