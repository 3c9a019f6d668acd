"""The listener on a real RabbitMQ: exchanges as they may be found, oslo.messaging's own notifier, settlement,
gaps, dead letters, two processes of one name."""
import itertools
import logging
import subprocess
import sys
import time

import amqp
import pytest

from obsvc.exceptions import Unavailable
from obsvc.listeners.settings import BusSettings
from obsvc.messaging import Publisher, topology, wire
from tests.support.broker import delete_queue
from tests.support.processes.listening import connected, hearing, instance_update
from tests.support.processes.servers import wait_until

_vhosts = itertools.count(1)
INFO = "notifications.info"


@pytest.fixture
def url(shared_rabbitmq):
    return shared_rabbitmq.create_vhost(f"listener{next(_vhosts)}")


def bus(url, **changes):
    return BusSettings("main", url, exchanges=("nova", "neutron"), **changes)


def publish(url, *ids, exchange="nova"):
    publisher = Publisher(url, exchange)
    for one in ids:
        publisher.publish(INFO, wire.pack(instance_update(one)))
    publisher.close()


@pytest.mark.parametrize("durable", [True, False, None], ids=["durable", "not-durable", "absent"])
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_exchange_is_taken_as_it_is_found(url, durable, queue_type):
    if durable is not None:
        with connected(url) as connection:
            connection.default_channel.exchange_declare("nova", "topic", durable=durable, auto_delete=False)
    with hearing(bus(url, queue_type=queue_type)) as heard:
        publish(url, "a")
        heard.wait_count(1)
        assert heard.ids() == ["a"] and heard.gaps == []
    if durable is None:  # declared as oslo.messaging would: its own declaration must agree
        with connected(url) as connection:
            connection.default_channel.exchange_declare("nova", "topic", durable=False, auto_delete=False)


def test_existing_queue_with_other_arguments_is_used_as_it_is(url):
    with connected(url) as connection:
        connection.default_channel.queue_declare(topology.queue_name("obs-1", "main"), durable=True, auto_delete=False)
    with hearing(bus(url)) as heard:
        publish(url, "a")
        heard.wait_count(1)


NOTIFIER = """
import logging, sys
from oslo_config import cfg
import oslo_messaging
oslo_messaging.set_transport_defaults("nova")
conf = cfg.ConfigOpts()
conf(["--config-file", sys.argv[2]], project="nova")
transport = oslo_messaging.get_notification_transport(conf, url=sys.argv[1])
for driver in ("messaging", "messagingv2"):
    for topic, event, payload in (
        ("notifications", "compute.instance.update",
         {"instance_id": "legacy-" + driver, "tenant_id": "p", "state": "stopped", "state_description": ""}),
        ("versioned_notifications", "instance.update",
         {"nova_object.name": "InstanceUpdatePayload", "nova_object.namespace": "nova", "nova_object.version": "1.0",
          "nova_object.data": {"uuid": "versioned-" + driver, "tenant_id": "p", "state": "stopped",
                               "task_state": None}}),
    ):
        notifier = oslo_messaging.Notifier(transport, "nova-compute:host", driver=driver, topics=[topic], retry=3)
        notifier.info({"project_id": "p"}, event, payload)
"""


