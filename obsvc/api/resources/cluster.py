"""``/v1/status``, ``/v1/members``, ``/v1/partitions`` and ``/v1/duties``: what SREs ask about the cluster itself."""
from __future__ import annotations

from collections import Counter

import falcon
import msgspec

from obsvc.api.context import Api
from obsvc.api.partitions import describe, granted_to
from obsvc.api.render import answer, plain
from obsvc.api.schemas.queries import PartitionsQuery
from obsvc.api.status import status
from obsvc.engine_client.contract import Empty
from obsvc.engine_client.observations import PartitionsRequest
from obsvc.engine_client.ownership import DrainRequest
from obsvc.exceptions import InvalidInput, NotFound
from obsvc.model import PartitionId


class ClusterStatus:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The state of the cluster: one sentence, what needs attention, and numbers."""
        engine = self._api.engine
        members, duties = engine.members(Empty()), engine.duties(Empty())
        described = status(members.members, engine.partitions(PartitionsRequest(None)).partitions, duties.duties,
                       self._api.ring.proposal(self._api.partitions()), members.engine_time)
        answer(resp, msgspec.to_builtins(described))


class Members:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every member that the engine knows, with what the ring proposes for it."""
        reply = self._api.engine.members(Empty())
        proposal = self._api.ring.proposal(self._api.partitions())
        intended = Counter(proposal.owners)
        listed = {str(member) for member in proposal.members}
        known = proposal.note is None
        members = []
        for record in reply.members:
            fields = plain(record.beat)
            member = fields.pop("member")
            members.append({
                **member, **fields, "alive": record.alive, "last_beat_at": record.last_beat_at,
                "last_beat_age": max(0.0, reply.engine_time - record.last_beat_at), "granted": record.granted,
                "in_ring": str(record.beat.member) in listed if known else None,
                "intended": intended.get(record.beat.member.name, 0) if known else None,
                "drained_at": record.drained_at,
            })
        answer(resp, {"members": members, "engine_time": reply.engine_time, "note": proposal.note})

    def on_put_drain(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Have a member hand over all that it owns and take nothing until it is undrained."""
        self._drain(resp, name, drained=True)

    def on_delete_drain(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        self._drain(resp, name, drained=False)

    def _drain(self, resp: falcon.Response, name: str, *, drained: bool) -> None:
        reply = self._api.engine.drain_member(DrainRequest(name, drained))
        answer(resp, {"name": reply.name, "drained_at": reply.drained_at})


class Partitions:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, query: PartitionsQuery) -> None:
        """All, or with ``owner`` its granted or proposed ones, with ``differs`` where the two (do not) differ."""
        partitions = describe(self._api, None)
        if query.owner is not None:
            partitions = [row for row in partitions if query.owner in (granted_to(row), row["intended"])]
        if query.differs is not None:
            partitions = [row for row in partitions if (granted_to(row) != row["intended"]) is query.differs]
        answer(resp, {"partitions": partitions, "count": self._api.partitions()})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, partition: str) -> None:
        count = self._api.partitions()
        if not partition.isdecimal():
            raise InvalidInput(f"expected a partition's number from 0 to {count - 1}, got {partition!r}")
        if int(partition) >= count:
            raise NotFound(f"no partition {partition}: there are {count}, numbered from 0")
        answer(resp, describe(self._api, [PartitionId(int(partition))])[0])


class Duties:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every duty: its leader, its runs, and how complete the notifications of its service are.

        lag: seconds that its next run is overdue.  recall: share of the changes found lately that a notification had
        announced; None where there were none.
        """
        reply = self._api.engine.duties(Empty())
        duties = []
        for duty in reply.duties:
            changes = duty.seen + duty.missed
            due = duty.next_run_at if duty.running_since is None else duty.running_since
            duties.append({
                **msgspec.structs.asdict(duty), "leader": plain(duty.leader),
                "lag": 0.0 if due is None else max(0.0, reply.engine_time - due),
                "recall": duty.seen / changes if changes else None,
            })
        answer(resp, {"duties": duties, "engine_time": reply.engine_time})
