"""No request about stacks or jobs holds its thread for longer than any long poll may, whatever it asks for."""
from __future__ import annotations

import threading

import pytest

from obsvc.engine.database import waiters
from obsvc.engine_client.jobs import JobClaimRequest
from obsvc.engine_client.stacks import StackEventsRequest, StackRequest, StackStatus
from tests.support.stack_life import Life, template

FOR_EVER = 3600.0


@pytest.fixture
def life(monkeypatch):
    monkeypatch.setattr(waiters, "WAIT_MAX", 0.01)
    life = Life()
    life.create(template(a=[]))
    yield life
    life.service.shutdown()


def answer(call, request):
    """What ``call`` answers; fails where it goes on waiting."""
    answers: list = []
    caller = threading.Thread(target=lambda: answers.append(call(request)), daemon=True)
    caller.start()
    caller.join(10)
    assert answers, "it waits for longer than a long poll may"
    return answers[0]


def test_reading_a_stack_that_is_in_progress(life):
    stack = answer(life.read_stack, StackRequest("s", wait=FOR_EVER))
    assert stack.status is StackStatus.CREATE_IN_PROGRESS


def test_deleting_a_stack(life):
    life.claim()
    stack = answer(life.delete_stack, StackRequest("s", wait=FOR_EVER))
    assert stack.status is StackStatus.DELETE_IN_PROGRESS


def test_reading_events_of_which_there_are_none(life):
    last = life.events()[-1].event_id
    assert answer(life.stack_events, StackEventsRequest("s", after=last, wait=FOR_EVER)).events == ()


def test_claiming_jobs_of_which_there_are_none(life):
    assert answer(life.claim_jobs, JobClaimRequest("w", ("Sim::None",), wait=FOR_EVER)).jobs == ()
