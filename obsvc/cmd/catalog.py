"""``obsvc catalog list|show|check``: what the catalogue knows, and what it makes of messages."""
from __future__ import annotations

import argparse
import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from cliff import command, lister

from obsvc.catalog import Catalog, load
from obsvc.catalog.schema import ResourceType, Service
from obsvc.cmd.base import add_catalog_option, configured_catalog
from obsvc.cmd.display import Brief, Listed
from obsvc.cmd.notification import body_of, inputs, split
from obsvc.exceptions import NotFound, UndecodableMessage
from obsvc.listeners.decode import Decoder
from obsvc.model import Notification

#: Outcomes of a message, worst last; all but the first two make ``check`` fail.
UNDERSTOOD, NO_RESOURCE, GUESSED, UNREADABLE = "understood", "no resource", "guessed", "unreadable"
_FINE = (UNDERSTOOD, NO_RESOURCE)
_ORDER = (UNDERSTOOD, NO_RESOURCE, GUESSED, UNREADABLE)


class CatalogCommand(command.Command):
    """Mixin: the catalogue, with an operator's folders."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_catalog_option(parser)
        return parser

    def catalog(self, parsed_args: argparse.Namespace) -> Catalog:
        """Raises ConfigError for a file that can't be used, with the place."""
        folders, trusted = configured_catalog(self.app.options.config_file)
        return load([*folders, *parsed_args.catalog], trust_payload=trusted)


class List(CatalogCommand, lister.Lister):
    """List the resource types that can be observed, and the services that only send messages."""

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        rows = []
        catalog = self.catalog(parsed_args)
        for service in sorted(catalog.services.values(), key=lambda service: service.service):
            rows += [_row(service, name, described, trusted=name in catalog.trusted)
                     for name, described in sorted(service.types.items())] or [
                _row(service, None, None, trusted=False)]
        return ("service", "service_type", "type", "fetch", "status", "listed", "changed_since", "payload",
                "file"), rows


def _payload(described: ResourceType, *, trusted: bool) -> str | None:
    """Whether notifications carry the whole resource, and whether their payloads are trusted."""
    return None if described.payload is None else "trusted" if trusted else "whole"


def _row(service: Service, name: str | None, described: ResourceType | None, *, trusted: bool) -> list[Any]:
    if described is None:
        columns: list[Any] = [name, None, None, None, None, None]
    else:
        listing = described.listing
        columns = [name, described.fetch.version_prefix + described.fetch.path, described.status.field,
                 listing is not None, listing.changed_since if listing else None, _payload(described, trusted=trusted)]
    return [Brief(value) for value in (service.service, service.service_type, *columns, service.source)]


class Show(CatalogCommand):
    """Print a service, or the service of a resource type, as its catalogue file says it (YAML).

    Every event stands by itself ("each" is filled in), so that what is printed shows what counts; saved in a folder
    of your own and changed, it replaces the service.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("name", help="service (nova) or resource type (compute.server)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        catalog, name = self.catalog(parsed_args), parsed_args.name
        service = catalog.services.get(name) or (catalog.service_of(name) if name in catalog.types else None)
        if service is None:
            known = ", ".join(sorted(catalog.services))
            raise NotFound(f"expected a service ({known}) or a resource type (see 'obsvc catalog list'), got {name}")
        plain = msgspec.to_builtins(msgspec.structs.replace(service, source=""))
        if name in catalog.types:
            plain["types"] = {name: plain["types"][name]}
            plain["events"] = [event for event in plain["events"] if _is_about(event, name)]
        self.app.stdout.write(f"# {service.source}\n" + msgspec.yaml.encode(plain).decode())
        return 0


def _is_about(event: dict[str, Any], name: str) -> bool:
    types = [event.get("type"), *event.get("type_map", {}).values(), *event.get("type_where", {}).values()]
    return name in types or any(related["type"] == name for related in event.get("related", ()))


class Verdict(NamedTuple):
    """The outcome of one message, and why it names no resource where it does not.

    payload: ``whole``, or what it lacks, where its type's payloads may be trusted and the event has one.
    """

    outcome: str
    service: str
    resource_type: str
    why: str
    payload: str = ""


class Check(CatalogCommand, lister.Lister):
    """Check messages against the catalogue: what is understood, what is not, and why.

    Prints how many messages of which service came out how, and why; understood is a message that names what it is
    about, or for which the catalogue says why it is about nothing.  Ends with 1 when a message was guessed or could
    not be read.  Files are read as by "notification decode".  With --each one row a message that is not understood.
    The column payload says whether a payload is whole, of types that "trust_payload" may name.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("files", nargs="*", metavar="FILE", help="file or folder of messages, or - for standard "
                                                                     "input, which is read without FILE")
        parser.add_argument("--each", action="store_true", help="a row for each message that is not understood")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        self._failed = False
        return super().run(parsed_args) or int(self._failed)

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        catalog = self.catalog(parsed_args)
        whole = frozenset(name for name, described in catalog.types.items() if described.payload is not None)
        decoder = Decoder(dataclasses.replace(catalog, trusted=whole))
        verdicts = [
            (judge(decoder, source.text), source.place)
            for name, text in inputs(parsed_args.files or ["-"]) for source in split(name, text)
        ]
        self._failed = any(verdict.outcome not in _FINE for verdict, _ in verdicts)
        counts = collections.Counter(verdict.outcome for verdict, _ in verdicts)
        counted = ", ".join(f"{counts[outcome]} {outcome}" for outcome in _ORDER if counts[outcome])
        self.app.stderr.write(f"{len(verdicts)} messages: {counted}\n" if verdicts else "no messages\n")
        if parsed_args.each:
            return (*Verdict._fields, "message"), [
                (*verdict, place) for verdict, place in verdicts if verdict.outcome not in _FINE]
        return (*Verdict._fields, "messages", "first"), _summary(verdicts)


def _summary(verdicts: Sequence[tuple[Verdict, str]]) -> list[tuple[object, ...]]:
    places: dict[Verdict, list[str]] = {}
    for verdict, place in verdicts:
        places.setdefault(verdict, []).append(place)
    ordered = sorted(places.items(), key=lambda item: (_ORDER.index(item[0].outcome), item[0]))
    return [(*verdict, len(indices), indices[0]) for verdict, indices in ordered]


def judge(decoder: Decoder, text: bytes) -> Verdict:
    """What obsvc makes of one message, given as ``notification decode`` takes it."""
    try:
        body, exchange = body_of(text)
        notification = decoder.decode(body, exchange=exchange)
    except UndecodableMessage as error:
        return Verdict(UNREADABLE, "", "", error.reason)
    payload = ""
    if notification.payload_state is not None:
        payload = f"lacks {notification.payload_state.lacks}" if notification.payload_state.lacks else "whole"
    return Verdict(outcome(notification), notification.service or "", notification.resource_type or "",
                   notification.why_none or "", payload)


def outcome(notification: Notification) -> str:
    """The outcome in one word."""
    if notification.guessed:
        return GUESSED
    return UNDERSTOOD if notification.resource_type is not None and notification.resource_ids else NO_RESOURCE
