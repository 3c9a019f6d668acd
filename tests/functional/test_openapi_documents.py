"""schemathesis against both OpenAPI documents and real processes: no 5xx, no status or shape that they do not name."""
from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tests.support.processes.deployment import Deployment, SimulatedCloud

HERE = pathlib.Path(__file__).parent

#: The minute tries the same each time, as far as its time goes: what it finds was changed by who runs it.  The ten
#: minutes look for what is new.
SAME = ("--seed", "20261123")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    """An engine and an API; no observer, no worker."""
    folder = tmp_path_factory.mktemp("openapi")
    made = Deployment(folder, database=f"sqlite:///{folder}/obsvc.sqlite", coordination=f"file://{folder}/members",
                      bus=f"filesystem://{folder}/bus", cloud=SimulatedCloud(folder, None), observers=0, workers=0,
                      partitions=16, options={"api": {"max_wait": 2, "max_watch": 2}})
    made.upgrade_database()
    try:
        for name in ("engine-1", "api"):
            made.processes[name].start()
            made.wait_ready(name)
        yield made
    finally:
        made.__exit__()


def hold(url: str, config: str, folder: pathlib.Path, seconds: int, *options: str) -> None:
    """Run schemathesis with all checks for so many seconds."""
    done = subprocess.run(
        [str(pathlib.Path(sys.executable).with_name("st")), "--config-file", str(HERE / config), "run",
         f"{url}/v1/openapi.json", "--checks", "all", "--max-time", str(seconds), "--max-response-time", "80",
         "--no-color", "--continue-on-failure", "--warnings", "off", "--workers", "2", *options],
        cwd=folder, capture_output=True, text=True, check=False, timeout=seconds + 240)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@pytest.mark.timeout(400)
def test_the_public_document_for_a_minute(deployment, tmp_path):
    hold(deployment.api_url, "schemathesis.toml", tmp_path, 60, *SAME)


@pytest.mark.timeout(400)
def test_the_engines_document_for_a_minute(deployment, tmp_path):
    hold(f"http://127.0.0.1:{deployment.engine_ports[0]}", "schemathesis_engine.toml", tmp_path, 60, *SAME)


@pytest.mark.long
@pytest.mark.timeout(1000)
def test_the_public_document_for_ten_minutes(deployment, tmp_path):
    hold(deployment.api_url, "schemathesis.toml", tmp_path, 600)


@pytest.mark.long
@pytest.mark.timeout(1000)
def test_the_engines_document_for_ten_minutes(deployment, tmp_path):
    hold(f"http://127.0.0.1:{deployment.engine_ports[0]}", "schemathesis_engine.toml", tmp_path, 600)
