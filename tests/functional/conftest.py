"""Servers for functional tests: one of each a test session, a database of its own for each test that asks."""
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from obsvc.engine.database.store import Store
from obsvc.engine.service import EngineService
from obsvc.engine.upgrade import upgrade
from tests.support.processes.servers import Etcd, MariaDB, PostgreSQL, RabbitMQ
from tests.support.store_reports import PARTITIONS

_numbers = itertools.count(1)


def _running(server: Callable[[], Any], *, scope: str) -> Any:
    """A fixture: one server that runs as long as the scope."""
    @pytest.fixture(scope=scope)
    def running() -> Iterator[Any]:
        with server() as started:
            yield started

    return running


# One a session, for tests that neither stop it nor count what is in it.
shared_rabbitmq = _running(RabbitMQ, scope="session")
shared_etcd = _running(Etcd, scope="session")
shared_postgresql = _running(PostgreSQL, scope="session")
shared_mariadb = _running(MariaDB, scope="session")

# One of the test's own, to be killed and started as it likes.
rabbitmq = _running(RabbitMQ, scope="function")
etcd = _running(Etcd, scope="function")
postgresql = _running(PostgreSQL, scope="function")
mariadb = _running(MariaDB, scope="function")


@pytest.fixture
def postgresql_url(shared_postgresql) -> str:
    """SQLAlchemy URL of a new empty database."""
    return shared_postgresql.create_database(f"test{next(_numbers)}")


@pytest.fixture
def mariadb_url(shared_mariadb) -> str:
    return shared_mariadb.create_database(f"test{next(_numbers)}")


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request, tmp_path) -> str:
    """SQLAlchemy URL of a new empty database, once on each of the three kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'obsvc.sqlite'}"
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def store(database_url):
    upgrade(database_url, partitions=PARTITIONS)
    opened = Store(database_url, pool_size=8)
    yield opened
    opened.close()


@pytest.fixture
def service(store):
    made = EngineService(store)
    yield made
    made.shutdown()
