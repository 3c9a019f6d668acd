"""Tables of ownership, observations, actual state and the changes feed.

A ref is named by ``ref_key``, a digest of its three parts (:func:`ref_key`): one short column to join, look up
and lock by.  ``resource`` has a row for each ref that has at least one observation; every write to it, and to the
observations of its ref, is made under the lock of its partition's row.
"""
from __future__ import annotations

import hashlib

import sqlalchemy as sa

from obsvc.engine.schema.base import ID, LONG_TEXT, NAME, NUMBER, SERIAL, TIME, key_text, table
from obsvc.model import Ref

#: Longest parts of a ref, characters; longer ones are refused.
REGION_LENGTH = 64
TYPE_LENGTH = 64
RESOURCE_ID_LENGTH = 255


def ref_key(ref: Ref) -> str:
    """The 32 hex digits that name ``ref`` in the database: BLAKE2b (RFC 7693), 128 bits, of its parts."""
    parts = "\0".join((ref.region, ref.resource_type, ref.resource_id))
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _ref_columns() -> list[sa.Column[str]]:
    return [
        sa.Column("region", key_text(REGION_LENGTH), nullable=False),
        sa.Column("resource_type", key_text(TYPE_LENGTH), nullable=False),
        sa.Column("resource_id", key_text(RESOURCE_ID_LENGTH), nullable=False),
    ]


