"""What upgrades make of rows that are there."""
from __future__ import annotations

import sqlalchemy as sa
from alembic import command

from obsvc.engine.database.databases import make_engine
from obsvc.engine.database.schema_version import alembic_config


def test_an_obsolete_copy_gets_the_slot_that_its_name_says(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path / 'obsvc.sqlite'}", pool_size=1)
    config = alembic_config()
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        tables = sa.MetaData()
        tables.reflect(connection)
        _insert(connection, tables.tables["stack"], stack_id="s", name="s", status="UPDATE_COMPLETE", goal=2)
        for name, obsolete, status in (("net", False, "complete"), ("net (old 12345678)", True, "failed"),
                                       ("port", False, "failed")):
            _insert(connection, tables.tables["node"], node_id=name, stack_id="s", name=name, type="T",
                    obsolete=obsolete, status=status, action="update")
        command.upgrade(config, "head")
        rows = connection.execute(sa.text("select name, slot, goal, doubtful, carried from node order by name")).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [
        ("net", "net", 2, 0, 0), ("net (old 12345678)", "net", None, 1, 0), ("port", "port", None, 1, 0)]


def _insert(connection: sa.Connection, table: sa.Table, **values: object) -> None:
    """A row with something in every column that must have it."""
    for column in table.columns:
        if not column.nullable and column.server_default is None and column.name not in values:
            values[column.name] = "" if isinstance(column.type, sa.String) else 0
    connection.execute(sa.insert(table).values(**values))
