"""The public API over a real engine (SQLite in memory), without a server."""
from __future__ import annotations

import falcon.testing

from obsvc import conf as obsvc_conf
from obsvc.api.access.policy import Policy
from obsvc.api.app import make_app
from obsvc.api.caller import OPERATOR, Caller
from obsvc.api.context import Api
from obsvc.api.ring import Ring
from obsvc.engine.service import EngineService
from obsvc.engine_client.local import LocalEngine
from obsvc.engine_client.observations import ResourceRequest
from obsvc.engine_client.ownership import Beat, ClaimReason, ClaimRequest, MemberState, PartitionClaim
from obsvc.engine_client.reports import Report, ReportRequest
from obsvc.exceptions import Unavailable
from obsvc.model import Cause, MemberId, Ref, Snapshot, partition
from obsvc.process.clock import ManualClock
from tests.support.engine_store import new_store

P = 8
MEMBER = MemberId("obs-1", "a")
SERVER = Ref("RegionOne", "compute.server", "srv-1")
#: The same of every request, so that answers can be compared.
REQUEST = "req-00000000-0000-4000-8000-000000000001"
TEMPLATE = "heat_template_version: 2021-04-16\nresources:\n  one:\n    type: Sim::Resource\n    properties: {size: 1}\n"


class InMemoryApi:
    """An API over an engine with one observer's hands; ``caller`` is who asks."""

    def __init__(self, *, catalog=None):
        self.clock = ManualClock()
        self.service = EngineService(new_store(partitions=P, clock=self.clock))
        self.engine = LocalEngine(self.service)
        self.members = [MEMBER]
        self.caller = OPERATOR
        self.sequence = 0
        ring = Ring(self.read_members, lambda names, count: tuple(names[n % len(names)] for n in range(count)),
                    clock=self.clock)
        conf = obsvc_conf.load([], config_files=[])
        self.context = Api(self.engine, ring, max_wait=5.0,
                           types=frozenset({"compute.server", "sim.resource"}), catalog=catalog)
        self.policy = Policy(conf)
        self.http = falcon.testing.TestClient(make_app(self.context, self.policy, self.identify),
                                              headers={"X-Openstack-Request-Id": REQUEST})

    def identify(self, environ):
        return self.caller

    def read_members(self):
        if self.members is None:
            raise Unavailable("etcd is away")
        return self.members

    def own(self, *numbers):
        self.engine.beat(Beat(MEMBER, 1, P, MemberState.ACTIVE, self.clock.time()))
        claims = tuple(PartitionClaim(number, ClaimReason.VACANT) for number in numbers or range(P))
        self.grants = {grant.partition: grant.generation
                       for grant in self.engine.claim(ClaimRequest(MEMBER, "c1", claims)).grants}

    def see(self, ref, condition, *, project_id, **fields):
        """One look, with whatever mark there is."""
        self.sequence += 1
        number = partition(ref, P)
        mark = self.engine.read_resource(ResourceRequest(ref)).mark
        snapshot = Snapshot(True, condition, condition.upper(), project_id=project_id,
                            fetched_at=self.clock.time(), **fields)
        report = Report(ref, number, self.grants[number], self.sequence, snapshot, Cause.STARTED, mark)
        (outcome,) = self.engine.report(ReportRequest(MEMBER, (report,))).outcomes
        return outcome

    def start(self, ref=SERVER, **fields):
        body = {"resource_type": ref.resource_type, "resource_id": ref.resource_id, **fields}
        return self.http.simulate_post("/v1/observations", json=body)

    def get(self, path):
        return self.http.simulate_get(path)


def project(project_id, *roles):
    return Caller("u", project_id, roles or ("member", "reader"))
