"""One stage a database; the dozen marked ``scenario`` on all three, the others, which are long, on two."""
from __future__ import annotations

import itertools
import os

import pytest

from tests.support.scenarios.stage import Script, Stage

_numbers = itertools.count(1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stage" not in metafunc.fixturenames:
        return
    short = metafunc.definition.get_closest_marker("scenario") is not None
    databases = ("sqlite", "postgresql", "mariadb") if short else ("sqlite", "postgresql")
    metafunc.parametrize("stage", [
        pytest.param(name, marks=[pytest.mark.xdist_group(f"scenarios-{name}"), *([] if short else [pytest.mark.long])])
        for name in databases
    ], indirect=True, scope="session")


@pytest.fixture(scope="session")
def stage(request, tmp_path_factory, shared_rabbitmq, shared_etcd):
    """A deployment on the database that the parameter names."""
    name = f"scenarios{os.getpid()}-{next(_numbers)}"
    folder = tmp_path_factory.mktemp(name)
    if request.param == "sqlite":
        database = f"sqlite:///{folder / 'obsvc.sqlite'}"
    else:
        server = request.getfixturevalue(f"shared_{request.param}")
        database = server.create_database(f"scenarios{os.getpid()}_{next(_numbers)}")
    with Stage(folder, database=database, coordination=shared_etcd.tooz_url,
               bus=shared_rabbitmq.create_vhost(name)) as made:
        yield made


@pytest.fixture
def stack(stage, request) -> Script:
    """The scenario's stack; deleted after it, from wherever it is then."""
    made = stage.stack(request.node.originalname.removeprefix("test_").replace("_", "-"))
    yield made
    made.away()
