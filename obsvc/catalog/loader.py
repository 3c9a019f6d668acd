"""Reading the catalogue's files.

One YAML file describes one service (:mod:`obsvc.catalog.schema`).  A file in an operator's folder adds a service,
or replaces the one of the same ``service`` name; within a folder, files are read in the order of their names.
"""
from __future__ import annotations

import dataclasses
import importlib.resources
import pathlib
from collections.abc import Iterable, Iterator

import msgspec

from obsvc.catalog.schema import Event, Related, ResourceType, Service
from obsvc.exceptions import ConfigError, NotFound, one_line

#: The word that an event's ``each`` replaces.
_EACH = "{each}"


@dataclasses.dataclass(frozen=True)
class Catalog:
    """Everything that is known of services, by service name and by resource type."""

    services: dict[str, Service]
    types: dict[str, ResourceType]
    _service_names: dict[str, str]
    #: The types of which a notification's payload is taken for the snapshot.
    trusted: frozenset[str] = frozenset()

    def service_of(self, resource_type: str) -> Service:
        """The service that has the type.  Raises NotFound."""
        try:
            return self.services[self._service_names[resource_type]]
        except KeyError:
            known = ", ".join(sorted(self.types))
            raise NotFound(f"expected a resource type of the catalogue ({known}), got {resource_type}") from None


def load(folders: Iterable[str | pathlib.Path] = (), *, trust_payload: Iterable[str] = ()) -> Catalog:
    """The catalogue of this package, with what the operator's ``folders`` add and replace.

    trust_payload: the types of which notifications are to be taken at their word.
    Raises ConfigError, naming file and place, for a file that can't be read or does not follow the schema, and for a
    type that is to be trusted and has no whole payload.
    """
    services: dict[str, Service] = {}
    for name, text in _files(folders):
        service = _read(name, text)
        services[service.service] = service
    types: dict[str, ResourceType] = {}
    owners: dict[str, str] = {}
    for service in services.values():
        for resource_type, described in service.types.items():
            if resource_type in types:
                raise ConfigError(
                    f"catalogue: expected {resource_type} in one service only, it is in {owners[resource_type]} and "
                    f"{service.service}: take it out of one"
                )
            types[resource_type], owners[resource_type] = described, service.service
    whole = {name for name, described in types.items() if described.payload is not None}
    trusted = frozenset(trust_payload)
    if trusted - whole:
        raise ConfigError(
            f"[catalog] trust_payload: expected types whose notifications have them whole "
            f"({', '.join(sorted(whole))}), got {', '.join(sorted(trusted - whole))}: take it out, or describe "
            "its payload in a file of your own"
        )
    return Catalog(services, types, owners, trusted)


def _files(folders: Iterable[str | pathlib.Path]) -> Iterator[tuple[str, bytes]]:
    data = importlib.resources.files("obsvc.catalog") / "data"
    for entry in sorted(data.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            yield f"{entry.name} (of this package)", entry.read_bytes()
    for folder in folders:
        path = pathlib.Path(folder)
        if not path.is_dir():
            raise ConfigError(f"catalogue: expected a folder at {path}, found none: correct the option")
        for file in sorted(path.glob("*.yaml")):
            try:
                yield str(file), file.read_bytes()
            except OSError as error:
                raise ConfigError(f"catalogue: can't read {file}: {error.strerror}") from error


def _read(name: str, text: bytes) -> Service:
    try:
        service = msgspec.yaml.decode(text, type=Service, strict=True)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError) as error:
        raise ConfigError(f"catalogue: {name}: {one_line(error)}") from error
    events = tuple(expanded for event in service.events for expanded in _expanded(event))
    for event in events:
        if not (event.type or event.type_field or event.type_where or event.why):
            raise ConfigError(
                f"catalogue: {name}: event {event.match!r} has no type: say in 'why' why it is about no resource"
            )
    return msgspec.structs.replace(
        service, events=events, source=name, objects=service.objects or (service.service,)
    )


def _expanded(event: Event) -> Iterator[Event]:
    if not event.each:
        yield event
        return
    for word, resource_type in event.each.items():
        def filled(text: str, word: str = word) -> str:
            return text.replace(_EACH, word)

        def filled_if_any(text: str | None, word: str = word) -> str | None:
            return None if text is None else text.replace(_EACH, word)

        yield msgspec.structs.replace(
            event,
            each={},
            type=resource_type,
            match=filled(event.match),
            id=tuple(filled(path) for path in event.id),
            project=tuple(filled(path) for path in event.project),
            state=filled_if_any(event.state),
            task=filled_if_any(event.task),
            body=filled_if_any(event.body),
            related=tuple(Related(item.type, tuple(filled(path) for path in item.id)) for item in event.related),
        )
