"""One statement for many rows or keys, which go to the driver as they are.

SQLAlchemy writes the statement's text, once for each kind of database; rows then go to the driver's ``executemany``,
keys into one ``IN``.  Through ``Connection.execute`` each row of twenty columns, or list of keys, costs as much in
Python as in the database, so this is for what is written and read with every report; everything else has no need of
it.  Values must be what the drivers take by themselves: None, str, int, float, bool.

Any thread may use a statement; the texts are the same whoever makes them first.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from obsvc.engine.store import Transaction


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
            text = self._texts[tx.dialect] = _compiled(
                self._statement, tx.connection.dialect, self._order, column_keys=self._columns)
        tx.connection.exec_driver_sql(text, list(rows))


class ByKeys:
    """``query`` for the rows whose ``column`` is one of some keys; the rows are as the driver makes them, so without
    columns of a type that SQLAlchemy makes of another (a Boolean is an integer in SQLite)."""

    def __init__(self, query: sa.Select[Any], column: sa.Column[Any]) -> None:
        self._query = query.where(column == sa.bindparam("key", type_=column.type))
        self._texts: dict[str, tuple[str, str, str]] = {}

    def all(self, tx: Transaction, keys: Sequence[Any]) -> Sequence[sa.Row[Any]]:
        """The rows of ``keys``: at least one of them, and no more than a database takes parameters."""
        texts = self._texts.get(tx.dialect)
        if texts is None:
            text = _compiled(self._query, tx.connection.dialect, ("key",))
            before, mark, after = re.split(r"= (\?|%s\S*)", text)
            texts = self._texts[tx.dialect] = before, mark, after
        before, mark, after = texts
        return tx.connection.exec_driver_sql(
            f"{before}IN ({', '.join([mark] * len(keys))}){after}", tuple(keys)).all()


def _compiled(statement: sa.ClauseElement, dialect: sa.Dialect, order: Sequence[str], **options: Any) -> str:
    """The text with its parameters in ``order``."""
    paramstyle = "qmark" if dialect.name == "sqlite" else "format"
    positional = type(dialect)(paramstyle=paramstyle)  # type: ignore[call-arg]
    compiled = statement.compile(dialect=positional, **options)
    if tuple(compiled.positiontup or ()) != tuple(order):
        raise AssertionError(f"expected the parameters {compiled.positiontup}, got {order}")
    return str(compiled)
