"""``/v1/dead-letters``: messages that could not be read, and reading them again.

A replay runs the decoder of *this* process, with the catalogue that it has now, over the kept redacted body, and marks
the refs that come out: their owners look at them, as they would have on the notification.  Nothing else is taken from
a replayed message, so it does not matter how old it is or what was redacted.
"""
from __future__ import annotations

import falcon

from obsvc.api.context import Api
from obsvc.api.render import answer, plain
from obsvc.api.schemas.queries import DeadLettersQuery
from obsvc.engine_client.reports import (
    DEAD_LETTER_BODY_MAX,
    DeadLetter,
    DeadLetterRequest,
    DeadLettersRequest,
    ReplayRequest,
)
from obsvc.exceptions import Conflict, InvalidInput, UndecodableMessage
from obsvc.listeners.decode import Decoder
from obsvc.model import Notification

#: Largest letter id that a database holds.
_ID_MAX = 2**63 - 1


class DeadLetters:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, query: DeadLettersQuery) -> None:
        """Newest first, without bodies; ``before``: the last id of the page before."""
        page = self._api.engine.dead_letters(DeadLettersRequest(query.limit, query.before))
        letters = [plain(letter) for letter in page.letters]
        for letter in letters:
            del letter["body"]
        answer(resp, {"letters": letters})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, letter: str) -> None:
        answer(resp, self._api.engine.dead_letter(DeadLetterRequest(_number(letter))))

    def on_post_replay(self, req: falcon.Request, resp: falcon.Response, letter: str) -> None:
        """Decode it again and look at what it names; Conflict, with the reason, where that is not possible."""
        number = _number(letter)
        notification = self._decoded(self._api.engine.dead_letter(DeadLetterRequest(number)))
        refs = tuple(dict.fromkeys(notification.refs))
        reply = self._api.engine.replay_dead_letter(ReplayRequest(number, refs))
        answer(resp, {
            "letter_id": number, "event_type": notification.event_type, "replayed_at": reply.replayed_at,
            "refs": [{**plain(ref), "mark": mark} for ref, mark in zip(refs, reply.marks, strict=True)],
            "marked": sum(mark is not None for mark in reply.marks), "why_none": notification.why_none,
        }, status=falcon.HTTP_202)

    def _decoded(self, letter: DeadLetter) -> Notification:
        if not letter.body:
            raise Conflict(
                f"dead letter {letter.letter_id} can't be read again: its {letter.size} bytes were not kept, only text "
                f"of at most {DEAD_LETTER_BODY_MAX} is; have what it is about looked at by `obsvc observation` instead"
            )
        if self._api.catalog is None:
            raise Conflict("this API has no catalogue: messages can't be read by it")
        decoder = Decoder(self._api.catalog, region=letter.region or self._api.region)
        try:
            return decoder.decode(letter.body.encode(), exchange=letter.exchange)
        except UndecodableMessage as error:
            raise Conflict(
                f"dead letter {letter.letter_id} still can't be read ({error.reason}): {error.message}"
            ) from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _ID_MAX):
        raise InvalidInput(f"expected a dead letter's number, got {text[:40]!r}")
    return int(text)
