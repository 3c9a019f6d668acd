"""Everything that the documents of the API show is run as it stands there: commands, requests, the controller."""
from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from obsvc.client import Client
from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.servers import wait_until
from tests.support.processes.watching import Watching

DOCS = pathlib.Path(__file__).parents[2] / "docs"
API, STACKS = (DOCS / "api.md").read_text(), (DOCS / "engine-authors.md").read_text()
BOUND = 60.0
TEMPLATE = """heat_template_version: 2021-04-16
parameters: {image: {type: string}}
resources:
  one: {type: Sim::Resource, properties: {image: {get_param: image}}}
"""


def blocks(page: str, language: str) -> list[str]:
    """The text of each fence of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def requests(page: str) -> list[tuple[str, str, str]]:
    """(method, path, body) of every request that the page shows, as it stands there."""
    return [found for block in blocks(page, "http")
            for found in re.findall(r"^(GET|POST|PUT|DELETE) +(\S+) *(\{.*\})?.*$", block, re.MULTILINE)]


COMMANDS = [line for block in blocks(API, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    bus = f"filesystem://{folder}/bus"
    cloud = SimulatedCloud(folder, bus, "--build-time", "1").start()
    try:
        with Deployment(folder, database=f"sqlite:///{folder}/obsvc.sqlite", coordination=f"file://{folder}/members",
                        bus=bus, cloud=cloud, workers=1, partitions=16) as made:
            yield made
    finally:
        cloud.process.kill()


@pytest.fixture(scope="module")
def user(deployment):
    return Watching(deployment, deployment.cloud)


def ask(deployment, method: str, path: str, body: str) -> tuple[int, str]:
    request = urllib.request.Request(deployment.api_url + path, body.encode() or None,
                                     {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=BOUND) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_documents_were_searched():
    assert len(COMMANDS) >= 5 and len(requests(API)) >= 15 and len(requests(STACKS)) >= 8
    assert not re.findall(r"^```\n(?:GET|POST|PUT|DELETE|obsvc) ", API + STACKS, re.MULTILINE)


def test_the_commands(deployment, user):
    [server] = user.create_servers()
    wait_until(lambda: not Client(deployment.api_url).status().problems, bound=BOUND, what="all is well")
    for line in COMMANDS:
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, timeout=2 * BOUND, check=False,
            env={**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}", "SERVER": server,
                 "OBSVC_API_URL": deployment.api_url})
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_requests(deployment, user):
    [server] = user.create_servers()
    names = {"id": server, "version": "0"}
    for method, path, body in requests(API):
        fill = lambda text: re.sub(r"<(\w+)>", lambda found: names[found[1]], text)  # noqa: E731
        status, text = ask(deployment, method, fill(path), fill(body))
        assert status < 300, f"{method} {path}: {status} {text}"
        for name in ("observation", "selector"):
            if method == "POST" and path == f"/v1/{name}s":
                names[name] = json.loads(text)[f"{name}_id"]


def test_the_requests_of_stacks(deployment):
    template = json.dumps(TEMPLATE)[1:-1]
    for method, path, body in requests(STACKS):
        status, text = ask(deployment, method, path, body.replace("<HOT>", template))
        assert status < 300 or status == 409, f"{method} {path}: {status} {text}"


def test_the_controller(deployment, user, tmp_path):
    [code] = blocks(API, "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 35
    script = tmp_path / "controller.py"
    script.write_text(code)
    servers = user.create_servers(2)
    with (tmp_path / "output").open("w+") as output:
        controller = subprocess.Popen(
            [sys.executable, script, *servers], stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "OBSVC_API_URL": deployment.api_url})
        try:
            said = (tmp_path / "output").read_text
            wait_until(lambda: all(f"{each} serves" in said() for each in servers), bound=BOUND, what="both to serve")
            for server in servers:
                user.service("compute").delete(f"/servers/{server}")
            assert controller.wait(BOUND) == 0, said()
            assert all(f"{each} is gone" in said() for each in servers)
        finally:
            controller.kill()
    left = Client(deployment.api_url).observations(resource_type="compute.server")
    assert not [each for each in left if each.resource_id in servers]
