"""Goals have versions: what a stack's nodes are to be, what they were made with, and what is left over

Revises: 0004
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

TABLE: dict[str, Any] = {
    f"{dialect}_{key}": value
    for key, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_nopad_bin"))
    for dialect in ("mysql", "mariadb")
}
MEDIUMTEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("stack", sa.Column("goal", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("stack", sa.Column("phase", sa.String(16), nullable=False, server_default="forward"))
    op.add_column("stack", sa.Column("leftover", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("node", sa.Column("obsolete", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("node", sa.Column("applied", MEDIUMTEXT))
    op.add_column("edge", sa.Column("wanted", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("edge", sa.Column("actual", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_table(
        "goal",
        sa.Column("stack_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("template", MEDIUMTEXT, nullable=False),
        sa.Column("parameters", MEDIUMTEXT, nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("reached_at", sa.Double()),
        sa.ForeignKeyConstraint(["stack_id"], ["stack.stack_id"], name=op.f("fk_goal_stack_id")),
        sa.PrimaryKeyConstraint("stack_id", "version", name=op.f("pk_goal")),
        **TABLE,
    )
    op.execute(
        "insert into goal (stack_id, version, template, parameters, made_at, reached_at) "
        "select stack_id, 1, template, parameters, created_at, "
        "case when status = 'CREATE_COMPLETE' then updated_at end from stack"
    )
    op.execute(
        "update node set applied = (select job.properties from job where job.job_id = node.job_id "
        "and job.action = 'create' and job.status = 'done')"
    )
