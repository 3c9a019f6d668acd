"""Statements that go to the driver as they are: the same rows as through SQLAlchemy, for any number of keys."""
import pytest
import sqlalchemy as sa

from obsvc.engine.bulk import ByKeys
from obsvc.engine.rows import CHUNK, chunks, known_by_key, watches_by_key
from obsvc.engine.schema import core
from obsvc.engine.service import EngineService
from obsvc.engine_client.observations import StartItem, StartRequest
from obsvc.model import Ref
from tests.unit.engine_store import new_store

REFS = [Ref("RegionOne", "sim.resource", f"r{number}") for number in range(2 * CHUNK + 1)]
KEYS = [core.ref_key(ref) for ref in REFS]


@pytest.fixture
def observed():
    """A store in which each of REFS is observed once."""
    store = new_store()
    service = EngineService(store)
    for some in chunks(REFS):
        service.start(StartRequest(tuple(StartItem(ref) for ref in some)))
    yield store
    service.shutdown()


@pytest.mark.parametrize("count", [1, 2, CHUNK, CHUNK + 1, 2 * CHUNK + 1])
def test_what_reports_are_judged_by_is_read_of_every_key(observed, count):
    keys = KEYS[:count]
    known = observed.read(lambda tx: known_by_key(tx, [*keys, "f" * 32]))
    watches = observed.read(lambda tx: watches_by_key(tx, keys))
    assert known.keys() == watches.keys() == set(keys)
    assert all(len(each) == 1 and each[0].selected is False for each in watches.values())


@pytest.mark.parametrize("url", ["sqlite://", "postgresql+psycopg://", "mysql+pymysql://"])
def test_the_keys_take_the_place_of_the_one_in_the_text(url):
    said = []

    class Connection:
        dialect = sa.create_engine(url).dialect

        def exec_driver_sql(self, text, parameters):
            said.append((text, parameters))
            return self

        def all(self):
            return []

    class Tx:
        dialect, connection = Connection.dialect.name, Connection()

    query = ByKeys(sa.select(core.resource.c.version).order_by(core.resource.c.version), core.resource.c.ref_key)
    query.all(Tx(), ["a", "b", "c"])
    [(text, parameters)] = said
    place = {"sqlite": "?", "postgresql": "%s::VARCHAR", "mysql": "%s"}[Tx.dialect]
    assert text.split("WHERE resource.ref_key ")[1] == f"IN ({place}, {place}, {place}) ORDER BY resource.version"
    assert parameters == ("a", "b", "c")