@pytest.mark.parametrize("durable", [True, False, None], ids=["durable", "not-durable", "absent"])
def test_oslo_messaging_notifier_is_heard_in_both_drivers_and_families(url, durable, tmp_path):
    config = tmp_path / "nova.conf"  # a cloud has durable exchanges when its services are configured so
    config.write_text(f"[oslo_messaging_rabbit]\namqp_durable_queues = {bool(durable)}\n")
    if durable is not None:
        with connected(url) as connection:
            connection.default_channel.exchange_declare("nova", "topic", durable=durable, auto_delete=False)
    with hearing(bus(url)) as heard:
        done = subprocess.run(
            [sys.executable, "-c", NOTIFIER, url.replace("amqp://", "rabbit://"), str(config)],
            capture_output=True, text=True, timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        heard.wait_count(4)
        assert set(heard.ids()) == {"legacy-messaging", "versioned-messaging", "legacy-messagingv2",
                                    "versioned-messagingv2"}
        assert {notification.state for notification in heard.notifications} == {"SHUTOFF"}


def test_settled_deliveries_are_acknowledged_and_the_others_come_again(url):
    with hearing(bus(url), settle=False) as heard:
        publish(url, *"abcd")
        heard.wait_count(4)
        for index in (0, 1, 3):  # the third is stuck
            heard.deliveries[index].settle()
            heard.deliveries[index].settle()
        wait_until(lambda: heard.listener._ledger.unacknowledged == 2, bound=10, what="two acknowledged")
    with hearing(bus(url)) as again:
        again.wait_count(1)
        assert again.ids() == ["c"]  # at the end, what is settled behind it is acknowledged by itself


def test_one_stuck_delivery_does_not_stop_the_intake(url):
    with hearing(bus(url, prefetch=10), settle=False) as heard:
        publish(url, "stuck")
        heard.wait_count(1)
        heard.settle = True
        publish(url, *(f"id-{index}" for index in range(100)))
        heard.wait_count(101)


def test_deliveries_settled_from_other_threads_in_any_order_all_get_acknowledged(url):
    with hearing(bus(url, prefetch=50), settle=False) as heard:
        publish(url, *(f"id-{index}" for index in range(40)))
        heard.wait_count(40)
        for delivery in reversed(heard.deliveries):
            delivery.settle()
        wait_until(lambda: heard.listener._ledger.unacknowledged == 0, bound=10, what="all acknowledged")


def test_what_cannot_be_read_is_buried_once_and_the_rest_goes_on(url):
    with hearing(bus(url)) as heard:
        publisher = Publisher(url, "nova")
        heard.bury_error = Unavailable("the engine is away")
        publisher.publish(INFO, b'{"event_type": "x", "_context_auth_token": "gAAAAABsecret", ')
        publish(url, "a")
        heard.wait_count(1)
        assert heard.letters == [] and heard.listener.unsettled == 1  # it stays in the broker
        heard.bury_error = None
        wait_until(lambda: heard.letters, bound=15, what="buried")
        wait_until(lambda: heard.listener.unsettled == 0, bound=10, what="settled")
        (letter,) = heard.letters
        assert letter.reason == "not_json" and "secret" not in letter.excerpt and letter.bus == "main"
    with hearing(bus(url)) as again:
        publish(url, "b")
        again.wait_count(1)
        assert again.ids() == ["b"] and again.letters == []


def test_back_pressure_holds_the_intake(url):
    with hearing(bus(url)) as heard:
        heard.taking = False
        name = heard.listener.queue
        with connected(url) as connection:
            wait_until(lambda: connection.default_channel.queue_declare(name, passive=True).consumer_count == 0,
                       bound=10, what="no consumer")
            publish(url, "a", "b")
            assert topology.queue_length(connection, name) == 2 and heard.notifications == []
        assert heard.listener.consuming
        heard.taking = True
        heard.wait_count(2)


def test_second_process_of_the_same_name_waits_with_one_clear_line(url, caplog):
    caplog.set_level(logging.ERROR, logger="obsvc.listeners")
    with hearing(bus(url)) as first:
        with hearing(bus(url), wait=False) as second:
            wait_until(lambda: second.listener.status().last_error, bound=30, what="the second says why it waits")
            assert not second.listener.consuming
            publish(url, "a")
            first.wait_count(1)
            lines = [record.getMessage() for record in caplog.records if "another process" in record.getMessage()]
            assert len(lines) == 1 and "'obs-1'" in lines[0] and "Traceback" not in caplog.text
            assert first.listener.stop(10)
            second.wait_consuming()
            publish(url, "b")
            second.wait_count(1)
            assert second.ids() == ["b"]


def test_members_each_hear_everything(url):
    with hearing(bus(url), "obs-1") as one, hearing(bus(url), "obs-2") as two:
        publish(url, "a", "b")
        one.wait_count(2)
        two.wait_count(2)


def test_deleted_queue_is_made_again_and_is_a_gap(url):
    with hearing(bus(url)) as heard:
        with connected(url) as connection:
            delete_queue(connection, heard.listener.queue)
        wait_until(lambda: heard.gaps, bound=30, what="a gap")
        assert heard.gaps == ["queue_vanished"]
        heard.wait_consuming()
        publish(url, "a")
        heard.wait_count(1)


def test_what_came_while_nobody_listened_is_heard_at_the_next_start(url):
    with hearing(bus(url)):
        pass
    publish(url, "a")
    with hearing(bus(url)) as heard:
        heard.wait_count(1)
        assert heard.gaps == []


def test_nearly_full_queue_is_a_gap(url, monkeypatch):
    monkeypatch.setattr("obsvc.listeners.session.CHECK_INTERVAL", 0.2)
    small = bus(url, queue_max_length=1000)
    with hearing(small):
        pass
    publish(url, *(f"id-{index}" for index in range(950)))
    with hearing(bus(url, queue_max_length=1000, prefetch=1), settle=False) as heard:
        wait_until(lambda: heard.gaps, bound=20, what="a gap")
        assert heard.gaps == ["queue_nearly_full"]


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_overflow_is_a_gap_however_short_it_was(url, monkeypatch, queue_type):
    monkeypatch.setattr("obsvc.listeners.session.CHECK_INTERVAL", 0.2)
    small = bus(url, queue_max_length=1000, queue_type=queue_type)
    with hearing(small):
        pass
    publish(url, *(f"id-{index}" for index in range(1005)))  # while nobody listens
    with hearing(small) as heard:
        heard.wait_count(1000)
        wait_until(lambda: heard.gaps, bound=20, what="a gap")
        publish(url, "a")
        heard.wait_count(1001)
        assert heard.gaps == ["queue_overflowed"]


def test_deleted_exchange_is_bound_anew_and_is_a_gap(url, monkeypatch):
    monkeypatch.setattr("obsvc.listeners.session.CHECK_INTERVAL", 0.2)
    with hearing(bus(url)) as heard:
        with connected(url) as connection:
            connection.default_channel.exchange_delete("nova")
        wait_until(lambda: heard.gaps, bound=20, what="a gap")
        assert heard.gaps == ["exchange_missing"]
        publish(url, "a")
        heard.wait_count(1)


def test_broker_killed_and_started_again_is_a_gap_and_the_publisher_recovers(rabbitmq):
    publisher = Publisher(rabbitmq.url, "nova")
    with hearing(bus(rabbitmq.url)) as heard:
        publisher.publish(INFO, wire.pack(instance_update("before")))
        heard.wait_count(1)
        stale = heard.deliveries[0]
        rabbitmq.kill()
        wait_until(lambda: not heard.listener.consuming, bound=30, what="the listener notices")
        assert heard.listener.status().last_error
        with pytest.raises(Unavailable):
            publisher.publish(INFO, b"{}")
        rabbitmq.start()
        heard.wait_consuming()
        wait_until(lambda: heard.gaps, bound=30, what="a gap")
        assert heard.gaps[0] in ("reconnected", "queue_vanished")
        stale.settle()  # of a channel that is gone
        publisher.publish(INFO, wire.pack(instance_update("after")))
        wait_until(lambda: "after" in heard.ids(), bound=30, what="the message after the restart")
    publisher.close()


def test_unreachable_broker_says_where_and_keeps_trying(url):
    with hearing(bus("amqp://guest:secret@127.0.0.1:1//"), wait=False) as heard:
        error = wait_until(lambda: heard.listener.status().last_error, bound=20, what="an error")
        assert "127.0.0.1:1" in error and "secret" not in error


def test_several_urls_are_tried_in_turn(url):
    with hearing(bus(f"amqp://guest:guest@127.0.0.1:1//;{url}")) as heard:
        publish(url, "a")
        heard.wait_count(1)


def test_idle_connection_with_heartbeats_stays(url):
    with hearing(bus(url, heartbeat=1)) as heard:
        first = heard.listener._session._connection
        calls = []
        original = first.connection.send_heartbeat
        first.connection.send_heartbeat = lambda: (calls.append(1), original())
        wait_until(lambda: len(calls) >= 3, bound=20, what="three heartbeats")
        publish(url, "a")
        heard.wait_count(1)
        assert heard.gaps == [] and heard.listener._session._connection is first


def test_publisher_is_told_when_the_broker_refuses(url):
    publisher = Publisher(url, "amq.topic")
    publisher.publish(INFO, b"{}")
    with connected(url) as connection, pytest.raises(amqp.exceptions.NotFound):
        connection.default_channel.queue_declare("none", passive=True)
    publisher.close()


def test_what_waits_at_the_broker_is_known(url):
    """A full window, and more behind it: not drained until there is room and nothing comes any more."""
    with hearing(bus(url, prefetch=10), settle=False) as heard:
        wait_until(lambda: heard.listener.drained_at, bound=30, what="a new queue is empty")
        publish(url, *map(str, range(30)))
        heard.wait_count(10)
        wait_until(lambda: time.monotonic() - heard.listener.drained_at > 2.0, bound=30, what="it is drained no more")
        heard.settle = True
        since = time.monotonic()
        for delivery in heard.deliveries:
            delivery.settle()
        heard.wait_count(30)
        wait_until(lambda: heard.listener.drained_at > since, bound=30, what="it is drained again")
