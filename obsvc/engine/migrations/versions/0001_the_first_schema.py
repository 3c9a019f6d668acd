"""The first schema

Revises: None
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

LONGTEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
MEDIUMTEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLE: dict[str, Any] = {
    f"{dialect}_{key}": value
    for dialect in ("mysql", "mariadb")
    for key, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_nopad_bin"))
}


def key_text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "change_counter",
        sa.Column("name", key_text(32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_change_counter")),
        **TABLE,
    )
    op.create_table(
        "dead_letter",
        sa.Column("letter_id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("bus", key_text(255), nullable=False),
        sa.Column("reason", key_text(255), nullable=False),
        sa.Column("detail", LONGTEXT, nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("excerpt", LONGTEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("member", key_text(255), nullable=False),
        sa.PrimaryKeyConstraint("letter_id", name=op.f("pk_dead_letter")),
        **TABLE,
    )
    op.create_table(
        "delta",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("region", key_text(64), nullable=False),
        sa.Column("resource_type", key_text(64), nullable=False),
        sa.Column("resource_id", key_text(255), nullable=False),
        sa.Column("condition", key_text(16), nullable=False),
        sa.Column("before_condition", key_text(16), nullable=False),
        sa.Column("standing", key_text(16), nullable=False),
        sa.Column("status", LONGTEXT, nullable=True),
        sa.Column("before_status", LONGTEXT, nullable=True),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("changed", LONGTEXT, nullable=False),
        sa.Column("project_id", key_text(255), nullable=True),
        sa.Column("stack_id", key_text(36), nullable=True),
        sa.Column("member", key_text(255), nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=True),
        sa.Column("cause", key_text(16), nullable=True),
        sa.Column("fetched_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_delta")),
        **TABLE,
    )
    with op.batch_alter_table("delta", schema=None) as batch_op:
        batch_op.create_index("ix_delta_at", ["at"], unique=False)
        batch_op.create_index("ix_delta_project", ["project_id", "version"], unique=False)
        batch_op.create_index("ix_delta_resource", ["resource_id", "version"], unique=False)
        batch_op.create_index("ix_delta_stack", ["stack_id", "version"], unique=False)

    op.create_table(
        "deployment",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("database_id", key_text(36), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
        **TABLE,
    )
    op.create_table(
        "due",
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("claim", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_due")),
        **TABLE,
    )
    with op.batch_alter_table("due", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_due_at"), ["at"], unique=False)

    op.create_table(
        "feed",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("pruned_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed")),
        **TABLE,
    )
    op.create_table(
        "member",
        sa.Column("name", key_text(255), nullable=False),
        sa.Column("incarnation", key_text(64), nullable=False),
        sa.Column("beat", LONGTEXT, nullable=False),
        sa.Column("state", key_text(16), nullable=False),
        sa.Column("caught_up", sa.Boolean(), nullable=False),
        sa.Column("first_beat_at", sa.Double(), nullable=False),
        sa.Column("last_beat_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "incarnation", name=op.f("pk_member")),
        **TABLE,
    )
    op.create_table(
        "outbox",
        sa.Column("outbox_id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("event_type", sa.String(length=128), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("payload", MEDIUMTEXT, nullable=False),
        sa.Column("claimed_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_outbox")),
        **TABLE,
    )
    op.create_table(
        "partition_change",
        sa.Column("partition_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ref_key", key_text(36), nullable=False),
        sa.Column("region", key_text(64), nullable=False),
        sa.Column("resource_type", key_text(64), nullable=False),
        sa.Column("resource_id", key_text(255), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("partition_id", "version", name=op.f("pk_partition_change")),
        **TABLE,
    )
    with op.batch_alter_table("partition_change", schema=None) as batch_op:
        batch_op.create_index("ix_partition_change_at", ["at"], unique=False)

    op.create_table(
        "partition_state",
        sa.Column("partition_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("owner_name", key_text(255), nullable=True),
        sa.Column("owner_incarnation", key_text(255), nullable=True),
        sa.Column("claim_id", key_text(255), nullable=True),
        sa.Column("since", sa.Double(), nullable=True),
        sa.Column("why", key_text(255), nullable=True),
        sa.Column("previous_name", key_text(255), nullable=True),
        sa.Column("previous_incarnation", key_text(255), nullable=True),
        sa.Column("previous_released", sa.Boolean(), nullable=False),
        sa.Column("previous_caught_up", sa.Boolean(), nullable=False),
        sa.Column("previous_last_beat_at", sa.Double(), nullable=True),
        sa.Column("asked_by", key_text(255), nullable=True),
        sa.Column("asked_at", sa.Double(), nullable=True),
        sa.Column("asked_again_at", sa.Double(), nullable=True),
        sa.Column("observation_version", sa.BigInteger(), nullable=False),
        sa.Column("pruned_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition_id", name=op.f("pk_partition_state")),
        **TABLE,
    )
    with op.batch_alter_table("partition_state", schema=None) as batch_op:
        batch_op.create_index("ix_partition_state_owner", ["owner_name", "owner_incarnation"], unique=False)

    op.create_table(
        "resource",
        sa.Column("ref_key", key_text(36), nullable=False),
        sa.Column("region", key_text(64), nullable=False),
        sa.Column("resource_type", key_text(64), nullable=False),
        sa.Column("resource_id", key_text(255), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("condition", key_text(16), nullable=False),
        sa.Column("project_id", key_text(255), nullable=True),
        sa.Column("snapshot", LONGTEXT, nullable=True),
        sa.Column("attributes", LONGTEXT, nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("verdict", key_text(16), nullable=True),
        sa.Column("verdict_version", sa.BigInteger(), nullable=True),
        sa.Column("reported_by", key_text(255), nullable=True),
        sa.Column("reported_at", sa.Double(), nullable=True),
        sa.Column("mark", sa.BigInteger(), nullable=True),
        sa.Column("mark_reason", key_text(255), nullable=True),
        sa.Column("looked", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ref_key", name=op.f("pk_resource")),
        **TABLE,
    )
    with op.batch_alter_table("resource", schema=None) as batch_op:
        batch_op.create_index("ix_resource_id", ["resource_id", "resource_type"], unique=False)
        batch_op.create_index(
            "ix_resource_place", ["partition_id", "region", "resource_type", "resource_id"], unique=False
        )

    op.create_table(
        "stack",
        sa.Column("stack_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("project_key", sa.String(length=64), nullable=False),
        sa.Column("live_name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=64), nullable=True),
        sa.Column("region", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("status_reason", MEDIUMTEXT, nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("traversal", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("timeout", sa.Double(), nullable=True),
        sa.Column("deadline", sa.Double(), nullable=True),
        sa.Column("on_drift", sa.String(length=16), nullable=False),
        sa.Column("template", MEDIUMTEXT, nullable=False),
        sa.Column("parameters", MEDIUMTEXT, nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("finished", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("drifted", sa.Integer(), nullable=False),
        sa.Column("halted", sa.Boolean(), nullable=False),
        sa.Column("progressed_at", sa.Double(), nullable=False),
        sa.Column("last_event_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("stack_id", name=op.f("pk_stack")),
        sa.UniqueConstraint("project_key", "live_name", name=op.f("uq_stack_project_key_live_name")),
        **TABLE,
    )
    with op.batch_alter_table("stack", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_stack_project_key_name"), ["project_key", "name"], unique=False)

    op.create_table(
        "node",
        sa.Column("node_id", sa.String(length=36), nullable=False),
        sa.Column("stack_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("properties", MEDIUMTEXT, nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_reason", MEDIUMTEXT, nullable=False),
        sa.Column("unmet", sa.Integer(), nullable=False),
        sa.Column("marker", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("region", sa.String(length=255), nullable=True),
        sa.Column("resource_type", sa.String(length=255), nullable=True),
        sa.Column("resource_id", sa.String(length=255), nullable=True),
        sa.Column("attributes", MEDIUMTEXT, nullable=False),
        sa.Column("drift", MEDIUMTEXT, nullable=True),
        sa.Column("timeout", sa.Double(), nullable=True),
        sa.Column("scheduled_at", sa.Double(), nullable=True),
        sa.Column("observing_at", sa.Double(), nullable=True),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["stack_id"], ["stack.stack_id"], name=op.f("fk_node_stack_id")),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_node")),
        sa.UniqueConstraint("stack_id", "name", name=op.f("uq_node_stack_id_name")),
        **TABLE,
    )
    with op.batch_alter_table("node", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_node_stack_id"), ["stack_id"], unique=False)

    op.create_table(
        "observation",
        sa.Column("observation_id", key_text(36), nullable=False),
        sa.Column("ref_key", key_text(36), nullable=False),
        sa.Column("goal", key_text(16), nullable=True),
        sa.Column("status", key_text(16), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("deadline", sa.Double(), nullable=True),
        sa.Column("labels", LONGTEXT, nullable=False),
        sa.Column("project_id", key_text(255), nullable=True),
        sa.Column("stack_id", key_text(36), nullable=True),
        sa.Column("node_id", key_text(36), nullable=True),
        sa.Column("met_at", sa.Double(), nullable=True),
        sa.Column("start_mark", sa.BigInteger(), nullable=False),
        sa.Column("last_look_mark", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["ref_key"], ["resource.ref_key"], name=op.f("fk_observation_ref_key")),
        sa.PrimaryKeyConstraint("observation_id", name=op.f("pk_observation")),
        **TABLE,
    )
    with op.batch_alter_table("observation", schema=None) as batch_op:
        batch_op.create_index("ix_observation_project_id", ["project_id"], unique=False)
        batch_op.create_index("ix_observation_ref_key", ["ref_key"], unique=False)
        batch_op.create_index("ix_observation_stack_id", ["stack_id"], unique=False)

    op.create_table(
        "stack_event",
        sa.Column("stack_id", sa.String(length=36), nullable=False),
        sa.Column("event_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=True),
        sa.Column("resource_id", sa.String(length=255), nullable=True),
        sa.Column("reason", MEDIUMTEXT, nullable=False),
        sa.ForeignKeyConstraint(["stack_id"], ["stack.stack_id"], name=op.f("fk_stack_event_stack_id")),
        sa.PrimaryKeyConstraint("stack_id", "event_id", name=op.f("pk_stack_event")),
        **TABLE,
    )
    op.create_table(
        "edge",
        sa.Column("node_id", sa.String(length=36), nullable=False),
        sa.Column("requires", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["node.node_id"], name=op.f("fk_edge_node_id")),
        sa.ForeignKeyConstraint(["requires"], ["node.node_id"], name=op.f("fk_edge_requires")),
        sa.PrimaryKeyConstraint("node_id", "requires", name=op.f("pk_edge")),
        **TABLE,
    )
    with op.batch_alter_table("edge", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_edge_requires"), ["requires"], unique=False)

    op.create_table(
        "job",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("stack_id", sa.String(length=36), nullable=False),
        sa.Column("node_id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("available_at", sa.Double(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.String(length=36), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("worker", sa.String(length=255), nullable=True),
        sa.Column("properties", MEDIUMTEXT, nullable=False),
        sa.Column("resource_id", sa.String(length=255), nullable=True),
        sa.Column("error", MEDIUMTEXT, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["node_id"], ["node.node_id"], name=op.f("fk_job_node_id")),
        sa.ForeignKeyConstraint(["stack_id"], ["stack.stack_id"], name=op.f("fk_job_stack_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job")),
        **TABLE,
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_available_at"), ["available_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_job_node_id"), ["node_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_job_stack_id"), ["stack_id"], unique=False)
