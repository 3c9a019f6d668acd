"""Notifications as services send them."""
from __future__ import annotations


def message(event_type, payload, **changes):
    return {"event_type": event_type, "payload": payload, "priority": "INFO", "publisher_id": "x.host",
            "timestamp": "2026-01-01 00:00:00", "message_id": "m", **changes}


def versioned(data, namespace="nova"):
    return {f"{namespace}_object.name": "P", f"{namespace}_object.namespace": namespace,
            f"{namespace}_object.version": "1.0", f"{namespace}_object.data": data}


SERVER = {"uuid": "u", "tenant_id": "p", "state": "stopped", "task_state": None}
