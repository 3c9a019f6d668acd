"""Every wrong start-up ends, or waits, with one clear line that says what, where and what to do; no traceback."""
from __future__ import annotations

import contextlib
import pathlib
import signal
import socket
import subprocess

import pytest

from obsvc.cmd import settings_file
from obsvc.web.health import HealthServer
from tests.support.processes.deployment import Process, obsvc
from tests.support.processes.servers import can_connect, free_port, wait_until


@pytest.fixture
def config(tmp_path):
    """``config({group: {option: value}})``: the path of a configuration that would work, changed so."""
    engine_port = free_port()
    sound = {
        "DEFAULT": {"state_path": tmp_path},
        "database": {"url": f"sqlite:///{tmp_path}/obsvc.sqlite"},
        "coordination": {"backend_urls": f"file://{tmp_path}/coordination"},
        "engine": {"bind_port": engine_port},
        "engine_client": {"endpoints": f"http://127.0.0.1:{engine_port}", "timeout": 1},
        "observer": {"name": "one", "health_port": free_port()},
        "worker": {"name": "one", "health_port": free_port()},
        "api": {"bind_port": free_port()},
        "buses": {"names": "cloud"},
        "bus:cloud": {"url": f"filesystem://{tmp_path}/bus"},
        "cloud": {"auth_type": "password", "auth_url": f"http://127.0.0.1:{free_port()}/identity/v3",
                  "username": "u", "password": "p", "project_name": "p", "user_domain_id": "default",
                  "project_domain_id": "default"},
    }

    def make(changes: dict[str, dict[str, object]]) -> pathlib.Path:
        options = {group: {**sound.get(group, {}), **changes.get(group, {})} for group in {**sound, **changes}}
        return settings_file.write(tmp_path / "obsvc.conf", options)

    return make


def _upgrade(config: pathlib.Path, *words: str) -> None:
    subprocess.run(obsvc("db", "upgrade", *words, config=[config]), check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def _engine(config: pathlib.Path, *words: str):
    """An engine on the configuration's new database."""
    _upgrade(config, *words)
    engine = Process("engine", obsvc("engine", config=[config]), config.parent).start()
    try:
        port = next(line.split("=")[1].strip() for line in config.read_text().splitlines() if "bind_port" in line)
        wait_until(lambda: can_connect(int(port)), bound=30, what="the engine")
        yield
    finally:
        engine.kill()


def _ends(config: pathlib.Path, *words: str) -> str:
    """Run a command that must end by itself with an error; returns its one line."""
    done = subprocess.run(obsvc(*words, config=[config]), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode not in (0, None), done
    said = [line for line in done.stderr.splitlines() if line.startswith("obsvc: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr, done.stderr
    return said[0]


def _waits(config: pathlib.Path, folder: pathlib.Path, word: str, *needles: str) -> None:
    """Run a service that must go on waiting, and say so in a line that has every needle, without a traceback."""
    process = Process(word, obsvc(word, config=[config]), folder).start()
    try:
        def said() -> list[str]:
            return [line for line in process.output().splitlines() if all(needle in line for needle in needles)]

        wait_until(lambda: said() or not process.running, bound=45, what=f"{word} says {needles}")
        assert process.running, process.output()
        assert said(), process.output()
        assert "Traceback" not in process.output()
        assert process.stop(bound=30) in (0, -signal.SIGTERM), process.output()
    finally:
        process.kill()


def test_schema_not_upgraded(config, tmp_path):
    assert "obsvc db upgrade" in _ends(config({}), "engine")


def test_another_partition_count(config):
    path = config({})
    _upgrade(path, "--partitions", "64")
    line = _ends(path, "db", "upgrade", "--partitions", "128")
    assert "64" in line and "128" in line


@pytest.mark.parametrize("url", ["nonsense", "oracle://host/name", "postgresql+psycopg://127.0.0.1:port/x"])
def test_wrong_database_url(url, config):
    assert "[database] url" in _ends(config({"database": {"url": url}}), "db", "upgrade")


def test_unreachable_database_is_one_line_for_a_command(config):
    port = free_port()
    line = _ends(config({"database": {"url": f"postgresql+psycopg://obsvc@127.0.0.1:{port}/obsvc"}}), "db", "upgrade")
    assert str(port) in line


def test_bad_option_value(config):
    assert "mark_after" in _ends(config({"observer": {"mark_after": "soon"}}), "observer")


def test_missing_configuration_file(tmp_path):
    missing = tmp_path / "none.conf"
    assert str(missing) in _ends(missing, "engine")


@pytest.mark.parametrize(("word", "group"), [("engine", "engine"), ("api", "api")])
def test_port_in_use(word, group, config):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = config({group: {"bind_port": port}})
        _upgrade(path)
        assert str(port) in _ends(path, word)


@pytest.mark.parametrize(("word", "group"), [("engine", "engine"), ("api", "api")])
def test_noauth_binds_loopback_only(word, group, config):
    path = config({group: {"bind_host": "0.0.0.0"}})
    _upgrade(path)
    line = _ends(path, word)
    assert "noauth" in line and "0.0.0.0" in line


def test_observer_without_a_bus(config):
    with _engine(config({})):
        assert "[buses] names" in _ends(config({"buses": {"names": ""}}), "observer")


def test_observer_that_expects_another_partition_count(config):
    with _engine(config({}), "--partitions", "64"):
        line = _ends(config({"coordination": {"partitions": 128}}), "observer")
        assert "64" in line and "128" in line


def test_observer_whose_engine_is_another_service_of_obsvc(config):
    health = HealthServer("127.0.0.1", 0, lambda: None).start()
    try:
        line = _ends(config({"engine_client": {"endpoints": f"http://127.0.0.1:{health.port}"}}), "observer")
    finally:
        health.stop()
    assert f"http://127.0.0.1:{health.port}/v1/info" in line and "check the address" in line


def test_observer_waits_for_the_engine(config, tmp_path):
    port = free_port()
    path = config({"engine_client": {"endpoints": f"http://127.0.0.1:{port}"}})
    _waits(path, tmp_path, "observer", "engine", str(port))


def test_worker_waits_for_the_engine(config, tmp_path):
    port = free_port()
    path = config({"engine_client": {"endpoints": f"http://127.0.0.1:{port}"}})
    _waits(path, tmp_path, "worker", "engine", str(port))


def test_observer_waits_for_the_broker(config, tmp_path):
    broker = free_port()
    path = config({"bus:cloud": {"url": f"amqp://guest:hidden-word@127.0.0.1:{broker}//"}})
    with _engine(path):
        _waits(path, tmp_path, "observer", "cloud", str(broker))
        assert "hidden-word" not in (tmp_path / "observer.log").read_text()


def test_observer_waits_for_coordination(config, tmp_path):
    etcd = free_port()
    path = config({"coordination": {"backend_urls": f"etcd3+http://127.0.0.1:{etcd}"}})
    with _engine(path):
        _waits(path, tmp_path, "observer", str(etcd))
