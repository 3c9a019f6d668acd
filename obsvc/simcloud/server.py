"""The simulated cloud as a process: one gunicorn worker with threads, beside them the agenda and the sender.

All state is in the memory of that one worker.  The socket is bound before gunicorn starts, so that a port in use
ends the command with one line, and port 0 means a free one.
"""
from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

import falcon
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from obsvc.exceptions import ConfigError
from obsvc.messaging import Broker, Publisher
from obsvc.process.clock import SystemClock
from obsvc.process.threads import Loop
from obsvc.simcloud.app import make_app
from obsvc.simcloud.cloud import Cloud, Settings
from obsvc.simcloud.dials import Dials
from obsvc.simcloud.notify import Send
from obsvc.web.serving import GunicornApplication

LOG = logging.getLogger(__name__)

#: Requests served at once.  With an API latency of 20 ms that is 3,200 requests/s, more than one process can do.
THREADS = 64
CONNECTIONS = 2000
#: Seconds that an idle connection stays: longer than clients keep theirs, so that none is closed under a request.
KEEP_ALIVE = 120


@dataclass(frozen=True)
class Serving:
    """Where to listen and where to publish; bus None: notifications are counted and logged, not published."""

    host: str = "127.0.0.1"
    port: int = 0
    bus: str | None = None
    threads: int = THREADS


class BusSender:
    """Publishes on any exchange of one bus, each by a publisher of its own; belongs to the sending thread."""

    def __init__(self, url: str) -> None:
        Broker(url)  # a URL that can't be used is refused now
        self._url = url
        self._publishers: dict[str, Publisher] = {}

    def __call__(self, exchange: str, routing_key: str, body: bytes) -> None:
        """Return when the broker has it; raises Unavailable."""
        publisher = self._publishers.get(exchange)
        if publisher is None:
            publisher = self._publishers[exchange] = Publisher(self._url, exchange)
        publisher.publish(routing_key, body)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises ConfigError naming the address and what is wrong with it."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(512)
    except (OSError, OverflowError) as error:
        sock.close()
        raise ConfigError(f"can't listen on {host}:{port}: {error}: choose another --host or --port") from error
    return sock


def serve(serving: Serving, settings: Settings, dials: Dials, *, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ready is called with the base URL once the address is bound.

    Raises ConfigError for an address or a bus URL that can't be used.  Ends the process.
    """
    if serving.bus is not None:
        BusSender(serving.bus)
    sock = bind(serving.host, serving.port)
    host, port = sock.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def load() -> falcon.App[falcon.Request, falcon.Response]:
        # In the worker, after the fork: threads do not survive one.
        clock = SystemClock()
        send: Send | None = BusSender(serving.bus) if serving.bus is not None else None
        cloud = Cloud(settings, clock, dials, send)
        Loop("simcloud-agenda", cloud.world.loop).start()
        if send is not None:
            Loop("simcloud-sender", cloud.notifier.loop).start()
        ready(url)
        return make_app(cloud)

    def leave_at_once(worker: Worker) -> None:
        # There is nothing to save and nobody to wait for; gunicorn's own shutdown takes a second or two.
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGABRT):
            signal.signal(number, lambda *_: os._exit(0))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the arbiter too, which then ends us

    def worker_gone(arbiter: Arbiter, worker: Worker) -> None:
        if arbiter.LISTENERS:  # not being stopped
            # The cloud was in that worker's memory: an empty one in its place would mislead.
            LOG.error("the process that held the simulated cloud has ended, and the cloud with it")
            os.kill(os.getpid(), signal.SIGTERM)

    options = {
        "bind": f"fd://{sock.fileno()}", "worker_class": "gthread", "workers": 1, "threads": serving.threads,
        "worker_connections": CONNECTIONS, "keepalive": KEEP_ALIVE, "timeout": 0, "graceful_timeout": 2,
        "loglevel": "warning", "accesslog": None, "proc_name": "obsvc-simcloud", "control_socket_disable": True,
        "post_worker_init": leave_at_once, "child_exit": worker_gone,
    }
    GunicornApplication(load, options).run()
