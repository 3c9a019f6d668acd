"""A resource that was built into error is built again: which copy it is

Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("node", sa.Column("builds", sa.Integer(), nullable=False, server_default="1"))
