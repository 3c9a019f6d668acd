"""Which version of the schema a database has, and which one this code needs."""
from __future__ import annotations

import pathlib

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from obsvc.engine.database.databases import shown, sqlite_path
from obsvc.engine.database.store import Store, Transaction
from obsvc.exceptions import ConfigError

MIGRATIONS = pathlib.Path(__file__).resolve().parent.parent / "migrations"

_table = sa.table("alembic_version", sa.column("version_num"))
_heads: dict[str, str] = {}


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def head() -> str:
    """The newest revision that this code has."""
    if not _heads:
        newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
        assert newest is not None
        _heads["head"] = newest
    return _heads["head"]


def check_schema(store: Store) -> None:
    """Raise ConfigError where the schema is missing, older or newer than this code's; Unavailable where the
    database can't be reached."""
    path = sqlite_path(store.url)
    if path is not None and not path.exists():  # connecting would make an empty file
        raise ConfigError(f"there is no database {path} yet: run 'obsvc db upgrade'")
    try:
        present = store.read(_version)
    except ConfigError:
        present = None
    if present == head():
        store.deployment()
        return
    if present is None:
        raise ConfigError(f"the database {shown(store.url)} has no schema of obsvc yet: run 'obsvc db upgrade'")
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if present in known:
        raise ConfigError(
            f"the database {shown(store.url)} has schema {present}, this version needs {head()}: run 'obsvc db upgrade'"
        )
    raise ConfigError(
        f"the database {shown(store.url)} has schema {present}, which this version of obsvc (schema {head()}) does not "
        "know: a newer obsvc has upgraded it; upgrade obsvc on this host"
    )


def _version(tx: Transaction) -> str | None:
    return tx.execute(sa.select(_table.c.version_num)).scalar_one_or_none()
