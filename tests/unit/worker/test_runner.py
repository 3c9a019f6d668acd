"""One job's course: what the engine is told of how its action began, and of each error."""
from __future__ import annotations

import pytest

from obsvc.cloud import calls
from obsvc.engine_client.jobs import Action, JobDone, JobFailed
from obsvc.exceptions import ObsvcError
from obsvc.model import Condition
from obsvc.worker import runner
from obsvc.worker.plugins import base
from tests.support.worker_jobs import REF, Plugin, job


def run(plugin, wanted=None):
    return runner.run(wanted or job(), {"T": plugin}, None, lambda: None)


def test_outcomes_of_a_job():
    assert run(Plugin()) == JobDone("j1", "t1", ref=REF, goal=Condition.ACTIVE, request_id="req-1")
    delete = job(action=Action.DELETE, resource_id="1")
    assert run(Plugin(result=base.Deleting(REF)), delete) == JobDone("j1", "t1", ref=REF, goal=Condition.DELETED)
    assert run(Plugin(result=base.Gone()), delete) == JobDone("j1", "t1", goal=Condition.DELETED, gone=True)


@pytest.mark.parametrize(("error", "retriable", "after"), [
    (base.ActionFailed("no such property"), False, None),
    (base.ActionFailed("later", retriable=True), True, None),
    (calls.CallFailed("busy", status=429, retriable=True, retry_after=7.0), True, 7.0),
    (ObsvcError("odd"), True, None),
    (ZeroDivisionError("bug"), True, None),
])
def test_failures_of_a_job(error, retriable, after):
    failed = run(Plugin(raises=error))
    assert isinstance(failed, JobFailed) and (failed.retriable, failed.retry_after) == (retriable, after)
    assert str(error) in failed.error


def test_a_lost_lease_tells_nobody_anything():
    assert run(Plugin(raises=base.LeaseLost("another's"))) is None


def test_an_unknown_type_is_final():
    failed = run(Plugin(), job(type="OS::Other"))
    assert not failed.retriable and "OS::Other" in failed.error
