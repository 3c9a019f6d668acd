"""The process tree of ``standalone`` and the demo, and what its files say."""
import configparser

import pytest

from obsvc.cmd import demo_processes, settings_file
from obsvc.cmd.demo_processes import DemoProcesses
from obsvc.cmd.supervisor import Child, Supervisor, obsvc_command
from obsvc.cmd.tree import Ports, Tree


def read(path):
    parser = configparser.RawConfigParser(default_section="")
    parser.optionxform = str
    parser.read(path)
    return parser


def test_a_settings_file_keeps_names_and_is_its_owners_alone(tmp_path):
    path = settings_file.write(tmp_path / "deep" / "a.conf", {
        "DEFAULT": {"Some_Name": "x", "left_out": None}, "buses": {"names": ["a", "b"]}})
    assert path.stat().st_mode & 0o777 == 0o600
    parser = read(path)
    assert dict(parser["DEFAULT"]) == {"Some_Name": "x"} and parser["buses"]["names"] == "a,b"


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path, Ports(1, 2, observers=(3, 4), workers=(5,)), config_files=("/own.conf",))


def test_every_process_has_its_own_name_port_and_files(tree, tmp_path):
    children = {child.name: child for child in tree.children()}
    assert list(children) == ["engine", "api", "observer-1", "observer-2", "worker-1"]
    argv = children["observer-2"].argv
    assert argv[-1] == "observer"
    files = [argv[at + 1] for at, word in enumerate(argv) if word == "--config-file"]
    assert files == [str(tmp_path / "derived.conf"), "/own.conf", str(tmp_path / "observer-2.conf")]
    own = read(tmp_path / "observer-2.conf")["observer"]
    assert own["name"] == "observer-2" and own["health_port"] == "4"


def test_workers_and_observers_end_before_the_engine(tree):
    assert tree.stop_order() == [["worker-1", "observer-1", "observer-2"], ["api"], ["engine"]]


def test_options_win_over_what_is_derived(tmp_path):
    tree = Tree(tmp_path, Ports(), options={"database": {"url": "postgresql://"}, "buses": {"names": "b"}})
    common = tree._common()
    assert common["database"] == {"url": "postgresql://"} and common["buses"] == {"names": "b"}
    assert common["api"] == {"bind_port": 9193}


def test_the_demos_processes_share_one_folder_and_no_port(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_processes, "free_ports", lambda count: list(range(7000, 7000 + count)))
    processes = DemoProcesses(tmp_path, 3, 2)
    ports = processes.tree.ports
    used = [ports.engine, ports.api, *ports.observers, *ports.workers, int(processes.cloud_url.rpartition(":")[2])]
    assert len(ports.observers) == 3 and len(ports.workers) == 2 and len(set(used)) == 8
    assert processes.tree.options["bus:cloud"]["url"] == f"filesystem://{tmp_path}/bus"


def test_a_child_is_added_once():
    supervisor = Supervisor()
    supervisor.add(Child("a", obsvc_command("engine")))
    with pytest.raises(ValueError, match="a is a child already"):
        supervisor.add(Child("a", ()))
    assert supervisor.pid("a") is None and supervisor.restarts() == {"a": 0}
