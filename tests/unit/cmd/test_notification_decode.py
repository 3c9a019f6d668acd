"""``obsvc notification decode``: one line a message, in order, whatever the message."""
import io
import json
import pathlib

import pytest

from obsvc.cmd.main import ObsvcApp
from obsvc.cmd.notification import split
from tests.support.shared_data import SHARED

INNER = {"event_type": "instance.update", "priority": "INFO", "timestamp": "2026-01-01 00:00:00",
         "payload": {"nova_object.data": {"uuid": "u", "tenant_id": "p", "state": "active", "task_state": None}}}
ENVELOPE = {"oslo.version": "2.0", "oslo.message": json.dumps(INNER)}
FORMS = {
    "inner": INNER,
    "envelope": ENVELOPE,
    "amqp1": {"request": ENVELOPE, "context": {}},
    "test-data": {"source": {}, "topic": "notifications", "message": INNER, "expected": {"resource_id": "u"}},
    "capture": {"seq": 1, "exchange": "nova", "routing_key": "x", "body": json.dumps(ENVELOPE)},
}


def run(*arguments, stdin=b"", monkeypatch=None):
    out, err = io.StringIO(), io.StringIO()
    if monkeypatch is not None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    code = ObsvcApp(stdout=out, stderr=err).run(["notification", "decode", *map(str, arguments)])
    return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


def ids(lines):
    return [line.get("resource_id", "error") for line in lines]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("indent", [None, 2])
def test_every_form_of_a_message_reads_the_same(tmp_path, form, indent):
    file = tmp_path / "m.json"
    file.write_text(json.dumps(FORMS[form], indent=indent))
    code, (line,), _ = run(file)
    assert code == 0
    assert line == {
        "event_type": "instance.update", "service": "nova", "resource_type": "compute.server", "resource_id": "u",
        "project_id": "p", "phase": None, "timestamp": "2026-01-01 00:00:00", "family": "versioned", "look": "now",
        "state": "ACTIVE",
    }


def test_one_line_a_message_in_order_with_errors_in_their_place(tmp_path):
    file = tmp_path / "m.jsonl"
    rows = [json.dumps(FORMS["inner"]), "broken {", json.dumps(FORMS["envelope"]), "", "[]", '"text"', "5",
            json.dumps(FORMS["capture"])]
    file.write_text("\n".join(rows) + "\n")
    code, lines, _ = run(file)
    assert code == 0 and ids(lines) == ["u", "error", "u", "error", "error", "error", "u"]
    assert all(line["error"] and line["reason"] for line in lines if "error" in line)
    assert lines[1]["source"] == f"{file}:2"


def test_folders_are_read_recursively_and_sorted(tmp_path):
    for name in ("b/2.json", "a/1.json", "c.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        message = json.loads(json.dumps(INNER))
        message["payload"]["nova_object.data"]["uuid"] = name
        (tmp_path / name).write_text(json.dumps(message))
    (tmp_path / "README.md").write_text("not a message")
    assert ids(run(tmp_path)[1]) == ["a/1.json", "b/2.json", "c.json"]
    assert ids(run(tmp_path / "c.json", tmp_path / "a")[1]) == ["c.json", "a/1.json"]


def test_standard_input(monkeypatch):
    text = "\n".join(json.dumps(form) for form in FORMS.values()).encode()
    assert ids(run(stdin=text, monkeypatch=monkeypatch)[1]) == ["u"] * len(FORMS)
    assert ids(run("-", stdin=b"\xff\x00", monkeypatch=monkeypatch)[1]) == ["error"]


def test_bulk_message_has_a_list(tmp_path):
    file = tmp_path / "m.json"
    file.write_text(json.dumps({"event_type": "port.create.end", "payload": {"ports": [{"id": "a"}, {"id": "b"}]}}))
    (line,) = run(file)[1]
    assert line["resource_ids"] == ["a", "b"] and line["resource_id"] is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b"", 1),
        (b'{\n "event_type": "x",\n "payload": {}', 1),  # one message over several lines, and broken
        (b'{"event_type": "a", "payload": {}}\r\n{"event_type": "b", "payload": {}}\r\n', 2),
        (b"nonsense\nmore nonsense\n", 2),
        (b'{"event_type": "x",\n{"event_type": "a", "payload": {}}', 2),
        (b"\n\n" + json.dumps(INNER, indent=1).encode() + b"\n\n", 1),
    ],
)
def test_where_one_message_ends(text, count):
    assert len(split("f", text)) == count


def test_missing_file_is_one_clear_line(tmp_path):
    code, lines, errors = run(tmp_path / "none.json")
    assert code == 1 and lines == [] and errors.count("\n") == 1 and "none.json" in errors


if SHARED is not None:

    def test_whole_shared_data_gives_one_line_a_file():
        folder = pathlib.Path(SHARED / "notifications")
        files = sorted(folder.rglob("*.json"))
        code, lines, _ = run(folder)
        assert code == 0 and len(lines) == len(files)
        assert not [line for line in lines if "error" in line]
        assert [line["event_type"] for line in lines] == [
            json.loads(file.read_bytes())["message"]["event_type"] for file in files
        ]
