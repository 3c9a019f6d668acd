"""The child beside gunicorn's arbiter: due work and the emitter.

``main(conf)`` runs until SIGTERM or SIGINT, or until its parent is gone.  It survives restarts of the database and
of the broker: one log line when one is away, one when it is back.  Any number of them may run at once.
"""
from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable

from oslo_config import cfg
from oslo_log import log

from obsvc import conf as configuration
from obsvc.engine import service  # noqa: F401 -- service: registers every handler
from obsvc.engine.database import due
from obsvc.engine.database.store import Store
from obsvc.engine.emitter import Emitter
from obsvc.exceptions import ConfigError, ObsvcError, Unavailable
from obsvc.messaging.publisher import Publisher
from obsvc.process.outage_log import OutageLog
from obsvc.process.repeating import repeat
from obsvc.process.signals import on_termination
from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)

#: Seconds between two looks at the table when nothing was due: how late due work may be.
IDLE_PAUSE = 0.2

#: Seconds to wait while the database or the broker is away.
AWAY_PAUSE = 2.0

#: Connections to the database: one for each of the two loops, and as many to spare.
DATABASE_CONNECTIONS = 4

#: Seconds between two looks whether the parent still lives.
PARENT_PAUSE = 0.5

#: Environment variable by which the parent says its process id: it may be gone before we first look for it.
PARENT_VARIABLE = "OBSVC_PARENT_PID"


def main(conf: cfg.ConfigOpts) -> int:
    """Run until told to stop; the exit code."""
    parent = int(os.environ.get(PARENT_VARIABLE) or os.getppid())
    stopping = threading.Event()
    on_termination(stopping.set)
    store = Store.from_conf(conf, pool_size=min(conf.database.pool_size, DATABASE_CONNECTIONS))
    loops = [Loop("due", lambda stop: _repeat(stop, "due work", lambda: due.run_due(store)))]
    publisher = None
    if conf.emit.url:
        publisher = Publisher(conf.emit.url, conf.emit.exchange)
        publisher_id = conf.emit.publisher_id or f"obsvc.{conf.host or socket.gethostname()}"
        emitter = Emitter(store, publisher, topic=conf.emit.topic, publisher_id=publisher_id)
        loops.append(Loop("emitter", lambda stop: _repeat(stop, "emitting", emitter.run_once)))
    for loop in loops:
        loop.start()
    while not stopping.wait(PARENT_PAUSE):
        if os.getppid() != parent:
            LOG.warning("the parent process is gone: due work ends here")
            break
    for loop in loops:
        loop.stop()
    for loop in loops:
        loop.join(5.0)
    if publisher is not None:
        publisher.close()
    store.close()
    return 0


def _repeat(stop: threading.Event, what: str, once: Callable[[], int]) -> None:
    """Call ``once`` until stopped, without pause while there is something to do."""
    outage = OutageLog(LOG, f"{what} waits", back=f"{what} goes on", note="")

    def step() -> float:
        busy = once() > 0
        outage.recovered()
        return 0.0 if busy else IDLE_PAUSE

    repeat(stop, step, on_failure=outage.failed, pause=AWAY_PAUSE, errors=(Unavailable, ConfigError))


def _command() -> int:
    try:
        conf = configuration.load(sys.argv[1:])
        log.setup(conf, "obsvc")
        return main(conf)
    except ObsvcError as error:
        print(f"obsvc: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(_command())
