"""One statement for many rows that are tuples already, as the driver takes them.

SQLAlchemy writes the statement's text, once for each kind of database; a row then goes to the driver's
``executemany`` as it is.  Through ``Connection.execute`` each row of twenty columns costs as much in Python as in the
database, so this is for what is written with every report; everything else has no need of it.  Values must be what
the drivers take by themselves: None, str, int, float, bool.

Any thread may use a statement; its text is the same whichever thread makes it first.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from obsvc.engine.database.store import Transaction


class Bulk:
    """``statement`` with a parameter for each of ``names``, in the order in which its text has them."""

    def __init__(self, statement: sa.Insert | sa.Update, names: Sequence[str], *more: str) -> None:
        """names: columns that are written.  more: other bound parameters, behind them."""
        self._statement = statement
        self._columns = tuple(names)
        self._order = (*names, *more)
        self._texts: dict[str, str] = {}

    def execute(self, tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run it for each of ``rows`` (at least one)."""
        text = self._texts.get(tx.dialect)
        if text is None:
            text = self._texts[tx.dialect] = self._compile(tx.connection.dialect)
        tx.connection.exec_driver_sql(text, list(rows))

    def _compile(self, dialect: sa.Dialect) -> str:
        paramstyle = "qmark" if dialect.name == "sqlite" else "format"
        positional = type(dialect)(paramstyle=paramstyle)  # type: ignore[call-arg]
        compiled = self._statement.compile(dialect=positional, column_keys=self._columns)
        if tuple(compiled.positiontup or ()) != self._order:
            raise AssertionError(f"expected the parameters {compiled.positiontup}, got {self._order}")
        return str(compiled)
