"""Duties that one leader carries out, and observed refs by region and type, which a sweep compares

Revises: 0003
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

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
        "duty",
        sa.Column("name", _text(255), nullable=False),
        sa.Column("kind", _text(32), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("service", _text(64), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("run_id", _text(255)),
        sa.Column("running_since", sa.Double()),
        sa.Column("last_run_at", sa.Double()),
        sa.Column("last_ended_at", sa.Double()),
        sa.Column("next_run_at", sa.Double()),
        sa.Column("pace", sa.Double(), nullable=False),
        sa.Column("cursor_text", LONGTEXT, nullable=False),
        sa.Column("result", LONGTEXT, nullable=False),
        sa.Column("last_error", LONGTEXT),
        sa.Column("requested_at", sa.Double()),
        sa.Column("request_reason", _text(255)),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duty")),
        **TABLE,
    )
    op.create_index("ix_duty_region", "duty", ["region", "service"])
    op.create_index("ix_resource_kind", "resource", ["region", "resource_type", "resource_id"])
