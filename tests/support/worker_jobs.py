"""Jobs as workers are given them, and a plugin that does what the test says."""
from __future__ import annotations

from obsvc.engine_client.jobs import Action, Job
from obsvc.model import Ref
from obsvc.worker.plugins import base

REF = Ref("R", "sim.resource", "1")


def job(job_id="j1", token="t1", **fields) -> Job:
    return Job(**{"job_id": job_id, "lease_token": token, "lease_seconds": 60.0, "action": Action.CREATE, "type": "T",
                  "node_id": "n", "node_name": "web", "stack_id": "s", "stack_name": "shop", "attempt": 1,
                  "marker": "n.1", **fields})


class Plugin(base.Plugin):
    type, resource_type, properties = "T", "sim.resource", None

    def __init__(self, raises=None, result=None):
        self.raises, self.result, self.created = raises, result, 0

    def handle_create(self, job, clients, confirm):
        if self.raises:
            raise self.raises
        confirm()
        self.created += 1
        return base.Created(REF, "req-1")

    def handle_update(self, job, clients):
        return base.Created(REF)

    def handle_delete(self, job, clients):
        return self.result
