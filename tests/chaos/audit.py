"""What the database itself saw: triggers note every grant, written report, delta and change of a job.

A trigger's row is committed or rolled back with what it notes, and says who owned the partition in the very
transaction that wrote: nothing of the code under test is asked.
"""
from __future__ import annotations

import json
from typing import Any

import psycopg

_TABLE = "create table chaos_audit (id bigserial primary key, at double precision, kind text, body jsonb)"

_NOTE = """
create function chaos_note(kind text, body jsonb) returns void language sql as $$
  insert into chaos_audit (at, kind, body) values (extract(epoch from clock_timestamp()), kind, body)
$$
"""

_PARTITION = """
create function chaos_partition() returns trigger language plpgsql as $$ begin
  if (old.generation, old.owner_name, old.owner_incarnation)
     is distinct from (new.generation, new.owner_name, new.owner_incarnation) then
    perform chaos_note('owner', jsonb_build_object(
      'partition', new.partition_id, 'before', old.generation, 'generation', new.generation,
      'from', old.owner_name || '@' || old.owner_incarnation, 'to', new.owner_name || '@' || new.owner_incarnation,
      'why', new.why));
  end if;
  return null;
end $$
"""

_RESOURCE = """
create function chaos_resource() returns trigger language plpgsql as $$
declare granted partition_state%rowtype;
begin
  if tg_op = 'DELETE' then
    perform chaos_note('unobserved', jsonb_build_object('id', old.resource_id, 'type', old.resource_type));
  elsif tg_op = 'INSERT' then
    perform chaos_note('observed', jsonb_build_object('id', new.resource_id, 'type', new.resource_type));
  elsif new.reported_at is distinct from old.reported_at or new.generation <> old.generation
        or new.sequence <> old.sequence or new.snapshot is distinct from old.snapshot then
    select * into granted from partition_state where partition_id = new.partition_id;
    perform chaos_note('written', jsonb_build_object(
      'id', new.resource_id, 'type', new.resource_type, 'partition', new.partition_id,
      'generation', new.generation, 'sequence', new.sequence,
      'before', old.generation, 'sequence_before', old.sequence, 'by', new.reported_by, 'verdict', new.verdict,
      'exists', (new.snapshot::jsonb -> 'exists'), 'condition', new.condition,
      'granted', granted.generation, 'owner', granted.owner_name || '@' || granted.owner_incarnation));
  end if;
  return null;
end $$
"""

_DELTA = """
create function chaos_delta() returns trigger language plpgsql as $$ begin
  perform chaos_note('delta', jsonb_build_object('version', new.version, 'id', new.resource_id,
                                                 'condition', new.condition, 'standing', new.standing));
  return null;
end $$
"""

_TRIGGERS = (
    "create trigger chaos_partition after update on partition_state for each row execute function chaos_partition()",
    "create trigger chaos_resource after insert or update or delete on resource for each row "
    "execute function chaos_resource()",
    "create trigger chaos_delta after insert on delta for each row execute function chaos_delta()",
)


def dsn_of(url: str) -> str:
    """libpq's form of an SQLAlchemy URL."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def install(url: str) -> None:
    """Begin to note, in a database whose schema is made."""
    with psycopg.connect(dsn_of(url), autocommit=True) as connection:
        for statement in (_TABLE, _NOTE, _PARTITION, _RESOURCE, _DELTA, *_TRIGGERS):
            connection.execute(statement)


def read(url: str, offset: float) -> list[dict[str, Any]]:
    """All that was noted.  offset: from the wall clock to the monotonic one.

    ``order`` is the order of the notes; for what one lock guards it is the order of the commits.
    """
    with psycopg.connect(dsn_of(url)) as connection:
        rows = connection.execute("select id, at, kind, body from chaos_audit order by id").fetchall()
    return [{"kind": kind, "t": at + offset, "order": number, **body} for number, at, kind, body in rows]


def rows(url: str, statement: str, *values: Any) -> list[dict[str, Any]]:
    """The rows of a query, for what the run looks up."""
    with psycopg.connect(dsn_of(url), connect_timeout=5, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(statement, values or None).fetchall()


def copies(url: str) -> list[dict[str, Any]]:
    """The engine's copy of each observed resource: whether it exists, its status and name."""
    found = []
    for row in rows(url, "select resource_id, resource_type, snapshot, mark from resource"):
        head = json.loads(row["snapshot"]) if row["snapshot"] else None
        found.append({"id": row["resource_id"], "type": row["resource_type"], "seen": head is not None,
                      "exists": head and head["exists"], "status": head and head.get("status"),
                      "name": head and head.get("name"), "marked": row["mark"] is not None})
    return found
