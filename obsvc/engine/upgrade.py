"""Making and upgrading the database: what ``obsvc db upgrade`` does.  Idempotent; safe to run twice at once."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import command

from obsvc.engine.database import bootstrap
from obsvc.engine.database.databases import FailureKind, classify, make_engine, shown, sqlite_path
from obsvc.engine.database.schema_version import alembic_config, head
from obsvc.engine.database.store import driver_message
from obsvc.engine.reports.upkeep import RETENTION
from obsvc.engine.schema import core, stacks
from obsvc.exceptions import ConfigError, Unavailable
from obsvc.model import DEFAULT_PARTITIONS

#: Name and number of the lock that keeps two upgrades apart.
_LOCK = "obsvc_upgrade"
_LOCK_NUMBER = 0x6F627376

#: Seconds to wait for another upgrade to end.
_LOCK_PATIENCE = 60


def upgrade(url: str, *, partitions: int | None = None) -> str:
    """Bring the database at ``url`` to this version's schema and write its first rows; a line that says what was done.

    partitions: P of a new database (DEFAULT_PARTITIONS unless given); for one that is there, only compared.
    Raises ConfigError for a URL that can't be used, another P, or a schema newer than this code.
    """
    if partitions is not None and not 1 <= partitions <= 65536:
        raise ConfigError(f"expected --partitions from 1 to 65536, got {partitions}")
    path = sqlite_path(url) if url.startswith("sqlite") else None
    engine = make_engine(url, pool_size=1)
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(engine) as connection:
            _refuse_newer(connection, url)
            _refuse_other_partitions(connection, partitions)
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            made = bootstrap.fill(
                connection, partitions=_present_partitions(connection) or partitions or DEFAULT_PARTITIONS,
                now=time.time(),
            )
            if made:
                connection.execute(
                    sa.insert(stacks.due).values(kind=RETENTION, key="core", at=time.time(), tries=0, claim=None)
                )
            count = _present_partitions(connection)
    except OSError as error:
        raise ConfigError(f"the folder of {shown(url)} can't be made: {error.strerror}") from error
    except sa.exc.SQLAlchemyError as error:
        if classify(error) is FailureKind.LOST or isinstance(error, sa.exc.OperationalError):
            raise Unavailable(
                f"the database {shown(url)} can't be reached or refuses us ({driver_message(error)}): check "
                "[database] url and that the server runs"
            ) from error
        raise
    finally:
        engine.dispose()
    what = "made" if made else "up to date"
    return f"database {shown(url)}: {what}, schema {head()}, {count} partitions"


@contextlib.contextmanager
def _locked(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction that no other upgrade runs beside (MariaDB commits at each DDL; the lock is the session's)."""
    with engine.connect() as connection:
        family = engine.dialect.name
        with connection.begin():
            if family == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
            elif family != "sqlite":
                got = connection.execute(sa.select(sa.func.get_lock(_LOCK, _LOCK_PATIENCE))).scalar_one()
                if got != 1:
                    raise Unavailable("another upgrade of this database is still running: try again later")
            try:
                yield connection
            finally:
                if family in ("mysql", "mariadb"):
                    with contextlib.suppress(sa.exc.SQLAlchemyError):
                        connection.execute(sa.select(sa.func.release_lock(_LOCK)))


def _present_partitions(connection: sa.Connection) -> int | None:
    if not sa.inspect(connection).has_table("deployment"):
        return None
    return connection.execute(sa.select(core.deployment.c.partitions)).scalar_one_or_none()


def _refuse_other_partitions(connection: sa.Connection, wanted: int | None) -> None:
    present = _present_partitions(connection)
    if wanted is not None and present is not None and wanted != present:
        raise ConfigError(
            f"this database was made with {present} partitions, {wanted} were asked for: the number is fixed for the "
            "life of a database; leave --partitions out or make a new database"
        )


def _refuse_newer(connection: sa.Connection, url: str) -> None:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if present is not None and present not in known:
        raise ConfigError(
            f"the database {shown(url)} has schema {present}, which this version of obsvc (schema {head()}) does not "
            "know: a newer obsvc has upgraded it; upgrade obsvc on this host"
        )