#: One row: what was fixed when the database was made.
deployment = table(
    "deployment",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("database_id", ID, nullable=False),
    sa.Column("partitions", sa.Integer, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
)

#: One row a partition, made with the database: its owner, and the numbers that order what happens in it.
partition = table(
    "partition_state",
    sa.Column("partition_id", sa.Integer, primary_key=True, autoincrement=False),
    # fencing: the generation of the last grant (0 before the first), and who holds it (NULL: nobody)
    sa.Column("generation", NUMBER, nullable=False),
    sa.Column("owner_name", NAME),
    sa.Column("owner_incarnation", NAME),
    sa.Column("claim_id", NAME),
    sa.Column("since", TIME),
    sa.Column("why", NAME),
    # who was granted it before (after a release: who released it), and how that ended
    sa.Column("previous_name", NAME),
    sa.Column("previous_incarnation", NAME),
    sa.Column("previous_released", sa.Boolean, nullable=False),
    sa.Column("previous_caught_up", sa.Boolean, nullable=False),
    sa.Column("previous_last_beat_at", TIME),
    # a planned claim that waits for the owner: since when, by whom, and when it was last repeated
    sa.Column("asked_by", NAME),
    sa.Column("asked_at", TIME),
    sa.Column("asked_again_at", TIME),
    # observation version: raised by every start, stop and mark; changes up to pruned_version are forgotten
    sa.Column("observation_version", NUMBER, nullable=False),
    sa.Column("pruned_version", NUMBER, nullable=False),
    sa.Index("ix_partition_state_owner", "owner_name", "owner_incarnation"),
)

#: What each member said of itself last.
member = table(
    "member",
    sa.Column("name", NAME, primary_key=True),
    sa.Column("incarnation", key_text(64), primary_key=True),
    sa.Column("beat", LONG_TEXT, nullable=False),
    sa.Column("state", key_text(16), nullable=False),
    sa.Column("caught_up", sa.Boolean, nullable=False),
    sa.Column("first_beat_at", TIME, nullable=False),
    sa.Column("last_beat_at", TIME, nullable=False),
)

#: Names of members that an operator has drained.
member_drain = table(
    "member_drain",
    sa.Column("name", NAME, primary_key=True),
    sa.Column("since", TIME, nullable=False),
)

#: The copy of each observed ref.  snapshot: JSON without the attributes, which stand beside it; NULL before the
#: first report.  generation, sequence, verdict, verdict_version: of the last report that was written.
#: mark: a look that waits; looked: the highest mark that a written report has named.
resource = table(
    "resource",
    sa.Column("ref_key", ID, primary_key=True),
    *_ref_columns(),
    sa.Column("partition_id", sa.Integer, nullable=False),
    sa.Column("started_at", TIME, nullable=False),
    sa.Column("version", NUMBER, nullable=False),
    sa.Column("condition", key_text(16), nullable=False),
    sa.Column("project_id", NAME),
    sa.Column("snapshot", LONG_TEXT),
    sa.Column("attributes", LONG_TEXT),
    sa.Column("generation", NUMBER, nullable=False),
    sa.Column("sequence", NUMBER, nullable=False),
    sa.Column("verdict", key_text(16)),
    sa.Column("verdict_version", NUMBER),
    sa.Column("reported_by", NAME),
    sa.Column("reported_at", TIME),
    sa.Column("mark", NUMBER),
    sa.Column("mark_reason", NAME),
    sa.Column("looked", NUMBER, nullable=False),
    sa.Index("ix_resource_place", "partition_id", "region", "resource_type", "resource_id"),
    sa.Index("ix_resource_id", "resource_id", "resource_type"),
    sa.Index("ix_resource_kind", "region", "resource_type", "resource_id"),
)

#: Standing requests.  start_mark: the look mark that its start set: only a report that names it, or one after
#: such a report, can meet the goal.  last_look_mark: set when the deadline has passed.  selected: for selectors.
observation = table(
    "observation",
    sa.Column("observation_id", ID, primary_key=True),
    sa.Column("ref_key", ID, sa.ForeignKey("resource.ref_key"), nullable=False),
    sa.Column("goal", key_text(16)),
    sa.Column("status", key_text(16), nullable=False),
    sa.Column("started_at", TIME, nullable=False),
    sa.Column("deadline", TIME),
    sa.Column("labels", LONG_TEXT, nullable=False),
    sa.Column("project_id", NAME),
    sa.Column("stack_id", ID),
    sa.Column("node_id", ID),
    sa.Column("met_at", TIME),
    sa.Column("start_mark", NUMBER, nullable=False),
    sa.Column("last_look_mark", NUMBER),
    sa.Column("selected", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_observation_ref_key", "ref_key"),
    sa.Index("ix_observation_stack_id", "stack_id"),
    sa.Index("ix_observation_project_id", "project_id"),
)

#: What happened to the list of a partition, by the version that it raised: what ``follow`` reads.
partition_change = table(
    "partition_change",
    sa.Column("partition_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", NUMBER, primary_key=True, autoincrement=False),
    sa.Column("ref_key", ID, nullable=False),
    *_ref_columns(),
    sa.Column("at", TIME, nullable=False),
    sa.Index("ix_partition_change_at", "at"),
)

#: The changes feed.
delta = table(
    "delta",
    sa.Column("version", NUMBER, primary_key=True, autoincrement=False),
    sa.Column("at", TIME, nullable=False),
    *_ref_columns(),
    sa.Column("condition", key_text(16), nullable=False),
    sa.Column("before_condition", key_text(16), nullable=False),
    sa.Column("standing", key_text(16), nullable=False),
    sa.Column("status", LONG_TEXT),
    sa.Column("before_status", LONG_TEXT),
    sa.Column("settled", sa.Boolean, nullable=False),
    sa.Column("changed", LONG_TEXT, nullable=False),
    sa.Column("project_id", NAME),
    sa.Column("stack_id", ID),
    sa.Column("member", NAME),
    sa.Column("generation", NUMBER),
    sa.Column("cause", key_text(16)),
    sa.Column("fetched_at", TIME),
    sa.Index("ix_delta_at", "at"),
    sa.Index("ix_delta_resource", "resource_id", "version"),
    sa.Index("ix_delta_project", "project_id", "version"),
    sa.Index("ix_delta_stack", "stack_id", "version"),
)

#: One row: the version of the newest delta, and up to which they are forgotten.  Always the last lock taken.
feed = table(
    "feed",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", NUMBER, nullable=False),
    sa.Column("pruned_version", NUMBER, nullable=False),
)

#: Numbers that rise with each commit that a long poll may wait for; the waiters' poller reads them.
change_counter = table(
    "change_counter",
    sa.Column("name", key_text(32), primary_key=True),
    sa.Column("value", NUMBER, nullable=False),
)

#: Trails that were asked for: a row until it is told, and a while longer (``obsvc.engine.observations.trails``).
trail = table(
    "trail",
    sa.Column("ref_key", ID, primary_key=True),
    *_ref_columns(),
    sa.Column("partition_id", sa.Integer, nullable=False),
    sa.Column("asked_at", TIME, nullable=False),
    sa.Column("told_at", TIME),
    sa.Column("name", NAME),
    sa.Column("incarnation", NAME),
    sa.Column("body", LONG_TEXT),
)

dead_letter = table(
    "dead_letter",
    sa.Column("letter_id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("bus", NAME, nullable=False),
    sa.Column("reason", NAME, nullable=False),
    sa.Column("detail", LONG_TEXT, nullable=False),
    sa.Column("received_at", TIME, nullable=False),
    sa.Column("excerpt", LONG_TEXT, nullable=False),
    sa.Column("size", NUMBER, nullable=False),
    sa.Column("member", NAME, nullable=False),
    sa.Column("body", LONG_TEXT),
    sa.Column("region", NAME),
    sa.Column("exchange", NAME),
    sa.Column("replayed_at", TIME),
)
