"""What every table of the engine's database is made with: one metadata object, and the column types in use.

Portable over SQLite, PostgreSQL and MariaDB: text compares byte by byte everywhere (MariaDB: a binary collation
without padding; PostgreSQL: collation "C" where order matters), JSON is text made by msgspec, times are seconds
since the epoch as doubles.
"""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: Options of every table on MariaDB: the binary collation compares every byte, trailing spaces too.
_MARIADB_OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_nopad_bin"}


@sa.event.listens_for(sa.Table, "before_parent_attach")
def _set_options(new: sa.Table, parent: object) -> None:
    """Give every table of :data:`metadata` the options that obsvc wants everywhere."""
    if parent is metadata:
        for dialect in ("mysql", "mariadb"):
            new.dialect_options[dialect].update(_MARIADB_OPTIONS)


def table(name: str, *args: Any) -> sa.Table:
    """A table in :data:`metadata`."""
    return sa.Table(name, metadata, *args)


def key_text(length: int) -> sa.types.TypeEngine[str]:
    """Text of up to ``length`` characters that is compared and sorted byte by byte on every database."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


#: Text of any length (JSON, messages).
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

#: Seconds since the epoch.
TIME: sa.Double[float] = sa.Double()

#: Numbers that only rise: generations, versions, sequences.
NUMBER = sa.BigInteger()

#: A row number that the database gives.
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: Ids that obsvc makes itself: UUIDs, and the hex digests that name refs.
ID = key_text(36)

#: Member names, project ids and other short names that come from outside.
NAME = key_text(255)
