"""From the bytes on a bus to a :class:`~obsvc.model.Notification`, by the catalogue.

The family is told from the payload, never from the topic; the same event may come in two families.  Only what decides
anything is kept.

A :class:`Decoder` is immutable and may be shared by threads.  Whatever the bytes are, ``decode`` returns a
notification or raises :class:`~obsvc.exceptions.UndecodableMessage`; the error's text holds nothing of the payload.
"""
from __future__ import annotations

from typing import Any

import msgspec

from obsvc.catalog import Catalog, paths, payloads
from obsvc.catalog.matching import Match, Matcher
from obsvc.catalog.schema import Event, Service
from obsvc.catalog.snapshots import condition_of
from obsvc.exceptions import UndecodableMessage
from obsvc.listeners.peek import MAX_EVENT_TYPE, Inner, Peeked, Peeker
from obsvc.messaging import wire
from obsvc.model import Condition, Family, Notification, PayloadState, Phase, Ref, Urgency

_PHASES = {
    "start": Phase.START,
    "end": Phase.END,
    "success": Phase.END,
    "error": Phase.ERROR,
    "progress": Phase.PROGRESS,
}
_OUTCOMES = {"pending": Phase.START, "failure": Phase.ERROR}

#: Looked up once: before Python 3.12 access to an enum's member costs as much as a call, and each notification needs a
#: dozen.
_LOOK_NONE, _LOOK_MERGE, _LOOK_NOW = Urgency.NONE, Urgency.MERGE, Urgency.NOW
_UNVERSIONED, _VERSIONED, _CADF = Family.UNVERSIONED, Family.VERSIONED, Family.CADF
_ERROR, _BEGUN = Phase.ERROR, (Phase.START, Phase.PROGRESS)
_UNKNOWN = Condition.UNKNOWN

#: Items of one bulk request that are taken; the rest is left to the sweep.  neutron's bulk creates hold dozens.
MAX_REFS = 1000


class _Whole(Inner, gc=False):
    payload: Any = msgspec.UNSET


_whole = msgspec.json.Decoder(_Whole)


class Decoder:
    """Reads notifications.  region: of the services that publish on this bus."""

    def __init__(self, catalog: Catalog, *, region: str = "RegionOne") -> None:
        self._catalog = catalog
        self._region = region
        self._matcher = Matcher(catalog)
        self._peeker = Peeker(catalog, self._matcher, region)

    def decode(self, body: bytes | str, *, exchange: str | None = None, routing_key: str | None = None) -> Notification:
        """The notification in a message body: bare, in oslo's envelope, or in its AMQP 1.0 form.

        exchange: where it was published, None where that is not known; it only helps to tell services apart whose
        event types collide.  Raises UndecodableMessage.
        """
        return self.read(wire.unwrap(body), exchange=exchange)

    def peek(self, body: bytes | str) -> Peeked | str | bytes:
        """What the message in ``body`` is about, read from as little of it as tells, for :meth:`decode_peeked`.

        Where that is not enough, the text of the inner notification, for :meth:`read`.  Raises UndecodableMessage.
        """
        text = wire.unwrap(body)
        return self._peeker.at(text) or text

    def decode_peeked(self, peeked: Peeked) -> Notification:
        """The notification that ``peeked`` is of, as :meth:`read` would have read it.  Raises UndecodableMessage."""
        plan, ref = peeked.plan, peeked.ref
        if plan.match.event.body is not None and ref.resource_type in self._catalog.trusted:
            return self.read(peeked.text)  # all of it is told
        try:
            inner, payload = peeked.read()
        except wire.DECODE_ERRORS as error:  # a number out of every range, in what the peek did not read
            raise wire.undecodable(error) from None
        family = _VERSIONED if plan.versioned else _UNVERSIONED
        return _made(plan.match, inner, payload, family, ref.resource_type, (ref.resource_id,), (ref,))

    def read(self, text: str | bytes, *, exchange: str | None = None) -> Notification:
        """The notification in the text of an inner one.  Raises UndecodableMessage."""
        try:
            message = _whole.decode(text)
        except wire.DECODE_ERRORS as error:
            raise wire.undecodable(error) from None
        if message.payload is msgspec.UNSET:
            raise UndecodableMessage("expected a notification with a payload, got none", reason="no_payload")
        event_type = message.event_type
        if not isinstance(event_type, str) or not event_type or len(event_type) > MAX_EVENT_TYPE:
            raise UndecodableMessage(
                f"expected an event_type, a text of at most {MAX_EVENT_TYPE} characters, got "
                f"{type(event_type).__name__}", reason="no_event_type",
            )
        return self._notification(message, event_type, message.payload, exchange)

    def _notification(self, message: Inner, event_type: str, payload: Any, exchange: str | None) -> Notification:
        namespace = paths.namespace(payload)
        family = _family(payload, namespace)
        publisher = message.publisher_id if isinstance(message.publisher_id, str) else None
        match = self._matcher.match(
            event_type, family, namespace=namespace, exchange=exchange, publisher=publisher, payload=payload
        ) or self._matcher.guess(
            event_type, family, namespace=namespace, exchange=exchange, publisher=publisher
        )
        if match is None:
            return Notification(
                service=None, look=Urgency.NONE, phase=_phase(event_type, None, message, payload, family), guessed=True,
                why_none=f"the catalogue knows no event {event_type} of family {family}, and nothing says whose it is",
                event_type=event_type, family=family, timestamp=_short(message.timestamp),
                message_id=_short(message.message_id), request_id=_short(message.request_id),
                publisher_id=_short(publisher),
            )
        event = match.event
        resource_type = _resource_type(event, payload)
        ids, listed = paths.texts(payload, event.id)
        if event.id_after is not None:
            ids = tuple(text.rpartition(event.id_after)[2] or text for text in ids)
        refs, why_none = self._refs(event, resource_type, ids, payload)
        return _made(match, message, payload, family, resource_type, ids, refs, listed=listed, why_none=why_none,
                     payload_state=self._payload_state(match, resource_type, refs, payload))

    def _payload_state(
        self, match: Match, resource_type: str | None, refs: tuple[Ref, ...], payload: Any
    ) -> PayloadState | None:
        """What the payload says of the one ref that it is about, where that is to be trusted."""
        event = match.event
        if match.guessed or event.body is None or len(refs) != 1 or event.related:
            return None
        if resource_type not in self._catalog.trusted:
            return None
        return payloads.payload_state(self._catalog.types[resource_type], payload, event.body)

    def _refs(
        self, event: Event, resource_type: str | None, ids: tuple[str, ...], payload: Any
    ) -> tuple[tuple[Ref, ...], str | None]:
        """What to look at, or why there is nothing."""
        if resource_type is None:
            return (), event.why or "it names no resource of a type that the catalogue knows"
        targets = [(resource_type, ids)]
        if event.related:
            targets = [(related.type, paths.texts(payload, related.id)[0]) for related in event.related]
        refs = tuple(
            Ref(self._region, target, resource_id)
            for target, target_ids in targets if target in self._catalog.types
            for resource_id in target_ids
        )
        if refs:
            return refs[:MAX_REFS], None
        if not any(target in self._catalog.types for target, _ in targets):
            return (), event.why or f"{resource_type} can't be fetched"
        return (), f"it names no {targets[0][0]}"


