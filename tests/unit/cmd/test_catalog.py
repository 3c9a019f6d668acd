"""``obsvc catalog list|show|check``, and a service that is added by a YAML file alone, as docs/catalog.md says."""
import io
import json
import pathlib
import re

import msgspec
import pytest

from obsvc.catalog import load
from obsvc.catalog.snapshots import snapshot
from obsvc.cmd.main import ObsvcApp
from obsvc.conf import load as load_conf
from obsvc.model import Condition
from tests.support.shared_data import SHARED

DOC = (pathlib.Path(__file__).parents[3] / "docs" / "catalog.md").read_text()


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    code = ObsvcApp(stdout=out, stderr=err).run([*map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```", DOC, re.M | re.S)[1]


@pytest.fixture
def kiosk(tmp_path):
    """The worked example of the docs: its messages, and the folder with its file."""
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "kiosk.yaml").write_text(block("yaml"))
    messages = tmp_path / "messages.jsonl"
    messages.write_text(block("json"))
    return messages, folder


def test_list_names_every_type_and_every_service():
    code, out, _ = run("catalog", "list", "-f", "json")
    rows = json.loads(out)
    catalog = load()
    assert code == 0 and {row["type"] for row in rows} - {None} == set(catalog.types)
    assert {row["service"] for row in rows} == set(catalog.services)
    nova = next(row for row in rows if row["type"] == "compute.server")
    assert (nova["fetch"], nova["status"], nova["changed_since"]) == ("/servers/{id}", "status", "changes-since")


@pytest.mark.parametrize("service", load().services)
def test_what_show_prints_is_a_file_that_means_the_same(tmp_path, service):
    code, out, _ = run("catalog", "show", service)
    (tmp_path / "mine.yaml").write_text(out)
    mine, ours = load([tmp_path]).services[service], load().services[service]
    assert code == 0 and msgspec.structs.replace(mine, source=ours.source) == ours


def test_show_of_a_type_is_its_part():
    code, out, _ = run("catalog", "show", "network.security_group")
    shown = msgspec.yaml.decode(out)
    assert code == 0 and list(shown["types"]) == ["network.security_group"]
    assert {"security_group.delete.end", "security_group_rule.*"} <= {event["match"] for event in shown["events"]}
    assert not any(event["match"].startswith("port.") for event in shown["events"])


def test_show_of_what_is_not_there_says_what_there_is():
    code, out, err = run("catalog", "show", "nowa")
    assert code == 1 and not out and "nova" in err and len(err.splitlines()) == 1


def test_a_made_up_service_by_a_file_alone(kiosk):
    messages, folder = kiosk
    code, out, err = run("catalog", "check", messages, "-f", "json")
    assert code == 1 and {row["outcome"] for row in json.loads(out)} == {"guessed"}
    assert "4 messages: 4 guessed" in err

    code, out, err = run("catalog", "check", messages, "--catalog", folder, "-f", "json")
    assert code == 0 and "3 understood, 1 no resource" in err
    assert [(row["outcome"], row["service"], row["why"], row["messages"]) for row in json.loads(out)] == [
        ("understood", "kiosk", "", 3), ("no resource", "kiosk", "it only says that the engine lives", 1)]

    code, out, _ = run("notification", "decode", messages, "--catalog", folder)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["resource_type"], line["resource_id"], line["project_id"], line["phase"], line["look"],
             line.get("state")) for line in lines] == [
        ("kiosk.booth", "b-17", "p-1", "end", "now", "Open"), ("kiosk.booth", "b-17", "p-1", "start", "merge", None),
        ("kiosk.booth", "b-17", "p-1", "end", "now", "Removed"), (None, None, None, None, "none", None)]

    booth = load([folder]).types["kiosk.booth"]
    seen = snapshot(booth, {"phase": "Broken", "owner_project": "p-1", "name": "n", "trouble": "rain", "size": 3})
    assert (seen.condition, seen.status_reason, seen.project_id, seen.attributes) == (
        Condition.ERROR, "rain", "p-1", {"name": "n", "size": 3})
    assert snapshot(booth, {"phase": "Haunted"}).condition is Condition.UNKNOWN


def test_folders_of_the_configuration_count(kiosk, tmp_path):
    messages, folder = kiosk
    conf = tmp_path / "obsvc.conf"
    conf.write_text(f"[catalog]\nfolders = {folder}\n")
    assert load_conf(config_files=[str(conf)]).catalog.folders == [str(folder)]
    assert run("--config-file", conf, "catalog", "check", messages)[0] == 0
    _, out, _ = run("--config-file", conf, "notification", "decode", messages)
    assert all(json.loads(line)["service"] == "kiosk" and "guessed" not in json.loads(line)
               for line in out.splitlines())
    assert "kiosk.booth" in run("--config-file", conf, "catalog", "list")[1]


def test_check_names_each_message_that_is_not_understood(tmp_path):
    file = tmp_path / "m.jsonl"
    file.write_text('{"event_type": "instance.update", "payload": {"nova_object.data": {"uuid": "u"}}}\n'
                    '{"event_type": "strange.thing", "payload": {"id": "x"}, "publisher_id": "who"}\n'
                    'broken {\n')
    code, out, err = run("catalog", "check", "--each", file, "-f", "json")
    assert code == 1 and "1 understood, 1 guessed, 1 unreadable" in err
    assert [(row["outcome"], row["message"]) for row in json.loads(out)] == [
        ("guessed", f"{file}:2"), ("unreadable", f"{file}:3")]


def test_a_file_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "bad.yaml").write_text("service: x\nservice_type: x\nsurprise: 1\n")
    code, _, err = run("catalog", "check", "--catalog", tmp_path, "-")
    assert code == 2 and "bad.yaml" in err and "surprise" in err and len(err.splitlines()) == 1


if SHARED is not None:

    def test_all_shared_messages_are_understood_or_about_nothing_and_say_why():
        files = sorted((SHARED / "captured").glob("*.jsonl"))
        code, out, _ = run("catalog", "check", SHARED / "notifications", *files, "-f", "json")
        rows = json.loads(out)
        assert code == 0 and sum(row["messages"] for row in rows) > 600
        assert all(row["why"] and row["service"] for row in rows if row["outcome"] == "no resource")
