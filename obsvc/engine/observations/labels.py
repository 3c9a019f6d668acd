"""Finding by a label: an observation keeps its labels as text of JSON, in which the database searches.

Functions belong to the thread of their Transaction.
"""
from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from obsvc.engine.database.rows import chunks, to_json
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations.records import load_labels
from obsvc.engine.schema import core


def has_text(label: tuple[str, str]) -> sa.ColumnElement[bool]:
    """A condition that finds every observation with the label, and some without: compare the values that it finds."""
    name, value = (to_json(part) for part in label)
    return core.observation.c.labels.contains(f"{name}:{value}", autoescape=True)


def with_label(tx: Transaction, keys: Sequence[str], label: tuple[str, str], project_id: str | None) -> set[str]:
    """The ref_keys among ``keys`` that are observed (by that project, where named) with the label."""
    table = core.observation
    labelled: set[str] = set()
    for chunk in chunks(keys):
        query = sa.select(table.c.ref_key, table.c.labels).where(table.c.ref_key.in_(chunk), has_text(label))
        if project_id is not None:
            query = query.where(table.c.project_id == project_id)
        labelled |= {key for key, text in tx.execute(query) if load_labels(text).get(label[0]) == label[1]}
    return labelled
