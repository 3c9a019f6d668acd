"""The common part of services whose resources change by themselves and that emit through one method."""
from __future__ import annotations

import abc
from typing import Any, ClassVar

from obsvc.simcloud.cloud import Cloud, iso
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.world import Resource

#: Part of a build's time that a deletion takes.
DELETE_PART = 0.3


class Service(abc.ABC):
    """Resources of one type; call with the world's lock held."""

    #: Fields that an out-of-band change merges into rather than replaces.
    merged: ClassVar[tuple[str, ...]] = ("metadata",)

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    @abc.abstractmethod
    def _tell(self, resource: Resource, event: str, actor: Actor, *, priority: str = "INFO") -> None:
        """Emit the service's notification of what happens to the resource."""

    def _set(self, resource: Resource, **updates: Any) -> None:
        self.cloud.world.change(resource, {**updates, "updated_at": iso(self.cloud.now, micro=True)})

    def behind_delete(self, resource: Resource, actor: Actor, *, notify: bool = True) -> None:
        """The resource goes at once."""
        self.cloud.world.remove(resource)
        if notify:
            self._tell(resource, "delete.end", actor)

    def behind_change(self, resource: Resource, updates: dict[str, Any], actor: Actor, *, notify: bool = True) -> None:
        """Fields change at once, whatever is under way."""
        new = {key: {**resource.body[key], **value} if key in self.merged else value for key, value in updates.items()}
        self.cloud.world.begin(resource)
        self._set(resource, **new)
        if notify:
            self._tell(resource, "update.end", actor)
