"""Partitions as SREs see them: whom the ring proposes, whom the engine has granted them to, and how the two compare."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from obsvc.api.context import Api
from obsvc.api.render import plain
from obsvc.engine_client.observations import PartitionsRequest
from obsvc.engine_client.ownership import PartitionRecord
from obsvc.model import PartitionId


def describe(api: Api, partitions: Sequence[PartitionId] | None) -> list[dict[str, Any]]:
    """Partitions as SREs see them: proposal, grant, and one sentence that compares the two."""
    wanted = None if partitions is None else tuple(partitions)
    records = api.engine.partitions(PartitionsRequest(wanted)).partitions
    proposal = api.ring.proposal(api.partitions())
    described = []
    for record in records:
        intended = proposal.owner(record.partition)
        described.append({
            "partition": record.partition,
            "owner": plain(record.owner),
            "intended": intended,
            "generation": record.generation,
            "since": record.since,
            "observed": record.observed,
            "observation_version": record.observation_version,
            "asked_by": record.asked_by,
            "asked_at": record.asked_at,
            "granted_why": record.why,
            "why": sentence(record, intended, proposal.note, len(proposal.members)),
            "note": proposal.note,
        })
    return described


def granted_to(partition: dict[str, Any]) -> str | None:
    """The name of the member that a described partition is granted to."""
    return partition["owner"]["name"] if partition["owner"] is not None else None


def sentence(record: PartitionRecord, intended: str | None, note: str | None, members: int) -> str:
    """One sentence that compares the proposal and the grant of one partition."""
    proposed = f"the ring of {members} members proposes {intended}" if intended is not None else f"no proposal ({note})"
    if record.owner is None:
        granted = "and the engine has granted it to nobody" + (f" ({record.why})" if record.why else "")
    else:
        granted = f"and the engine has granted it to {record.owner.name} under generation {record.generation}"
        granted += f" ({record.why})" if record.why else ""
    waiting = f"; {record.asked_by} waits for it to be handed over" if record.asked_by else ""
    return f"partition {record.partition}: {proposed}, {granted}{waiting}"
