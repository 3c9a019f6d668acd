"""A whole deployment for a benchmark: real servers, a simulated cloud, an engine, observers, and what they say."""
from __future__ import annotations

import contextlib
import pathlib
import sys
import tempfile
from collections.abc import Iterator, Mapping

from obsvc.messaging import topology
from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.listening import connected
from tests.support.processes.servers import Etcd, PostgreSQL, RabbitMQ, wait_until
from tests.support.processes.watching import Watching

#: Seconds that building the servers, or learning of them, may take.
BUILT = 180.0


class Stage:
    """The real servers of one benchmark; each :meth:`deployed` has a bus, a database and a group of its own."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._made = 0

    def __enter__(self) -> Stage:
        with contextlib.ExitStack() as stack:
            self.broker = stack.enter_context(RabbitMQ())
            self.etcd = stack.enter_context(Etcd())
            self.database = stack.enter_context(PostgreSQL())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def deployed(self, *, observers: int, options: Mapping[str, Mapping[str, object]],
                 program: pathlib.Path | None = None) -> Iterator[Deployment]:
        """One engine and ``observers``, ready.  program: run in place of ``obsvc`` by the observers."""
        self._made += 1
        name = f"bench{self._made}"
        with tempfile.TemporaryDirectory(prefix="obsvc-bench-") as made:
            folder = pathlib.Path(made)
            bus = self.broker.create_vhost(name)
            cloud = SimulatedCloud(folder, bus, "--build-time", "1")
            try:
                cloud.start()
                deployment = Deployment(
                    folder / "obsvc", database=self.database.create_database(name), coordination=self.etcd.tooz_url,
                    bus=bus, cloud=cloud, observers=observers, workers=0, partitions=256,
                    options={**options, "coordination": {"group": name}},
                )
                for each, process in deployment.processes.items():
                    if program is not None and each.startswith("observer-"):
                        process.argv[1:3] = [str(program)]
                with deployment:
                    try:
                        yield deployment
                    except BaseException:
                        print(deployment.tail(), file=sys.stderr)
                        raise
            finally:
                cloud.process.kill()


def observing(deployment: Deployment, servers: int) -> tuple[Watching, list[str]]:
    """That many active servers, observed, and all calm."""
    watching = Watching(deployment, deployment.cloud)
    made = watching.create_servers(servers)
    watching.observe("compute.server", made)
    watching.wait_built(BUILT)
    watching.wait_nothing_missing(BUILT, "the creation")
    wait_until(lambda: not left_over(deployment), bound=BUILT, what="calm before the load")
    return watching, made


def taken(deployment: Deployment) -> dict[str, int]:
    """Notifications that each observer took from the bus."""
    return {name: int(sum(value for sample, value in deployment.metrics(name).items()
                          if sample.startswith("obsvc_notifications_total{")))
            for name in deployment.of_kind("observer")}


def left_over(deployment: Deployment) -> dict[str, float]:
    """What is still under way in an observer or waits in its queue at the broker; empty when nothing is."""
    found = {gauge: deployment.gauge("observer", gauge)
             for gauge in ("obsvc_unsettled_deliveries", "obsvc_queue_depth", "obsvc_report_backlog")}
    with connected(deployment.bus) as connection:
        for name in deployment.of_kind("observer"):
            queue = topology.queue_name(name, "cloud")
            found[f"queue of {name}"] = topology.queue_length(connection, queue) or 0
    return {what: count for what, count in found.items() if count}
