"""How what a create made is found again: by the marker of its node.  Pure.

The marker travels *in the create request*, never in a later call: as metadata (``obsvc_marker``) where the API has it,
else at the end of the description.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obsvc.engine_client.jobs import Job


def name_of(job: Job) -> str:
    """The resource's name: the property, else the stack's and node's names, with the node's id to tell two apart."""
    name = job.properties.get("name")
    return name if isinstance(name, str) and name else f"{job.stack_name}-{job.node_name}-{job.node_id[-8:]}"


def marker_metadata(job: Job) -> dict[str, str]:
    """The marker for APIs whose resources carry metadata."""
    return {"obsvc_marker": job.marker}


def marker_description(job: Job, text: str | None) -> str:
    """The marker for APIs that have only a description: behind the user's own text."""
    return f"{text or ''} {job.marker}".strip()


def in_metadata(job: Job, metadata: Any) -> bool:
    """Whether ``metadata`` carries the job's marker."""
    return isinstance(metadata, Mapping) and metadata.get("obsvc_marker") == job.marker


def in_description(job: Job, text: Any) -> bool:
    """As :func:`in_metadata`, for a description."""
    return isinstance(text, str) and job.marker in text.split()
