"""alembic's environment: runs with the connection that ``obsvc.engine.upgrade`` (or a developer's URL) brings.

A new revision: change the tables, then ``tools/new-revision 0002 "what changed"``.
"""
from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from obsvc.engine.database.databases import make_engine
from obsvc.engine.schema.all import metadata
from obsvc.exceptions import ConfigError


def _run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection, target_metadata=metadata, compare_type=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    url = context.config.get_main_option("sqlalchemy.url")
    if url is None:
        raise ConfigError("expected a connection or an sqlalchemy.url, got neither: run 'obsvc db upgrade'")
    with make_engine(url).begin() as own:
        _run(own)
