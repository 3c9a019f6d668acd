"""From a service's answer to a snapshot.  Pure; any thread."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from obsvc.catalog.schema import ResourceType, StatusRule
from obsvc.model import Condition, Snapshot


def snapshot(
    resource_type: ResourceType,
    body: object,
    *,
    fetched_at: float = 0.0,
    request_id: str | None = None,
) -> Snapshot:
    """What ``body``, the resource as the service's API answered it (without its outer key), says.

    fetched_at: seconds since the epoch when the request was sent.  A body of another shape than expected gives a
    snapshot of condition ``unknown``, never an error: a service's answer must not stop an observer.
    """
    if not isinstance(body, Mapping):
        return Snapshot(
            exists=True, condition=Condition.UNKNOWN, settled=False, fetched_at=fetched_at, request_id=request_id,
            status_reason=f"expected an object in the answer, got {type(body).__name__}",
        )
    rule = resource_type.status
    raw = at(body, rule.field) if rule.field else None
    status = str(raw) if raw is not None else None
    condition = condition_of(rule, status)
    busy = any(at(body, field) not in (None, "") for field in rule.pending_fields)
    return Snapshot(
        exists=condition is not Condition.DELETED,
        condition=Condition.PENDING if busy and condition is Condition.ACTIVE else condition,
        status=status,
        settled=not busy and condition not in rule.unsettled,
        project_id=_first_text(body, resource_type.project_fields),
        name=_first_text(body, resource_type.name_fields),
        attributes={name: value for name in resource_type.attributes if (value := at(body, name)) is not None},
        status_reason=_first_text(body, rule.reason_fields),
        updated_at=_first_text(body, resource_type.updated_fields),
        fetched_at=fetched_at,
        request_id=request_id,
    )


def condition_of(rule: StatusRule, status: str | None) -> Condition:
    """The raw status on the common scale; a type without statuses exists as ``active``."""
    if rule.field is None:
        return Condition.ACTIVE
    if status is None:
        return Condition.UNKNOWN
    folded = status.casefold()
    for name, condition in rule.conditions.items():
        if name.casefold() == folded:
            return condition
    return Condition.UNKNOWN


def at(body: Any, path: str | None) -> Any:
    """The value at ``path`` (dots go into objects; a key that has the dots itself comes first), else None."""
    if not path or not isinstance(body, Mapping):
        return None
    if path in body:
        return body[path]
    head, dot, rest = path.partition(".")
    return at(body.get(head), rest) if dot else None


def _first_text(body: Mapping[str, Any], paths: Iterable[str]) -> str | None:
    for path in paths:
        value = at(body, path)
        if value not in (None, "") and isinstance(value, str | int | float):
            return str(value)
    return None
