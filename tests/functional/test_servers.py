"""The test servers themselves: they start, keep their data over a SIGKILL, and leave no process behind."""
import os
import pathlib

import kombu
import pytest
import sqlalchemy

from tests.support.processes.servers import Etcd, PostgreSQL, RabbitMQ, wait_until


def _group_members(group: int) -> list[int]:
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == group:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


@pytest.mark.parametrize("kind", [RabbitMQ, Etcd, PostgreSQL])
def test_killed_server_starts_again_and_stops_whole(kind):
    server = kind().start()
    group = server._process.pid
    server.kill()
    wait_until(lambda: not _group_members(group), bound=10, what="no process left of the killed server")
    server.start()
    group = server._process.pid
    server.__exit__()
    assert not _group_members(group)


def test_durable_queue_survives_a_killed_broker(rabbitmq):
    with kombu.Connection(rabbitmq.url) as connection:
        kombu.Queue("kept", durable=True, channel=connection.default_channel).declare()
    rabbitmq.kill()
    rabbitmq.start()
    assert "kept" in rabbitmq.ctl("list_queues", "name")


def test_each_database_kind_answers(database_url):
    with sqlalchemy.create_engine(database_url).connect() as connection:
        assert connection.execute(sqlalchemy.text("select 1")).scalar() == 1
