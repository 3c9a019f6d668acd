"""Doubles are looked for by their marker: how often it was done

Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("node", sa.Column("sweeps", sa.Integer(), nullable=False, server_default="0"))
