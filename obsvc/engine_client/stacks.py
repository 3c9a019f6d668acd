"""Messages about stacks: goals, their nodes, and what happened to them."""
from __future__ import annotations

import enum
from typing import Any

import msgspec


class StackStatus(enum.StrEnum):
    """As Heat spells them."""

    CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS"
    CREATE_COMPLETE = "CREATE_COMPLETE"
    CREATE_FAILED = "CREATE_FAILED"
    UPDATE_IN_PROGRESS = "UPDATE_IN_PROGRESS"
    UPDATE_COMPLETE = "UPDATE_COMPLETE"
    UPDATE_FAILED = "UPDATE_FAILED"
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"
    DELETE_COMPLETE = "DELETE_COMPLETE"
    DELETE_FAILED = "DELETE_FAILED"
    ROLLBACK_IN_PROGRESS = "ROLLBACK_IN_PROGRESS"
    ROLLBACK_COMPLETE = "ROLLBACK_COMPLETE"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"


class StackAction(enum.StrEnum):
    """What a traversal is for: the first word of the stack's status."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ROLLBACK = "rollback"


class NodeStatus(enum.StrEnum):
    WAITING = "waiting"  #: for the nodes that it requires
    SCHEDULED = "scheduled"  #: its job waits for a worker, or runs
    OBSERVING = "observing"  #: the action was started; the observer watches for the goal
    COMPLETE = "complete"
    FAILED = "failed"
    DELETED = "deleted"


class StackCreate(msgspec.Struct, frozen=True, omit_defaults=True):
    """template: the HOT text (YAML or JSON).  timeout: seconds for the whole traversal.
    on_drift: ``report`` (``repair`` is refused until it is built).
    disable_rollback: what failed stays as it is; else a creation that fails deletes all that it made."""

    name: str
    template: str
    parameters: dict[str, Any] = {}
    project_id: str | None = None
    region: str | None = None
    timeout: float | None = None
    on_drift: str = "report"
    disable_rollback: bool = True


class StackUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another goal for a stack that is there: the whole template and all its parameters, as in a create.
    disable_rollback: what failed stays as it is; else the stack goes back to the last goal that was reached."""

    stack: str
    template: str
    parameters: dict[str, Any] = {}
    project_id: str | None = None
    timeout: float | None = None
    disable_rollback: bool = True


class StackCancel(msgspec.Struct, frozen=True, omit_defaults=True):
    """Stop what is in progress.  rollback: and go back to the last goal that was reached."""

    stack: str
    project_id: str | None = None
    rollback: bool = True


class Stack(msgspec.Struct, frozen=True, omit_defaults=True):
    stack_id: str
    name: str
    status: StackStatus
    created_at: float
    updated_at: float
    traversal: str
    status_reason: str = ""
    project_id: str | None = None
    region: str | None = None
    deadline: float | None = None
    on_drift: str = "report"
    nodes: dict[str, int] = {}
    outputs: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    drifted: tuple[str, ...] = ()
    goal: int = 1
    disable_rollback: bool = True


class StackRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stack by id or name; with ``wait`` > 0 wait until it is no longer IN_PROGRESS."""

    stack: str
    project_id: str | None = None
    wait: float = 0.0


class StacksRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    project_id: str | None = None
    marker: str | None = None
    limit: int = 100


class StacksPage(msgspec.Struct, frozen=True):
    stacks: tuple[Stack, ...]


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """obsolete: a copy that is no part of the goal (any more), to be deleted when everything else is as it should."""

    node_id: str
    name: str
    type: str
    status: NodeStatus
    requires: tuple[str, ...] = ()
    resource_type: str | None = None
    resource_id: str | None = None
    region: str | None = None
    status_reason: str = ""
    attempts: int = 0
    drift: str | None = None
    scheduled_at: float | None = None
    observing_at: float | None = None
    completed_at: float | None = None
    obsolete: bool = False


class Change(enum.StrEnum):
    """What an update would do to one copy."""

    CREATE = "create"
    UPDATE = "update"  #: in place
    REPLACE = "replace"  #: another copy is made, this one deleted (or retained) when everything else is done
    DELETE = "delete"
    RETAIN = "retain"  #: it stays in the cloud, and is nobody's
    NONE = "none"


class PlannedNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """properties: names of those that would change; one that depends on what is yet to be made is among them."""

    name: str
    type: str
    change: Change
    resource_id: str | None = None
    properties: tuple[str, ...] = ()
    reason: str = ""


class StackPlan(msgspec.Struct, frozen=True):
    """The goal's nodes in an order in which they could be made, then what would be left over."""

    nodes: tuple[PlannedNode, ...]


class NodesReply(msgspec.Struct, frozen=True):
    nodes: tuple[Node, ...]


class StackEventsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    stack: str
    project_id: str | None = None
    after: int = 0
    wait: float = 0.0
    limit: int = 500


class StackEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """event_id rises within the stack without a gap."""

    event_id: int
    at: float
    event: str
    node: str | None = None
    resource_id: str | None = None
    reason: str = ""


class StackEventsPage(msgspec.Struct, frozen=True):
    events: tuple[StackEvent, ...]
