"""The table of selectors.  Its version is the change counter ``selector``."""
from __future__ import annotations

import sqlalchemy as sa

from obsvc.engine.schema.base import ID, NAME, TIME, key_text, table

#: project_id: NULL: of all projects.
selector = table(
    "selector",
    sa.Column("selector_id", ID, primary_key=True),
    sa.Column("region", key_text(64), nullable=False),
    sa.Column("resource_type", key_text(64), nullable=False),
    sa.Column("project_id", NAME),
    sa.Column("started_at", TIME, nullable=False),
    sa.Index("ix_selector_region", "region", "resource_type"),
)
