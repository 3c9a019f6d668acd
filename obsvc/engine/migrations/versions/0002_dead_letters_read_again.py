"""Dead letters can be read again: their redacted body, and what the decoder was told beside it

Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

LONGTEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("dead_letter", sa.Column("body", LONGTEXT))
    op.add_column("dead_letter", sa.Column("region", NAME))
    op.add_column("dead_letter", sa.Column("exchange", NAME))
    op.add_column("dead_letter", sa.Column("replayed_at", sa.Double()))
