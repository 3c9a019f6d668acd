"""Reading a recorded life."""
import json

from obsvc.simcloud.replay import epoch, read_answers, read_messages

AT = "2026-01-01T00:00:00+00:00"


def body(at, task):
    return json.dumps({"at": at, "server": {"id": "s", "OS-EXT-STS:task_state": task}})


def test_messages_with_and_without_an_envelope():
    inner = json.dumps({"event_type": "instance.update"})
    lines = [json.dumps({"received_at": AT, "exchange": "nova", "routing_key": "x", "body": text})
             for text in (inner, json.dumps({"oslo.version": "2.0", "oslo.message": inner}))]
    messages = read_messages(lines)
    assert [message.event_type for message in messages] == ["instance.update", "instance.update"]
    assert messages[0].at == epoch(AT) and messages[0].body == inner.encode()


def test_a_server_that_was_being_deleted_is_gone_at_the_recorded_moment():
    bodies = [body(1.0, None), body(2.0, "deleting")]
    step = json.dumps({"at": "1970-01-01T00:00:09+00:00", "kind": "step", "step": "delete"})
    assert [(answer.at, answer.server is None) for answer in read_answers(bodies, [step], None)] == [
        (1.0, False), (2.0, False), (9.0, True)]
    assert read_answers(bodies, [], 5.0)[-1].at == 5.0, "without a timeline with the last message"
    assert read_answers(bodies, [], 1.0)[-1].at == 2.0, "never before the last body"


def test_one_that_was_not_stays():
    assert len(read_answers([body(1.0, None)], [], 5.0)) == 1 and read_answers([], [], 5.0) == []
