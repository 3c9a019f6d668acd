"""The catalogue's files: strict, an operator's own replace ours, errors name file and place."""
import pytest

from obsvc.catalog import load
from obsvc.exceptions import ConfigError, NotFound

MINE = """
service: mine
service_type: my-type
types:
  my.thing:
    fetch: {path: "/things/{id}"}
events:
  - {match: "{each}.*", each: {thing: my.thing}, id: ["{each}.id"]}
"""


def put(folder, text, name="mine.yaml"):
    (folder / name).write_text(text)
    return folder


def test_every_type_belongs_to_a_service_and_can_be_fetched():
    catalog = load()
    for name, described in catalog.types.items():
        assert catalog.service_of(name).types[name] is described
        assert "{id}" in described.fetch.path


def test_every_listed_status_is_in_the_states_that_payloads_announce():
    nova = load().services["nova"]
    known = {status.casefold() for status in nova.types["compute.server"].status.conditions}
    assert {status.casefold() for status in nova.states.values()} <= known


def test_operator_folder_adds_and_replaces(tmp_path):
    catalog = load([put(tmp_path, MINE)])
    assert catalog.service_of("my.thing").service == "mine"
    (event,) = catalog.services["mine"].events
    assert (event.match, event.type, event.id, event.each) == ("thing.*", "my.thing", ("thing.id",), {})
    replaced = load([put(tmp_path, MINE.replace("service: mine", "service: nova"))])
    assert "compute.server" not in replaced.types and "my.thing" in replaced.types


def test_unknown_type_says_which_there_are():
    with pytest.raises(NotFound, match=r"compute\.server.*got no\.such"):
        load().service_of("no.such")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (MINE.replace("path:", "pfad:"), r"mine\.yaml.*types.*fetch"),
        (MINE + "surprise: 1\n", r"mine\.yaml.*surprise"),
        (MINE.replace("my-type", "5").replace("service: mine", "service: [1]"), r"mine\.yaml.*service"),
        ("service: [", r"mine\.yaml"),
        ("", r"mine\.yaml"),
        (MINE.replace("{each}.*", "x.*").replace("each: {thing: my.thing}, ", ""), r"mine\.yaml.*no type"),
        (MINE.replace("my.thing", "compute.server"), r"compute\.server in one service only"),
        ("a: &a [*a]", r"mine\.yaml"),
    ],
)
def test_errors_name_file_and_place(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told) as caught:
        load([put(tmp_path, text)])
    assert "\n" not in caught.value.message


def test_missing_folder(tmp_path):
    with pytest.raises(ConfigError, match="expected a folder"):
        load([tmp_path / "none"])


def test_observer_and_api_read_the_operators_folders_before_they_wait_for_anything(tmp_path):
    from obsvc import conf as obsvc_conf
    from obsvc.api import app as api
    from obsvc.observer import app as observer

    put(tmp_path, MINE + "surprise: 1\n")
    file = tmp_path / "obsvc.conf"
    file.write_text(f"[DEFAULT]\nhost = here\n[catalog]\nfolders = {tmp_path}\n[api]\nauth_strategy = noauth\n"
                    f"[engine_client]\nendpoints = http://127.0.0.1:1\n"
                    f"[coordination]\nbackend_urls = file://{tmp_path}/c\n")
    conf = obsvc_conf.load([], config_files=[str(file)])
    with pytest.raises(ConfigError, match=r"mine\.yaml.*surprise"):
        observer.run(conf, signals=observer.Signals())
    with pytest.raises(ConfigError, match=r"mine\.yaml.*surprise"):
        api.from_conf(conf)
