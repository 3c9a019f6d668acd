"""What a plugin is given: a job, and a cloud that answers as the test says."""
from __future__ import annotations

from obsvc.cloud.calls import Answer
from obsvc.engine_client.jobs import Action, Job

NODE = "5b2e2f2c-4f3c-4b6c-8d65-1f7a4c1d9e11"
UUID = "8a8a8a8a-4f3c-4b6c-8d65-1f7a4c1d9e22"
MARKER = f"obsvc:{NODE}:1"


def job(**fields) -> Job:
    return Job(**{
        "job_id": "j1", "lease_token": "t", "lease_seconds": 60.0, "action": Action.CREATE, "type": "T",
        "node_id": NODE, "node_name": "web", "stack_id": "s", "stack_name": "shop", "attempt": 1,
        "marker": MARKER, **fields,
    })


class Cloud:
    """Answers by (method, path); keeps what was asked, in order, with the confirmations."""

    def __init__(self, answers=()):
        self.answers = dict(answers)
        self.asked = []

    def region(self, job):
        return job.region or "RegionOne"

    def find_id(self, region, kind, name_or_id):
        return name_or_id if name_or_id == UUID else f"{kind}-id-of-{name_or_id}"

    def call(self, region, service, method, path, *, json=None, params=None):
        self.asked.append((method, path, json, params))
        answer = self.answers[method, path]
        if isinstance(answer, Exception):
            raise answer
        return Answer(200, answer, "req-1")

    def confirm(self):
        self.asked.append("confirm")
