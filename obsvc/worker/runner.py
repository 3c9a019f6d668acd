"""One job, from its lease to what the engine is to be told.  No thread and no clock of its own.

Whatever a plugin raises becomes a ``JobFailed``; only LeaseLost comes through, as None: then nothing is reported.
"""
from __future__ import annotations

import logging
from collections.abc import Mapping

from obsvc.cloud.calls import CallFailed
from obsvc.engine_client.jobs import Action, Job, JobDone, JobFailed, JobReplace
from obsvc.exceptions import ObsvcError
from obsvc.model import Condition
from obsvc.worker.plugins.contract import (
    ActionFailed,
    Clients,
    Confirm,
    Created,
    Deleting,
    Gone,
    LeaseLost,
    Plugin,
    Replace,
)

LOG = logging.getLogger(__name__)


def run(
    job: Job, plugins: Mapping[str, Plugin], clients: Clients, confirm: Confirm
) -> JobDone | JobReplace | JobFailed | None:
    """Start the job's action; None when its lease was lost under way."""
    plugin = plugins.get(job.type)
    if plugin is None:
        known = ", ".join(sorted(plugins))
        return failed(job, f"this worker has no plugin for {job.type}: expected one of {known}", retriable=False)
    try:
        return done(job, _act(plugin, job, clients, confirm))
    except LeaseLost as error:
        LOG.warning("%s: given up: %s", describe(job), error)
        return None
    except CallFailed as error:
        return failed(job, str(error), retriable=error.retriable, retry_after=error.retry_after,
                      request_id=error.request_id)
    except ActionFailed as error:
        return failed(job, str(error), retriable=error.retriable)
    except ObsvcError as error:
        return failed(job, str(error), retriable=True)
    except Exception as error:  # a plugin's own fault must not end the worker's thread
        LOG.exception("%s: the plugin failed", describe(job))
        return failed(job, f"the plugin for {job.type} failed: {type(error).__name__}: {error}", retriable=True)


def _act(plugin: Plugin, job: Job, clients: Clients, confirm: Confirm) -> Created | Deleting | Gone | Replace:
    if job.action is Action.CREATE:
        return plugin.handle_create(job, clients, confirm)
    if job.action is Action.SWEEP:
        return plugin.handle_sweep(job, clients)
    if job.action is Action.UPDATE:
        fixed = plugin.needs_replacement(job.before, job.properties)
        if fixed:
            return Replace(fixed)
        confirm()  # a worker that slept for longer than its lease must not undo what another did since
        return plugin.handle_update(job, clients)
    return plugin.handle_delete(job, clients)


def done(job: Job, result: Created | Deleting | Gone | Replace) -> JobDone | JobReplace:
    """What the engine is told of an action that was started, or of an update that must be a replacement."""
    if isinstance(result, Replace):
        LOG.info("%s: %s can't be changed in place: to be replaced", describe(job), ", ".join(result.properties))
        return JobReplace(job.job_id, job.lease_token, result.properties)
    request_id = result.request_id
    if isinstance(result, Gone):
        LOG.info("%s: already gone, request %s", describe(job), request_id)
        return JobDone(job.job_id, job.lease_token, goal=Condition.DELETED, gone=True, request_id=request_id)
    goal = Condition.DELETED if isinstance(result, Deleting) else Condition.ACTIVE
    what = "adopted" if isinstance(result, Created) and result.adopted else "started"
    LOG.info("%s: %s %s, request %s", describe(job), what, result.ref, request_id)
    return JobDone(job.job_id, job.lease_token, ref=result.ref, goal=goal, request_id=request_id)


def failed(
    job: Job, error: str, *, retriable: bool, retry_after: float | None = None, request_id: str | None = None
) -> JobFailed:
    """What the engine is told of an action that could not be started."""
    text = " ".join(error.split())
    LOG.warning("%s: %s (%s), request %s", describe(job), text, "retriable" if retriable else "final", request_id)
    return JobFailed(job.job_id, job.lease_token, text, retriable, retry_after, request_id)


def describe(job: Job) -> str:
    """How log lines name a job."""
    return f"{job.action} {job.type} {job.stack_name}/{job.node_name} job {job.job_id} attempt {job.attempt}"
