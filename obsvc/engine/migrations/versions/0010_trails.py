"""Trails of refs that were asked for

Revises: 0009
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"

TABLE: dict[str, Any] = {
    f"{dialect}_{key}": value
    for key, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_nopad_bin"))
    for dialect in ("mysql", "mariadb")
}
LONGTEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "trail",
        sa.Column("ref_key", _text(36), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("resource_type", _text(64), nullable=False),
        sa.Column("resource_id", _text(255), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("told_at", sa.Double()),
        sa.Column("name", _text(255)),
        sa.Column("incarnation", _text(255)),
        sa.Column("body", LONGTEXT),
        sa.PrimaryKeyConstraint("ref_key", name=op.f("pk_trail")),
        **TABLE,
    )
