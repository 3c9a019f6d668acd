"""Selectors, and which observations are theirs

Revises: 0008
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TABLE: dict[str, Any] = {
    f"{dialect}_{key}": value
    for key, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_nopad_bin"))
    for dialect in ("mysql", "mariadb")
}


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "selector",
        sa.Column("selector_id", _text(36), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("resource_type", _text(64), nullable=False),
        sa.Column("project_id", _text(255)),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("selector_id", name=op.f("pk_selector")),
        **TABLE,
    )
    op.create_index("ix_selector_region", "selector", ["region", "resource_type"])
    op.add_column("observation", sa.Column("selected", sa.Boolean(), nullable=False, server_default=sa.false()))
    # a new database has its counters when it is filled
    op.execute("INSERT INTO change_counter (name, value) SELECT 'selector', 0 FROM deployment")
