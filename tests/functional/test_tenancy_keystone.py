"""The tenancy matrix behind a real Keystone and keystonemiddleware: tokens with the roles that Keystone gives."""
from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from obsvc.cmd import settings_file
from obsvc.engine_client.http import HttpEngine
from tests.functional.deployment import Deployment, Process, SimulatedCloud, http_json, obsvc
from tests.functional.keystone import PASSWORD, Keystone
from tests.functional.servers import free_port, wait_until
from tests.tenancy import CALLERS, MATRIX, Stage, secrets

pytestmark = pytest.mark.xdist_group("keystone")  # one Keystone for all

#: The role of each caller, and what it is on.
ROLES = {"other": ("member", "theirs"), "reader": ("reader", "ours"), "member": ("member", "ours"),
         "manager": ("manager", "ours"), "admin": ("admin", "third"), "service": ("service", "third"),
         "system": ("reader", None)}


@pytest.fixture(scope="module")
def keystone(tmp_path_factory):
    made = Keystone(tmp_path_factory.mktemp("keystone"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def behind_keystone(tmp_path_factory, keystone):
    """(address of an API, its stage, tokens by caller)."""
    folder, port = tmp_path_factory.mktemp("tenancy"), free_port()
    projects = {name: keystone.project(name) for name in ("ours", "theirs", "third")}
    tokens = {}
    for caller, (role, name) in ROLES.items():
        keystone.user(f"user-{caller}", role, f"projects/{projects[name]}" if name else "system")
        scope = {"project": {"id": projects[name]}} if name else {"system": {"all": True}}
        tokens[caller] = keystone.token(f"user-{caller}", scope)
    deployment = Deployment(
        folder, database=f"sqlite:///{folder}/obsvc.sqlite", coordination=f"file://{folder}/members",
        bus=f"filesystem://{folder}/bus", cloud=SimulatedCloud(folder, None), observers=0, workers=0, partitions=8)
    deployment.upgrade_database()
    extra = settings_file.write(folder / "keystone.conf", {
        "api": {"auth_strategy": "keystone", "bind_port": port},
        "keystone_authtoken": {
            "auth_type": "password", "auth_url": keystone.url, "www_authenticate_uri": keystone.url,
            "username": "admin", "password": PASSWORD, "project_name": "admin", "user_domain_id": "default",
            "project_domain_id": "default"}})
    api = Process("api-keystone", obsvc("api", config=[deployment.config, extra]), folder)
    try:
        deployment.processes["engine-1"].start()
        deployment.wait_ready("engine-1")
        api.start()
        wait_until(lambda: http_json(f"http://127.0.0.1:{port}/readyz"), bound=60, what="the API behind Keystone")
        engine = HttpEngine([f"http://127.0.0.1:{deployment.engine_ports[0]}"])
        yield f"http://127.0.0.1:{port}", Stage(engine, projects["ours"]), tokens
    finally:
        api.kill()
        deployment.__exit__()


@pytest.mark.parametrize("operation", sorted(MATRIX), ids=" ".join)
def test_who_may(behind_keystone, operation):
    url, stage, tokens = behind_keystone
    row, found = MATRIX[operation], {}
    for caller in CALLERS:
        body = row.body(stage) if row.body else None
        found[caller], text = ask(url + row.path(stage), operation[0], tokens.get(caller), body)
        if caller in ("none", "other"):
            assert not [each for each in secrets(stage) if each in text], text
    assert found == dict(zip(CALLERS, row.statuses, strict=True))


def test_what_keystone_did_not_give_is_no_identity(behind_keystone):
    url, stage, tokens = behind_keystone
    claims = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-Project-Id": stage.project, "X-User-Id": "me"}
    for headers in (claims, claims | {"X-Auth-Token": "no-token"}, {"X-Auth-Token": tokens["admin"][:-2]}):
        assert answer(f"{url}/v1/members", "GET", headers)[0] == 401
    headers = claims | {"X-Auth-Token": tokens["other"]}
    server = f"{url}/v1/resources/{stage.server.resource_type}/{stage.server.resource_id}"
    assert [answer(each, "GET", headers)[0] for each in (f"{url}/v1/members", server)] == [403, 404]


def ask(url, method, token, body):
    return answer(url, method, {"X-Auth-Token": token} if token else {}, body)


def answer(url, method, headers, body=None):
    request = urllib.request.Request(url, method=method, headers={"Content-Type": "application/json"} | headers,
                                     data=None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
