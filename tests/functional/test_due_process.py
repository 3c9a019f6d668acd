"""The due process as a real process: it carries out due work, emits, survives its servers, and ends with its parent."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import kombu
import pytest

from obsvc.engine.database.store import Store
from obsvc.engine.upgrade import upgrade
from obsvc.messaging import wire
from obsvc.process.clock import SystemClock
from tests.support.processes.servers import wait_until
from tests.support.stack_life import Life, template


class Taken:
    """Everything that is emitted on the exchange, as a consumer of ordinary notifications sees it."""

    def __init__(self, url):
        self.url, self.inner = url, []
        self.connect()

    def connect(self):
        self.connection = kombu.Connection(self.url)
        channel = self.connection.channel()
        exchange = kombu.Exchange("obsvc", type="topic", durable=False, channel=channel)
        exchange.declare()
        queue = kombu.Queue("taken", exchange, routing_key="notifications.#", durable=True, channel=channel)
        queue.declare()
        self.queue = queue(channel)

    def events(self):
        while (message := self.queue.get(no_ack=True)) is not None:
            self.inner.append(wire.unpack(message.body))
        return [one["event_type"] for one in self.inner]


@pytest.fixture
def start(tmp_path):
    """``start(database_url, bus_url)`` → the process; each is ended by its pid."""
    began = []

    def run(database, bus=None, *, through_parent=False):
        path = tmp_path / "obsvc.conf"
        path.write_text(textwrap.dedent(f"""
            [database]
            url = {database}
            [emit]
            {"url = " + bus if bus else ""}
            [engine]
            progress_interval = 0.3
            """))
        command = [sys.executable, "-m", "obsvc.engine.due_process", "--config-file", str(path)]
        if through_parent:
            parent = (
                "import os, subprocess, sys; env = {**os.environ, 'OBSVC_PARENT_PID': str(os.getpid())}; "
                "one = subprocess.Popen(sys.argv[1:], env=env, stdout=2); print(one.pid, flush=True); one.wait()"
            )
            command = [sys.executable, "-c", parent, *command]
        errors = subprocess.DEVNULL if through_parent else subprocess.STDOUT
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        began.append(process)
        return process

    yield run
    for process in began:
        if process.poll() is None:
            process.kill()
        process.communicate()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def life_on(url):
    upgrade(url, partitions=8)
    return Life(store=Store(url, clock=SystemClock()), progress_interval=0.3)


def test_progress_goes_out_on_the_bus_through_restarts_of_both_servers(start, postgresql, rabbitmq):
    url = postgresql.create_database("due")
    life = life_on(url)
    taken = Taken(rabbitmq.url)
    process = start(url, rabbitmq.url)
    life.create(template(a=[], b=["a"]))
    wait_until(lambda: taken.events().count("obsvc.stack.progress") >= 2, bound=60, what="progress is emitted")
    assert taken.events()[0] == "obsvc.stack.create.start"
    first = taken.inner[0]
    assert first["payload"]["stack_name"] == "s" and first["publisher_id"].startswith("obsvc.")
    postgresql.kill()
    postgresql.start()
    before = len(taken.events())
    wait_until(lambda: len(taken.events()) > before, bound=60, what="progress after the database came back")
    rabbitmq.kill()
    rabbitmq.start()
    wait_until(lambda: taken.connect() or True, bound=60, what="a connection to the broker")
    before = len(taken.inner)
    wait_until(lambda: len(taken.events()) > before, bound=60, what="progress after the broker came back")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    lines = process.stdout.read()
    # Whether the database's short absence was met by a transaction is chance; the broker's seconds are not.
    assert "Traceback" not in lines and "nothing can be emitted" in lines
    life.store.close()


def test_it_ends_when_its_parent_is_gone(start, tmp_path):
    url = f"sqlite:///{tmp_path / 'db.sqlite'}"
    life_on(url).store.close()
    parent = start(url, through_parent=True)
    pid = int(parent.stdout.readline())
    assert alive(pid)
    os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), bound=30, what="the child of a killed parent has ended")


def test_a_wrong_url_is_one_line(start):
    process = start("nonsense://x")
    assert process.wait(30) == 1
    output = process.stdout.read()
    assert len(output.strip().splitlines()) == 1 and "[database] url: expected" in output
