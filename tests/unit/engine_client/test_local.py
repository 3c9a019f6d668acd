"""The in-process carrier brings everything through JSON."""
from __future__ import annotations

import pytest

from obsvc.engine_client.contract import Empty
from obsvc.engine_client.local import LocalEngine
from obsvc.engine_client.observations import StartItem, StartReply, StartRequest
from obsvc.exceptions import InvalidInput, NotFound
from obsvc.model import Ref


class Service:
    seen: StartRequest | None = None

    def start(self, request: StartRequest) -> StartReply:
        self.seen = request
        return StartReply(())

    def info(self, request: Empty):
        raise NotFound("nothing here")


def test_what_arrives_equals_what_was_sent_and_shares_nothing():
    service = Service()
    labels = {"a": "b"}
    sent = StartRequest((StartItem(Ref("R", "compute.server", "1"), labels=labels),))
    assert LocalEngine(service).start(sent) == StartReply(())
    labels["a"] = "changed afterwards"
    assert service.seen.items[0].labels == {"a": "b"}


def test_a_value_that_json_would_not_carry_is_refused():
    with pytest.raises(InvalidInput, match="StartRequest"):
        LocalEngine(Service()).start(StartRequest((StartItem(Ref("R", "t", 7)),)))


def test_errors_pass():
    with pytest.raises(NotFound, match="nothing here"):
        LocalEngine(Service()).info(Empty())
