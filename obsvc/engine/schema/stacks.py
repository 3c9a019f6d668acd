"""Tables of the engine's stacks: goals, their graphs, jobs, events, due work and the outbox.

Times are seconds since the epoch (DOUBLE).  What is stored as text of JSON is read and written whole, never
searched, so no database's own JSON type is needed.
"""
from __future__ import annotations

import enum

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)
from sqlalchemy.dialects import mysql

from obsvc.engine.schema.base import metadata
from obsvc.engine.schema.enums import EnumText
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackAction, StackStatus

#: Up to 16 MiB on MariaDB, where TEXT ends at 64 KiB: a template with its resolved properties can be longer.
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

#: SQLite counts up by itself only for INTEGER.
Serial = BigInteger().with_variant(Integer(), "sqlite")



class Phase(enum.StrEnum):
    """Which part of an update a stack is in."""

    FIRST = "first"  #: forward, of a stack that had nothing before: its edges are actual already
    FORWARD = "forward"  #: the goal is made true
    CLEANUP = "cleanup"  #: what is no part of the goal is deleted


class JobStatus(enum.StrEnum):
    READY = "ready"  #: waits for a worker, or for its next attempt
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"  #: its stack is being deleted, or ran out of time


stack = Table(
    "stack",
    metadata,
    Column("stack_id", String(36), primary_key=True),
    Column("name", String(255), nullable=False),
    # "" stands for no project: NULLs would never collide.
    Column("project_key", String(64), nullable=False),
    # The name while the stack lives, NULL once it is deleted: the name is free again then.
    Column("live_name", String(255)),
    Column("project_id", String(64)),
    Column("region", String(255)),
    Column("status", EnumText(StackStatus, 32), nullable=False),
    Column("status_reason", LongText, nullable=False),
    Column("action", EnumText(StackAction, 16), nullable=False),
    Column("traversal", String(36), nullable=False),
    Column("created_at", Double(), nullable=False),
    Column("updated_at", Double(), nullable=False),
    Column("timeout", Double()),
    Column("deadline", Double()),
    Column("on_drift", String(16), nullable=False),
    Column("template", LongText, nullable=False),
    # JSON object: the values after defaults; secrets of hidden parameters are among them.
    Column("parameters", LongText, nullable=False),
    # Counters of the traversal, moved under the row's lock: a finished node never counts the whole graph.
    Column("total", Integer, nullable=False),
    Column("finished", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("drifted", Integer, nullable=False),
    # Version of the goal that the traversal is for; its text is in ``goal``.
    Column("goal", Integer, nullable=False, server_default="1"),
    Column("phase", EnumText(Phase, 16), nullable=False, server_default="forward"),
    # Nodes that are no part of the goal and are to be deleted in the cleanup.
    Column("leftover", Integer, nullable=False, server_default="0"),
    # A create or update that fails stays as it is; else it goes back to the last goal that was reached.
    Column("disable_rollback", Boolean, nullable=False, server_default=true()),
    # After the stack's deadline, or cancelled: nothing new is begun in this traversal.
    Column("halted", Boolean, nullable=False),
    Column("progressed_at", Double(), nullable=False),
    Column("last_event_id", Integer, nullable=False),
    UniqueConstraint("project_key", "live_name"),
    Index(None, "project_key", "name"),
)

node = Table(
    "node",
    metadata,
    Column("node_id", String(36), primary_key=True),
    Column("stack_id", String(36), ForeignKey("stack.stack_id"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("name", String(255), nullable=False),
    # Name in the goals; that of several copies is the same.
    Column("slot", String(255), nullable=False, server_default=""),
    Column("type", String(255), nullable=False),
    # The goal that the copy was last complete for.
    Column("goal", Integer),
    # A copy that is no part of the goal any more; its name is changed, so that the goal's copy has it.
    Column("obsolete", Boolean, nullable=False, server_default=false()),
    # JSON object with its functions: resolved when the node's job is made.
    Column("properties", LongText, nullable=False),
    # JSON object: the resolved properties that the cloud was last given.
    Column("applied", LongText),
    # An update was begun that did not end well: in part, the copy may have other properties than ``applied``.
    Column("doubtful", Boolean, nullable=False, server_default=false()),
    # deletion_policy: Retain, in the last goal that the copy was part of.
    Column("retain", Boolean, nullable=False, server_default=false()),
    # What is under way was begun by an earlier traversal: its outcome is a fact about the copy, no progress.
    Column("carried", Boolean, nullable=False, server_default=false()),
    Column("action", EnumText(Action, 16), nullable=False),
    Column("status", EnumText(NodeStatus, 16), nullable=False),
    Column("status_reason", LongText, nullable=False),
    # Nodes that this one still waits for: required ones in a create, dependents in a delete.
    Column("unmet", Integer, nullable=False),
    # Text that the create request carried; the same for every attempt at the same copy.
    Column("marker", String(128), nullable=False),
    # Which copy this is of those that were made since the last one did not build.
    Column("builds", Integer, nullable=False, server_default="1"),
    # How often doubles of the copy were looked for by its marker.
    Column("sweeps", Integer, nullable=False, server_default="0"),
    Column("job_id", String(36)),
    Column("region", String(255)),
    Column("resource_type", String(255)),
    Column("resource_id", String(255)),
    # JSON object of the last accepted snapshot: what get_attr reads.
    Column("attributes", LongText, nullable=False),
    Column("drift", LongText),
    Column("timeout", Double()),
    Column("scheduled_at", Double()),
    Column("observing_at", Double()),
    Column("completed_at", Double()),
    UniqueConstraint("stack_id", "name"),
)

edge = Table(
    "edge",
    metadata,
    Column("node_id", String(36), ForeignKey("node.node_id"), primary_key=True),
    Column("requires", String(36), ForeignKey("node.node_id"), primary_key=True, index=True),
    # The goal has it: what is made waits for it.
    Column("wanted", Boolean, nullable=False, server_default=true()),
    # The copy was made or changed with it: what is deleted waits for it, whatever the goal says now.
    Column("actual", Boolean, nullable=False, server_default=true()),
)

#: Every goal that a stack was given.  reached_at: when it was first complete.
goal = Table(
    "goal",
    metadata,
    Column("stack_id", String(36), ForeignKey("stack.stack_id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("template", LongText, nullable=False),
    Column("parameters", LongText, nullable=False),
    Column("made_at", Double(), nullable=False),
    Column("reached_at", Double()),
)

job = Table(
    "job",
    metadata,
    Column("job_id", String(36), primary_key=True),
    Column("stack_id", String(36), ForeignKey("stack.stack_id"), nullable=False, index=True),
    Column("node_id", String(36), ForeignKey("node.node_id"), nullable=False, index=True),
    Column("action", EnumText(Action, 16), nullable=False),
    Column("type", String(255), nullable=False),
    Column("status", EnumText(JobStatus, 16), nullable=False),
    # When a worker may claim it: at once, after a pause, or when the lease lapses; NULL for never.
    Column("available_at", Double(), index=True),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("lease_token", String(36)),
    Column("lease_until", Double()),
    Column("worker", String(255)),
    Column("properties", LongText, nullable=False),
    Column("resource_id", String(255)),
    Column("error", LongText),
    Column("created_at", Double(), nullable=False),
    Column("finished_at", Double()),
)

stack_event = Table(
    "stack_event",
    metadata,
    Column("stack_id", String(36), ForeignKey("stack.stack_id"), primary_key=True),
    Column("event_id", Integer, primary_key=True, autoincrement=False),
    Column("at", Double(), nullable=False),
    Column("event", String(64), nullable=False),
    Column("node", String(255)),
    Column("resource_id", String(255)),
    Column("reason", LongText, nullable=False),
)

due = Table(
    "due",
    metadata,
    Column("kind", String(64), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("at", Double(), nullable=False, index=True),
    Column("tries", Integer, nullable=False),
    # Names the run that has claimed the row; a new schedule() clears it, so that the run does not end it.
    Column("claim", String(36)),
)

outbox = Table(
    "outbox",
    metadata,
    Column("outbox_id", Serial, primary_key=True, autoincrement=True),
    Column("event_type", String(128), nullable=False),
    Column("priority", String(16), nullable=False),
    Column("message_id", String(36), nullable=False),
    Column("created_at", Double(), nullable=False),
    Column("payload", LongText, nullable=False),
    # Until when one emitter has it; 0 for nobody.
    Column("claimed_until", Double(), nullable=False),
)
