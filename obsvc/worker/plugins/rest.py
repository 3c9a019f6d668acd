"""A plugin for an API with one collection of resources: create by POST, change by PUT, DELETE, and list.

Before a create on a later attempt one listing, filtered by name, looks for what an earlier attempt may have made, by
its marker (:mod:`obsvc.worker.plugins.markers`), and adopts it.  A delete without a known id looks for it likewise.  A
listing that fails half way proves nothing: the attempt fails as retriable.
"""
from __future__ import annotations

import abc
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from obsvc.cloud.calls import CallFailed
from obsvc.engine_client.jobs import Action, Job
from obsvc.model import Ref
from obsvc.process import failpoints
from obsvc.worker.plugins.contract import ActionFailed, Clients, Confirm, Created, Deleting, Gone, Plugin
from obsvc.worker.plugins.markers import name_of

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Api:
    """Where a REST plugin's resources live: ``{collection}/{id}``, the body under ``key``, lists under ``keys``."""

    service: str
    collection: str
    key: str
    keys: str
    listing: str | None = None


class RestPlugin(Plugin):
    """A plugin for an API with one collection; subclasses write ``body`` and, for lookups by name, ``resolve``."""

    api: ClassVar[Api]

    @abc.abstractmethod
    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The create request's resource, marker and all.  Pure."""

    @abc.abstractmethod
    def marked(self, job: Job, listed: Mapping[str, Any]) -> bool:
        """Whether a listed resource carries this node's marker.  Pure."""

    def request(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The whole create request.  Pure."""
        return {self.api.key: self.body(job, properties)}

    def changes(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The update request's resource.  Pure."""
        in_place = {name for name, known in (self.properties or {}).items() if known.in_place}
        return {self.field(name): value for name, value in properties.items()
                if name in in_place and value is not None}

    def field(self, name: str) -> str:
        """What a property is called in requests."""
        known = (self.properties or {}).get(name)
        return (known and known.field) or name

    def resolve(self, properties: Mapping[str, Any], clients: Clients, region: str) -> dict[str, Any]:
        """``properties`` with names replaced by ids where the API wants ids."""
        return dict(properties)

    def handle_create(self, job: Job, clients: Clients, confirm: Confirm) -> Created:
        self.check(job.properties)
        region = clients.region(job)
        if job.attempt > 1:
            marked = self._all_marked(job, clients, region)
            if marked:
                return Created(Ref(region, self.resource_type, marked[0]), adopted=True)
        request = self.request(job, self.resolve(job.properties, clients, region))
        confirm()
        failpoints.hit("create.before")
        answer = clients.call(region, self.api.service, "POST", self.api.collection, json=request)
        failpoints.hit("create.after")
        return Created(self._ref(region, answer.body), answer.request_id)

    def handle_update(self, job: Job, clients: Clients) -> Created:
        self.check(job.properties)
        region, resource_id = clients.region(job), _existing_id(job)
        changes = self.changes(job, self.resolve(job.properties, clients, region))
        answer = clients.call(region, self.api.service, "PUT", f"{self.api.collection}/{resource_id}",
                              json={self.api.key: changes})
        return Created(Ref(region, self.resource_type, resource_id), answer.request_id)

    def handle_delete(self, job: Job, clients: Clients) -> Deleting | Gone:
        region = clients.region(job)
        if job.resource_id is not None:
            return self._delete(job.resource_id, clients, region)
        # Two attempts may each have made one that nobody knows of: none of them is left behind.
        results = [self._delete(resource_id, clients, region)
                   for resource_id in self._all_marked(job, clients, region)]
        return next((result for result in results if isinstance(result, Deleting)), Gone())

    def handle_sweep(self, job: Job, clients: Clients) -> Gone:
        region = clients.region(job)
        for resource_id in self._all_marked(job, clients, region):
            if resource_id != job.resource_id:
                LOG.warning("%s %s is a double (marker %s): deleted", self.type, resource_id, job.marker)
                self._delete(resource_id, clients, region)
        return Gone()

    def _delete(self, resource_id: str, clients: Clients, region: str) -> Deleting | Gone:
        try:
            answer = clients.call(region, self.api.service, "DELETE", f"{self.api.collection}/{resource_id}")
        except CallFailed as error:
            if error.status == 404:
                return Gone(error.request_id)
            raise
        return Deleting(Ref(region, self.resource_type, resource_id), answer.request_id)

    def _ref(self, region: str, body: Mapping[str, Any]) -> Ref:
        resource_id = (body.get(self.api.key) or {}).get("id")
        if not isinstance(resource_id, str) or not resource_id:
            raise ActionFailed(f"expected the new {self.api.key}'s id in the answer, got none", retriable=True)
        return Ref(region, self.resource_type, resource_id)

    def _all_marked(self, job: Job, clients: Clients, region: str) -> list[str]:
        """The resources that earlier attempts made, oldest first: all pages of one listing, filtered by name where that
        is exact."""
        path: str | None = self.api.listing or self.api.collection
        # A delete may not carry the properties, and so not the name, that the resource was created with.
        params: dict[str, Any] | None = self.filter(job) if job.action in (Action.CREATE, Action.SWEEP) else None
        marked: list[Mapping[str, Any]] = []
        while path is not None:
            answer = clients.call(region, self.api.service, "GET", path, params=params)
            marked += [listed for listed in answer.body.get(self.api.keys, ()) if self.marked(job, listed)]
            path, params = _next_link(answer.body, self.api.keys), None
        marked.sort(key=_age)
        return [listed["id"] for listed in marked]

    def filter(self, job: Job) -> dict[str, Any]:
        """The listing's query parameters; what they leave in may be more than is marked, never less."""
        return {"name": name_of(job)}


def _existing_id(job: Job) -> str:
    if job.resource_id is None:
        raise ActionFailed(f"expected the resource's id in the {job.action} job {job.job_id}, got none")
    return job.resource_id


def _age(listed: Mapping[str, Any]) -> tuple[str, str]:
    """Sorts resources oldest first."""
    return str(listed.get("created_at") or listed.get("created") or ""), str(listed.get("id"))


def _next_link(body: Mapping[str, Any], keys: str) -> str | None:
    for link in body.get(f"{keys}_links") or ():
        if isinstance(link, Mapping) and link.get("rel") == "next":
            return link.get("href")
    return None
