"""Tokens that nova publishes, and passwords in URLs, are found nowhere: not in a log, not in the database, not at
any HTTP interface.

The captured messages of a server's life carry a token's place (nova's ``scheduler.select_destinations``); a string
that looks like a token is put there.  They go over a real broker, whole and in damaged forms, to a whole deployment.
"""
from __future__ import annotations

import urllib.request

import pytest
import sqlalchemy as sa

from obsvc.messaging import Publisher
from tests.fuzz.corpus import CANARY, PIECE, Sample, samples
from tests.support.processes.deployment import PASSWORD, Deployment, SimulatedCloud
from tests.support.processes.servers import wait_until
from tests.support.shared_data import RECORDED_SERVER

BROKER_PASSWORD = "br0ker-Pa55phrase"

#: Pieces that count: shorter than in the fuzz run, as nothing cuts the token here but the variants below.
_PIECES = [CANARY[start: start + PIECE] for start in range(0, len(CANARY) - PIECE + 1, 4)]


def damaged(sample: Sample) -> list[bytes]:
    """Forms of a message that can't be read: cut, of another version, encoding or shape, out of JSON inside."""
    body = sample.body
    middle = body.index(CANARY.encode()) + 40
    return [
        body[:-10], body[:middle], body[middle:], body[middle + 2:-3], body.replace(b'"2.0"', b'"9.0"'),
        body.decode().encode("utf-16"), body.decode().encode("utf-16-le"), b"\xff" + body, body + b"}",
        sample.inner[1:], b"[" + sample.inner + b"]",
        sample.inner.replace(b'"event_type"', b'"other"'), CANARY.encode(),
    ]


def everything(deployment: Deployment, database: str) -> dict[str, str]:
    """All text of the deployment that anybody could read, by where it was found."""
    found = {f"log of {name}": process.output() for name, process in deployment.processes.items()}
    for name, port in deployment.health_ports.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            found[f"/metrics of {name}"] = answer.read().decode()
    paths = ("dead-letters?limit=1000", "changes?limit=1000", f"resources/compute.server/{RECORDED_SERVER}", "members",
             "partitions", "observations", "stacks", f"resources/compute.server/{RECORDED_SERVER}/owner")
    for path in paths:
        with urllib.request.urlopen(f"{deployment.api_url}/v1/{path}", timeout=10) as answer:
            found[f"/v1/{path}"] = answer.read().decode()
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        for table in sa.inspect(connection).get_table_names():
            rows = connection.exec_driver_sql(f'SELECT * FROM "{table}"').all()
            found[f"table {table}"] = "\n".join(repr(tuple(row)) for row in rows)
    engine.dispose()
    return found


@pytest.fixture
def bus(shared_rabbitmq):
    """A virtual host with a user of its own, whose password is no common word."""
    url = shared_rabbitmq.create_vhost("secrets")
    shared_rabbitmq.ctl("add_user", "secretive", BROKER_PASSWORD)
    shared_rabbitmq.ctl("set_permissions", "-p", "secrets", "secretive", ".*", ".*", ".*")
    return url.replace("guest:guest", f"secretive:{BROKER_PASSWORD}")


def test_nothing_of_a_token_or_a_password_is_found(tmp_path, bus, shared_rabbitmq, shared_etcd, postgresql_url):
    cloud = SimulatedCloud(tmp_path, bus).start()
    try:
        database = postgresql_url.replace("obsvc@", "obsvc:d4tabase-Pa55phrase@")
        assert "d4tabase" in database
        deployment = Deployment(
            tmp_path, database=database, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud, workers=1,
            options={"coordination": {"group": tmp_path.name}, "DEFAULT": {"state_path": tmp_path, "debug": True}},
        )
        with deployment:
            deployment.run("observation", "start", "compute.server", RECORDED_SERVER)
            carriers = [sample for sample in samples() if CANARY.encode() in sample.body and sample.exchange == "nova"]
            carriers = carriers[:10]
            assert carriers
            letters = _publish(bus, carriers)
            wait_until(lambda: len(deployment.api("/v1/dead-letters?limit=1000")["letters"]) >= letters, bound=20,
                       what=f"{letters} dead letters")
            wait_until(lambda: deployment.count("observer", "obsvc_notifications_total") >= len(carriers), bound=20,
                       what="the others taken in")
            # the broker goes and returns: what is logged about it names its URL
            shared_rabbitmq.ctl("close_all_connections", "--vhost", "secrets", "test")
            wait_until(lambda: "gap: " in deployment.processes["observer-1"].output(), bound=20, what="connected anew")
            found = everything(deployment, database)
        found |= {f"log of {name} at its end": process.output() for name, process in deployment.processes.items()}
    finally:
        cloud.process.kill()
    assert "not_json" in found["/v1/dead-letters?limit=1000"] and "not_json" in found["table dead_letter"]
    leaked = [place for place, text in found.items() if any(piece in text for piece in _PIECES)]
    assert leaked == []
    for password in (BROKER_PASSWORD, "d4tabase-Pa55phrase", f'"{PASSWORD}"', f":{PASSWORD}@"):
        assert [place for place, text in found.items() if password in text] == [], password


def _publish(bus: str, carriers: list[Sample]) -> int:
    """Send all; returns how many of them can't be read."""
    unreadable = 0
    publishers: dict[str, Publisher] = {}
    for sample in carriers:
        publisher = publishers.setdefault(sample.exchange, Publisher(bus, sample.exchange))
        publisher.publish(sample.routing_key, sample.body)
        for body in damaged(sample):
            publisher.publish(sample.routing_key, body)
            unreadable += 1
    for publisher in publishers.values():
        publisher.close()
    return unreadable
