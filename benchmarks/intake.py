"""Intake of one consumer: what a notification costs from the broker's queue to its acknowledgement.

In each round every variant in turn gets a queue preloaded with the same messages and takes them in, in a process of
its own: consumer CPU from the first delivery to the last acknowledgement, and the broker's CPU meanwhile.
"""
from __future__ import annotations

import argparse
import contextlib
import time

import amqp
import kombu

from benchmarks import messages
from benchmarks.harness import Ratio, Results, child, cpu_of_session, main, progress
from benchmarks.intake_variants import BUS, OSLO_QUEUE, OWN_QUEUE, VARIANTS
from obsvc.messaging import Broker, topology
from obsvc.messaging.connection import release
from tests.support.processes.servers import RabbitMQ

RATIOS = (
    Ratio("consumer CPU: ours / raw py-amqp", "consumer_us", "obsvc", "amqp-raw", 1.4),
    Ratio("consumer CPU: ours / kombu naive", "consumer_us", "obsvc", "kombu-naive", 0.35),
    Ratio("consumer CPU: ours / oslo.messaging", "consumer_us", "obsvc", "oslo-listener", 0.13),
    Ratio("broker CPU: ours / kombu naive", "broker_us", "obsvc", "kombu-naive", 0.5),
)

#: Different messages that are made; they are published again and again.
DISTINCT = 2000

#: Share of the messages that the oslo.messaging listener is given: it is ten times as slow.
OSLO_SHARE = 4


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=50_000, help="messages a run (default 50000)")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="which to run, in this order")


def measure(asked: argparse.Namespace) -> Results:
    notes = {"messages": asked.messages, "owned": "25 %", "servers": messages.SERVERS}
    results = Results("intake", RATIOS, notes=notes)
    variants = asked.variants.split(",")
    made = messages.lives(min(DISTINCT, asked.messages))
    with RabbitMQ() as broker:
        for number in range(asked.runs):
            for variant in variants:
                count = max(asked.messages // OSLO_SHARE, 1) if variant == "oslo-listener" else asked.messages
                preload(broker.url, variant, made, count)
                calm(broker.pid)
                before = cpu_of_session(broker.pid)
                figures = child("intake_variants", variant, broker.url, count)
                broker_cpu = cpu_of_session(broker.pid) - before
                figures["broker_us"] = broker_cpu / count * 1e6
                results.add(variant, figures)
                progress(f"run {number + 1} {variant}: " + ", ".join(f"{k} {v:.1f}" for k, v in figures.items()))
    return results


def preload(url: str, variant: str, made: list[messages.Message], count: int) -> None:
    """A fresh queue for ``variant`` with ``count`` messages in it, published to the exchange as nova does."""
    connection = Broker(url).connect()
    try:
        with contextlib.closing(connection.channel()) as channel:
            channel.exchange_declare(exchange=messages.EXCHANGE, type="topic", durable=False, auto_delete=False)
            for queue in (OWN_QUEUE, *OSLO_QUEUE):
                channel.queue_delete(queue=queue)
        if variant == "oslo-listener":
            with contextlib.closing(connection.channel()) as channel:
                for queue in OSLO_QUEUE:
                    channel.queue_declare(queue=queue, durable=False, auto_delete=False)
                    channel.queue_bind(queue=queue, exchange=messages.EXCHANGE, routing_key=queue)
            queues = OSLO_QUEUE
        else:
            topology.declare_own_queue(
                connection, topology.QueueSettings(OWN_QUEUE, BUS.queue_expires, BUS.queue_max_length),
                (messages.EXCHANGE,), BUS.routing_keys(),
            )
            queues = (OWN_QUEUE,)
        # Not on our own connection, which waits for each confirm.
        with kombu.Connection(url) as publishing, contextlib.closing(publishing.channel()) as channel:
            ready = [amqp.Message(message.body, **messages.PROPERTIES) for message in made]
            for number in range(count):
                place = number % len(made)
                # every queue of oslo.messaging's target would need its own topic: all goes to the first
                key = queues[0] if variant == "oslo-listener" else made[place].routing_key
                channel.basic_publish(ready[place], exchange=messages.EXCHANGE, routing_key=key)
            deadline = time.monotonic() + 120
            while sum(topology.queue_length(connection, queue) or 0 for queue in queues) < count:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"expected {count} messages in {', '.join(queues)} within 120 s")
                time.sleep(0.05)
    finally:
        release(connection)


def calm(leader: int, bound: float = 30.0) -> None:
    """Until the broker has written down what it was given: that is none of the consumers' doing."""
    deadline, busy = time.monotonic() + bound, True
    while busy and time.monotonic() < deadline:
        before = cpu_of_session(leader)
        time.sleep(0.5)
        busy = cpu_of_session(leader) - before > 0.05


if __name__ == "__main__":
    main("intake", __doc__, measure, options=options)
