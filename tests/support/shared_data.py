"""Where the shared test data lies: ``OBSVC_SHARED``, or the folder ``shared`` beside the checkout.

Tests over it are collected only where it is there.
"""
from __future__ import annotations

import gzip
import json
import os
import pathlib
from typing import Any

DATA = pathlib.Path(__file__).parents[1] / "data"

#: The server whose life the capture nova-server-life has.
RECORDED_SERVER = "57c82a76-704d-41b8-b696-37296903fda4"

#: The example of a stack in tiers, as a template.
TIERS_TEMPLATE = (pathlib.Path(__file__).parents[2] / "etc/examples/tiers.yaml").read_text()


def _find() -> pathlib.Path | None:
    named = os.environ.get("OBSVC_SHARED")
    checkout = pathlib.Path(__file__).resolve().parents[2]
    places = [pathlib.Path(named)] if named else [parent / "shared" for parent in list(checkout.parents)[:2]]
    return next((place for place in places if (place / "notifications").is_dir()), None)


SHARED: pathlib.Path | None = _find()


def notification_files(*services: str) -> list[pathlib.Path]:
    """The sample files of the services, sorted; empty without the shared data."""
    if SHARED is None:
        return []
    return [file for service in services for file in sorted((SHARED / "notifications" / service).glob("*.json"))]


def captured(name: str) -> list[dict[str, Any]]:
    """The lines of a capture, such as ``nova-server-life``: kept in tests/data, else ``captured/<name>.jsonl`` of the
    shared data; empty without either."""
    kept = DATA / f"{name.rpartition('/')[2]}.jsonl.gz"
    if kept.exists():
        with gzip.open(kept, "rt") as lines:
            return [json.loads(line) for line in lines]
    if SHARED is None:
        return []
    with (SHARED / "captured" / f"{name}.jsonl").open() as lines:
        return [json.loads(line) for line in lines]
