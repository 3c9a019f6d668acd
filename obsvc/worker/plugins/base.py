"""What plugins are written with: the contract, the plugin for REST APIs, and markers, under one name."""
from __future__ import annotations

from obsvc.worker.plugins.contract import (
    BOOLEAN,
    INTEGER,
    LIST,
    MAP,
    TEXT,
    ActionFailed,
    Clients,
    Confirm,
    Created,
    Deleting,
    Gone,
    LeaseLost,
    Plugin,
    Property,
    Replace,
)
from obsvc.worker.plugins.markers import in_description, in_metadata, marker_description, marker_metadata, name_of
from obsvc.worker.plugins.rest import Api, RestPlugin

__all__ = [
    "BOOLEAN", "INTEGER", "LIST", "MAP", "TEXT", "ActionFailed", "Api", "Clients", "Confirm", "Created", "Deleting",
    "Gone", "LeaseLost", "Plugin", "Property", "Replace", "RestPlugin", "in_description", "in_metadata",
    "marker_description", "marker_metadata", "name_of",
]
