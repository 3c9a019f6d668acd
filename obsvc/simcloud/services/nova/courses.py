"""What a service publishes, and when, while something happens to a resource: the tables in ``data/``.  Pure."""
from __future__ import annotations

import functools
from importlib import resources
from typing import Literal

import msgspec
import yaml

Word = str | None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """One event, in one family or both; see the head of ``servers.yaml``."""

    at: tuple[float, ...]
    sender: str
    kind: Literal["update", "action", "create", "select", "exists", "resize_prep", "task_error"]
    unversioned: Word = None
    versioned: Word = None
    state: Word = None
    task: Word = None
    power: Word = None
    was: tuple[Word, Word] | None = None
    priority: str = "INFO"

    @property
    def messages(self) -> tuple[tuple[float, str, str], ...]:
        """``(when, family, event type)`` of each message of the step."""
        if self.kind == "update":
            unversioned, versioned = "compute.instance.update", "instance.update"
        else:
            unversioned, versioned = self.unversioned or "", self.versioned or ""
        present = [(family, name) for family, name in (("unversioned", unversioned), ("versioned", versioned)) if name]
        return tuple((when, family, name) for when, (family, name) in zip(self.at, present, strict=True))


class Course(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All steps of one course of events, in order; takes: its length as a multiple of a build."""

    takes: float
    steps: tuple[Step, ...]

    @property
    def messages(self) -> int:
        return sum(len(step.messages) for step in self.steps)


@functools.cache
def servers() -> dict[str, Course]:
    """The courses of a server by name (``create``, ``stop``, ``delete`` …)."""
    text = resources.files("obsvc.simcloud").joinpath("data/servers.yaml").read_text()
    return msgspec.convert(yaml.safe_load(text), dict[str, Course])


_TASK_STATUS = {
    "active": {"rebooting": "REBOOT", "reboot_pending": "REBOOT", "reboot_started": "REBOOT",
               "rebooting_hard": "HARD_REBOOT", "reboot_pending_hard": "HARD_REBOOT",
               "reboot_started_hard": "HARD_REBOOT", "resize_prep": "RESIZE", "resize_migrating": "RESIZE",
               "resize_migrated": "RESIZE", "resize_finish": "RESIZE", "rebuilding": "REBUILD"},
    "stopped": {"resize_prep": "RESIZE", "resize_migrating": "RESIZE", "resize_migrated": "RESIZE",
                "resize_finish": "RESIZE"},
}
_STATUS = {"active": "ACTIVE", "building": "BUILD", "stopped": "SHUTOFF", "paused": "PAUSED",
           "suspended": "SUSPENDED", "resized": "VERIFY_RESIZE", "error": "ERROR", "deleted": "DELETED"}


def server_status(vm_state: str, task_state: str | None) -> str:
    """The API's ``status`` of a server (``nova/api/openstack/common.py`` ``status_from_state``)."""
    return _TASK_STATUS.get(vm_state, {}).get(task_state or "", _STATUS.get(vm_state, "UNKNOWN"))
