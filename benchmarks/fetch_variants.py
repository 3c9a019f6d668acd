"""``python -m benchmarks.fetch_variants VARIANT PORT SECONDS THREADS``: fetch one server as fast as may be.

Prints one JSON object: CPU milliseconds a fetch of this process, and fetches a second.
"""
from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable

from keystoneauth1 import adapter as ks_adapter
from keystoneauth1 import session as ks_session
from keystoneauth1 import token_endpoint

SERVER = "3f2b0d0e-8a51-4c0e-9d7c-0c2a5c9a7f11"

#: As long as a Fernet token.
TOKEN = "t" * 180

#: Seconds before the measurement: connections are made, caches filled.
WARM = 0.7

Fetch = Callable[[], object]


def obsvc(port: int, threads: int) -> Fetch:
    from obsvc import catalog, conf
    from obsvc.cloud.sessions import CloudSessions
    from obsvc.model import Ref
    from obsvc.observer.fetching.fetcher import Fetcher
    from obsvc.observer.fetching.gate import GateSettings, ServiceGate
    from obsvc.observer.fetching.result import FetchOutcome

    settings = conf.load([])
    settings.set_override("auth_type", "admin_token", "cloud")
    from keystoneauth1 import loading

    loading.register_auth_conf_options(settings, "cloud")
    loaded = loading.get_plugin_loader("admin_token")
    settings.register_opts(loading.get_auth_plugin_conf_options(loaded), group="cloud")
    settings.set_override("endpoint", f"http://127.0.0.1:{port}/v2.1", "cloud")
    settings.set_override("token", TOKEN, "cloud")
    fetcher = Fetcher(catalog.load(), CloudSessions.from_conf(settings, "obsvc/0 (benchmark)", pool=threads),
                      gate=ServiceGate(GateSettings(threads)))
    ref = Ref("RegionOne", "compute.server", SERVER)

    def fetch() -> object:
        fetched = fetcher.fetch(ref)
        if fetched.outcome is not FetchOutcome.FOUND:
            raise RuntimeError(f"expected a server, got {fetched}")
        return fetched

    return fetch


def _session(port: int) -> ks_session.Session:
    return ks_session.Session(auth=token_endpoint.Token(f"http://127.0.0.1:{port}/v2.1", TOKEN))


def keystoneauth(port: int, threads: int) -> Fetch:
    adapter = ks_adapter.Adapter(_session(port), service_type="compute",
                                 endpoint_override=f"http://127.0.0.1:{port}/v2.1")
    headers = {"OpenStack-API-Version": "compute 2.79"}
    return lambda: adapter.get(f"/servers/{SERVER}", headers=headers).json()["server"]


def openstacksdk(port: int, threads: int) -> Fetch:
    import openstack

    connection = openstack.connection.Connection(
        session=_session(port), compute_endpoint_override=f"http://127.0.0.1:{port}/v2.1", compute_api_version="2.1",
        region_name="RegionOne",
    )
    return lambda: connection.compute.get_server(SERVER)


VARIANTS = {"obsvc": obsvc, "keystoneauth": keystoneauth, "openstacksdk": openstacksdk}


def run(fetch: Fetch, seconds: float, threads: int) -> dict[str, float]:
    fetch()
    stop, counts, errors = threading.Event(), [0] * threads, []

    def look(place: int) -> None:
        try:
            while not stop.is_set():
                fetch()
                counts[place] += 1
        except Exception as error:  # noqa: BLE001 - told to whoever measures
            errors.append(error)

    workers = [threading.Thread(target=look, args=(place,), daemon=True) for place in range(threads)]
    for worker in workers:
        worker.start()
    time.sleep(WARM)
    before, wall, cpu = sum(counts), time.perf_counter(), time.process_time()
    time.sleep(seconds)
    made, wall, cpu = sum(counts) - before, time.perf_counter() - wall, time.process_time() - cpu
    stop.set()
    for worker in workers:
        worker.join(10)
    if errors:
        raise errors[0]
    return {"cpu_ms": cpu / made * 1e3, "fetches_per_s": made / wall}


if __name__ == "__main__":
    _, name, port, seconds, threads = sys.argv
    print(json.dumps(run(VARIANTS[name](int(port), int(threads)), float(seconds), int(threads))))
