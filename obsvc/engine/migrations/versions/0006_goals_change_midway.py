"""Goals change in the middle: which copy was whose, what of an earlier traversal is under way, what is kept for good

Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("stack", sa.Column("disable_rollback", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("node", sa.Column("slot", sa.String(255), nullable=False, server_default=""))
    op.add_column("node", sa.Column("goal", sa.Integer()))
    op.add_column("node", sa.Column("retain", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("node", sa.Column("carried", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("node", sa.Column("doubtful", sa.Boolean(), nullable=False, server_default=sa.false()))
    node = sa.table(
        "node", *(sa.column(name) for name in (
            "stack_id", "name", "slot", "goal", "obsolete", "completed_at", "status", "action", "doubtful")))
    stack = sa.table("stack", sa.column("stack_id"), sa.column("goal"), sa.column("status"))
    op.execute(sa.update(node).values(slot=node.c.name))
    # " (old 12345678)" stands behind the name of an obsolete copy.
    op.execute(sa.update(node).where(node.c.obsolete.is_(True)).values(
        slot=sa.func.substr(node.c.name, 1, sa.func.length(node.c.name) - 15)))
    of_stack = sa.select(stack.c.goal).where(stack.c.stack_id == node.c.stack_id)
    op.execute(sa.update(node).where(node.c.obsolete.is_(False), node.c.status == "complete").values(
        goal=of_stack.scalar_subquery()))
    op.execute(sa.update(node).where(node.c.action == "update", node.c.status == "failed").values(doubtful=True))
