"""The table of duties.  A row is written under the lock of its partition's row."""
from __future__ import annotations

import sqlalchemy as sa

from obsvc.engine.schema.base import LONG_TEXT, NAME, TIME, key_text, table

#: run_id, running_since: of the run that has not ended, and NULL beside.  cursor: the leader's own, opaque here.
duty = table(
    "duty",
    sa.Column("name", NAME, primary_key=True),
    sa.Column("kind", key_text(32), nullable=False),
    sa.Column("region", key_text(64), nullable=False),
    sa.Column("service", key_text(64), nullable=False),
    sa.Column("partition_id", sa.Integer, nullable=False),
    sa.Column("run_id", NAME),
    sa.Column("running_since", TIME),
    sa.Column("last_run_at", TIME),
    sa.Column("last_ended_at", TIME),
    sa.Column("next_run_at", TIME),
    sa.Column("pace", TIME, nullable=False),
    sa.Column("cursor_text", LONG_TEXT, nullable=False),
    sa.Column("result", LONG_TEXT, nullable=False),
    sa.Column("last_error", LONG_TEXT),
    sa.Column("requested_at", TIME),
    sa.Column("request_reason", NAME),
    sa.Index("ix_duty_region", "region", "service"),
)
