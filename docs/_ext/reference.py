"""The reference pages that are made from the code: metrics, catalogue, notifications, both OpenAPI documents.

Each is Markdown, written to ``docs/reference/generated`` (not in git) when a build begins.
"""
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from sphinx.application import Sphinx

from obsvc import catalog, metrics
from obsvc.api import openapi as public_api
from obsvc.api.routes import ROUTES
from obsvc.engine import openapi as engine_api
from obsvc.engine.database.outbox import EVENT_TYPES


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", _write_pages)
    return {"parallel_read_safe": True}


def _write_pages(app: Sphinx) -> None:
    folder = pathlib.Path(app.srcdir) / "reference" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "metrics": metrics_page(),
        "catalogue": catalogue_page(),
        "notifications": notifications_page(),
        "public-api": openapi_page(json.loads(public_api.document(ROUTES))),
        "engine-api": openapi_page(json.loads(engine_api.document())),
    }.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:  # an unchanged page is not built again
            path.write_text(text)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    header = list(header)
    return "\n".join([line(header), line(["---"] * len(header)), *map(line, rows)]) + "\n"


def metrics_page() -> str:
    """Every metric of :mod:`obsvc.metrics`, in its order."""
    found = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    rows = []
    for metric in found:
        described = next(iter(metric.describe()))
        suffix = "_total" if described.type == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        rows.append([f"`{described.name}{suffix}`", described.type, labels, described.documentation])
    return "# Metrics\n\nLabels are bounded: never an id or a project.\n\n" + _table(
        ["metric", "type", "labels", "what it says"], rows)


def notifications_page() -> str:
    """Every notification that obsvc itself emits."""
    return ("# Notifications that obsvc emits\n\nOrdinary oslo notifications on the exchange and topic of `[emit]`, "
            "priority INFO unless it says otherwise. Those of stacks carry stack_id, stack_name, project_id, status, "
            "status_reason, traversal, nodes_total, nodes_finished and nodes_failed.\n\n" + _table(
                ["event type", "what it says"], ([f"`{name}`", text] for name, text in EVENT_TYPES.items())))


def catalogue_page() -> str:
    """Every service of the catalogue: its resource types, and which notifications are about which."""
    parts = ["# The catalogue\n", "What obsvc knows of each service ([how to add to it](../../catalog.md)).\n"]
    for name, service in sorted(catalog.load([]).services.items()):
        parts.append(f"\n## {name}\n")
        types = [
            [f"`{resource_type}`", f"`GET {known.fetch.path}`", f"`{known.listing.path}`" if known.listing else "",
             ", ".join(f"`{attribute}`" for attribute in known.attributes)]
            for resource_type, known in service.types.items()
        ]
        if types:
            parts.append(_table(["resource type", "fetched by", "listed by", "attributes kept and compared"], types))
        parts.append(_table(["notifications", "resource type"], (
            [f"`{event.match}`", f"`{event.type}`" if event.type else event.why or ""] for event in service.events)))
    return "\n".join(parts)


def openapi_page(document: Mapping[str, Any]) -> str:
    """An OpenAPI 3.1 document as one page: its operations, then its schemas."""
    parts = [f"# {document['info']['title']}: the HTTP API\n", document["info"]["description"] + "\n"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if isinstance(operation, dict) and "responses" in operation:
                parts.append(_operation(f"{method.upper()} {path}", operation))
    parts.append("\n## Schemas\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(f"\n### {name}\n\n{schema.get('description', '')}\n")
        properties = schema.get("properties", {})
        if properties:
            required = schema.get("required", [])
            parts.append(_table(["field", "type", "", "description"], (
                [f"`{field}`", _type(of), "required" if field in required else "", of.get("description", "")]
                for field, of in properties.items())))
        else:
            parts.append(_type(schema) + "\n")
    return "\n".join(parts)


def _operation(title: str, operation: Mapping[str, Any]) -> str:
    text = f"\n## `{title}`\n\n{operation.get('description') or operation.get('summary', '')}\n"
    if operation.get("parameters"):
        text += "\n" + _table(["parameter", "in", "type", "description"], (
            [f"`{parameter['name']}`", parameter["in"], _type(parameter.get("schema", {})),
             parameter.get("description", "")]
            for parameter in operation["parameters"] if "name" in parameter))
    body = operation.get("requestBody", {}).get("content", {})
    for media, content in body.items():
        text += f"\nTakes {_type(content.get('schema', {}))} (`{media}`).\n"
    text += "\n" + _table(["answer", "body", "description"], (
        [status, ", ".join(_type(content.get("schema", {})) for content in answer.get("content", {}).values()),
         answer.get("description", "")]
        for status, answer in operation["responses"].items() if "$ref" not in answer))
    return text


def _type(schema: Mapping[str, Any] | bool) -> str:
    """A schema in a few words, with links to those that have a name."""
    if isinstance(schema, bool):
        return "any" if schema else "none"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for joined in ("anyOf", "oneOf"):
        if joined in schema:
            return " or ".join(_type(choice) for choice in schema[joined])
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
        return f"object of {_type(schema['additionalProperties'])}"
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