def _made(
    match: Match, message: Inner, payload: Any, family: Family, resource_type: str | None, ids: tuple[str, ...],
    refs: tuple[Ref, ...], *, listed: bool = False, why_none: str | None = None,
    payload_state: PayloadState | None = None,
) -> Notification:
    event, service = match.event, match.service
    phase = _phase(message.event_type, event, message, payload, family)
    state, under_way = _announced(event, service, resource_type, payload, phase) if refs else (None, False)
    look = event.look
    if state is not None and look is not _LOOK_NONE:
        look = _LOOK_NOW
    return Notification(
        service=service.service, refs=refs, resource_type=resource_type, resource_ids=ids, listed=listed,
        project_id=_project(event, message, payload), phase=phase, look=look if refs else _LOOK_NONE,
        state=state if look is _LOOK_NOW else None, guessed=match.guessed, why_none=why_none,
        under_way=under_way and look is _LOOK_MERGE, event_type=message.event_type, family=family,
        timestamp=_short(message.timestamp), message_id=_short(message.message_id),
        request_id=_short(message.request_id), publisher_id=_short(message.publisher_id), payload_state=payload_state,
    )


def _family(payload: Any, namespace: str | None) -> Family:
    if namespace is not None:
        return _VERSIONED
    if type(payload) is dict and isinstance(payload.get("eventType"), str) and (
        "typeURI" in payload or ("initiator" in payload and "observer" in payload)
    ):
        return _CADF
    return _UNVERSIONED


def _resource_type(event: Event, payload: Any) -> str | None:
    for path, resource_type in event.type_where.items():
        if paths.find(payload, path) not in (None, ""):
            return resource_type
    if event.type_field is None:
        return event.type
    value = paths.find(payload, event.type_field)
    return event.type_map.get(value, event.type) if isinstance(value, str) else event.type


def _phase(event_type: str, event: Event | None, message: Inner, payload: Any, family: Family) -> Phase | None:
    """By the event type's last part; else by CADF's outcome; else ``error`` for priority ERROR."""
    if event is not None and event.phase is not None:
        return None if event.phase == "none" else Phase(event.phase)
    phase = _PHASES.get(event_type.rpartition(".")[2])
    if phase is None and family is _CADF and isinstance(outcome := payload.get("outcome"), str):
        phase = _OUTCOMES.get(outcome)
        if phase is None and outcome == "success" and event is not None and event.outcome:
            phase = Phase.END
    if phase is None and isinstance(message.priority, str) and message.priority.upper() == "ERROR":
        phase = Phase.ERROR
    return phase


def _project(event: Event, message: Inner, payload: Any) -> str | None:
    for path in event.project:
        if path == "$context":
            project: Any = next(
                (value for value in (message.context_project_id, message.context_tenant_id, message.context_project,
                                     message.context_tenant) if value), None)
            text = paths.text_of(project)
        else:
            texts = paths.texts(payload, (path,))[0]
            text = texts[0] if texts else None
        if text is not None:
            return text
    return None


def _announced(
    event: Event, service: Service, resource_type: str | None, payload: Any, phase: Phase | None
) -> tuple[str | None, bool]:
    """The settled state that the notification announces, in the API's word, None when it announces none; and whether
    it announces that something is under way instead.  A failure is never that: another state may be there already."""
    if phase in _BEGUN:
        return None, True
    if event.announces is not None:
        return event.announces, False
    if event.state is None:
        return None, False
    word, failed = paths.find(payload, event.state), phase is _ERROR
    if not isinstance(word, str):
        return None, False
    if event.task is not None and paths.find(payload, event.task) not in (None, ""):
        return None, not failed
    status = (event.states or service.states).get(word, word)
    described = service.types.get(resource_type or "")
    condition = _UNKNOWN if described is None else condition_of(described.status, status)
    if described is None or condition is _UNKNOWN:
        return None, False
    if condition in described.status.unsettled:
        return None, not failed
    return status, False


def _short(value: Any) -> str | None:
    """A text of the envelope, as it came but bounded; a time stamp may be anything."""
    return value[:MAX_EVENT_TYPE] if isinstance(value, str) and value else None
