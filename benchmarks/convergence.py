"""From "the cloud has it" to "the engine knows it": notifications beside polling every second, as Heat does.

The same servers are built on the same simulated cloud: once as a stack of obsvc, which hears the create sequence spread
over the build, once by a poller that asks for each of its servers every second.  The observers' options are those that
obsvc comes with.  Counted are all reads of servers by observers and workers, lists too, until no look is due any more.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import pathlib
import statistics
import tempfile
import threading
import time

from benchmarks.harness import Ratio, Results, main, progress
from obsvc import conf as obsvc_conf
from obsvc.cloud.sessions import CloudSessions
from obsvc.cmd import settings_file
from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.servers import Etcd, PostgreSQL, RabbitMQ, wait_until

RATIOS = (
    Ratio("API reads per resource: obsvc / polling", "reads", "obsvc", "polling", 0.1),
    Ratio("median delay: obsvc / polling", "delay_median_s", "obsvc", "polling", 0.2),
)

#: Seconds between two polls of one resource, Heat's own.
POLL = 1.0

#: Options of observers that the tests' deployment changes and this does not.
AS_SHIPPED = ("poll_initial", "poll_max", "mark_after", "memory_window")

#: Seconds without a look after which none is to come: longer than any settle look waits, shorter than to the next poll.
CALM = 5.0

#: Seconds that a whole stack may take beyond its longest build.
BOUND = 180.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resources", type=int, default=200, help="servers (default 200)")
    parser.add_argument("--build", default="uniform:25,35", help="build time, as of obsvc simcloud (%(default)s)")


def measure(asked: argparse.Namespace) -> Results:
    shipped = obsvc_conf.load([]).observer
    observer = {name: getattr(shipped, name) for name in AS_SHIPPED}
    results = Results("convergence", RATIOS, notes={"resources": asked.resources, "build": asked.build})
    with RabbitMQ() as broker, Etcd() as etcd, PostgreSQL() as database:
        for number in range(asked.runs):
            with tempfile.TemporaryDirectory(prefix="obsvc-bench-") as name:
                folder = pathlib.Path(name)
                bus = broker.create_vhost(f"run{number}")
                cloud = SimulatedCloud(folder, bus, "--build-time", asked.build).start()
                try:
                    with Deployment(
                        folder / "obsvc", database=database.create_database(f"run{number}"), bus=bus, cloud=cloud,
                        coordination=etcd.tooz_url, observers=2, workers=2,
                        options={"coordination": {"group": f"run{number}"}, "observer": observer,
                                 "engine_client": {"timeout": 60}},
                    ) as deployment:
                        results.add("obsvc", with_obsvc(deployment, cloud, asked.resources))
                    progress(f"run {number + 1} obsvc: {results.runs['obsvc'][-1]}")
                    results.add("polling", with_polling(folder, cloud, asked.resources))
                    progress(f"run {number + 1} polling: {results.runs['polling'][-1]}")
                finally:
                    cloud.process.kill()
    return results


def with_obsvc(deployment: Deployment, cloud: SimulatedCloud, count: int) -> dict[str, float]:
    nodes = "".join(
        f"  server{number}:\n    type: OS::Nova::Server\n"
        f"    properties: {{name: s{number}, image: cirros, flavor: m1.tiny}}\n" for number in range(count)
    )
    deployment.create_stack("bench", f"heat_template_version: 2021-04-16\nresources:\n{nodes}")
    deployment.wait_stack("bench", bound=BOUND)
    known: dict[str, float] = {}
    since = 0
    wait_calm(deployment, cloud)
    while True:
        page = deployment.api(f"/v1/changes?since={since}&limit=500")
        for delta in page["changes"]:
            if delta.get("status") == "ACTIVE":
                known.setdefault(delta["resource_id"], delta["at"])
        if not page["changes"]:
            break
        since = page["next"]
    return figures(cloud, known, count, ("observer", "worker"))


def wait_calm(deployment: Deployment, cloud: SimulatedCloud) -> None:
    """Wait until every notification is settled and no look has been made for a while."""
    last = [-1, time.monotonic()]

    def calm() -> bool:
        looks = len(cloud.looks())
        if looks != last[0]:
            last[:] = looks, time.monotonic()
        return (time.monotonic() - last[1] > CALM and cloud.get("stats")["notifications"]["waiting"] == 0
                and deployment.gauge("observer", "obsvc_unsettled_deliveries") == 0)

    wait_until(calm, bound=BOUND, what="nothing more to look at", interval=0.5)


def with_polling(folder: pathlib.Path, cloud: SimulatedCloud, count: int) -> dict[str, float]:
    path = settings_file.write(folder / "poller.conf", {"cloud": cloud.auth_options("obsvc")})
    sessions = CloudSessions.from_conf(obsvc_conf.load([], config_files=[str(path)]), "obsvc/0 (poller heat)", pool=32)
    adapter = sessions.adapter("RegionOne", "compute")
    image = next(each["id"] for each in sessions.adapter("RegionOne", "image").get("/v2/images").json()["images"]
                 if each["name"] == "cirros")
    flavor = next(each["id"] for each in adapter.get("/flavors").json()["flavors"] if each["name"] == "m1.tiny")
    known: dict[str, float] = {}
    deadline = time.monotonic() + BOUND

    def create(number: int) -> tuple[float, str]:
        body = {"server": {"name": f"p{number}", "imageRef": image, "flavorRef": flavor, "networks": "none"}}
        answer = adapter.post("/servers", json=body, microversion="2.37")
        return time.monotonic(), answer.json()["server"]["id"]

    def poll(one: str) -> None:
        if adapter.get(f"/servers/{one}").json()["server"]["status"] == "ACTIVE":
            known[one] = time.time()

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        begun = list(pool.map(create, range(count)))
        due = {one: at + POLL for at, one in begun}
        while len(known) < count and time.monotonic() < deadline:
            now = time.monotonic()
            ripe = [one for one, at in due.items() if at <= now and one not in known]
            for one in ripe:
                due[one] += POLL
            list(pool.map(poll, ripe))
            threading.Event().wait(0.005)
    return figures(cloud, known, count, ("poller",))


def figures(cloud: SimulatedCloud, known: dict[str, float], count: int, roles: tuple[str, ...]) -> dict[str, float]:
    """Delays against the cloud's own time of the change, and the reads that ``roles`` made of these servers."""
    if len(known) < count:
        raise RuntimeError(f"expected {count} servers to be known as ACTIVE, {len(known)} are")
    delays = []
    for each in cloud.truth():
        if each["id"] in known:
            active = next(change["visible_at"] for change in each["revisions"] if change["status"] == "ACTIVE")
            delays.append(known[each["id"]] - active)
    delays.sort()
    reads = sum(max(1, len(call["resource_ids"])) for call in cloud.calls()
                if call["method"] == "GET" and "/servers" in call["path"] and call["caller"].split(" ")[0] in roles)
    return {
        "reads": reads / count, "delay_median_s": statistics.median(delays),
        "delay_p99_s": delays[min(len(delays) - 1, round(0.99 * (len(delays) - 1)))],
    }


if __name__ == "__main__":
    main("convergence", __doc__, measure, runs=1, options=options)
