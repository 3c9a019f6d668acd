"""Servers for functional tests: one of each a test session, a database of its own for each test that asks."""
from __future__ import annotations

import itertools

import pytest

from tests.functional.servers import Etcd, MariaDB, PostgreSQL, RabbitMQ

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def shared_rabbitmq():
    """One broker a session, for tests that neither stop it nor count what is in it."""
    with RabbitMQ() as server:
        yield server


@pytest.fixture(scope="session")
def shared_etcd():
    with Etcd() as server:
        yield server


@pytest.fixture(scope="session")
def shared_postgresql():
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def shared_mariadb():
    with MariaDB() as server:
        yield server


@pytest.fixture
def rabbitmq():
    """A broker of the test's own, to be killed and started as it likes."""
    with RabbitMQ() as server:
        yield server


@pytest.fixture
def etcd():
    """An etcd of the test's own, to be killed and started as it likes."""
    with Etcd() as server:
        yield server


@pytest.fixture
def postgresql():
    """A PostgreSQL of the test's own, to be killed and started as it likes."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def mariadb():
    with MariaDB() as server:
        yield server


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
