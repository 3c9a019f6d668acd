"""The tenancy matrix behind a real Keystone and keystonemiddleware: tokens with the roles that Keystone gives."""
from __future__ import annotations

import json
import random
import re
import statistics
import time
import urllib.error
import urllib.request
from collections import defaultdict

import pytest

from obsvc.cmd import settings_file
from obsvc.engine_client.http import HttpEngine
from obsvc.engine_client.observations import ObservationsRequest
from tests.support.processes.deployment import Deployment, Process, SimulatedCloud, http_json, obsvc
from tests.support.processes.keystone import PASSWORD, Keystone
from tests.support.processes.servers import free_port, wait_until
from tests.support.tenancy import CALLERS, MATRIX, Stage, secrets

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


#: What a foreign tenant may try: method, path and body, with ``{}`` for the id of a resource, or of an observation,
#: stack or selector.
WAYS = {
    "resource": [
        ("GET", "/v1/resources/compute.server/{}", None), ("GET", "/v1/resources/compute.server/{}?trail=true", None),
        ("GET", "/v1/resources/compute.server/{}?wait=1&since=0", None),
        ("GET", "/v1/resources/compute.server/{}?wait=1&until=active", None),
        ("GET", "/v1/resources/compute.server/{}/owner", None), ("POST", "/v1/resources/compute.server/{}/check", None),
        ("GET", "/v1/resources?resource_id={}", None), ("GET", "/v1/resources?resource_id={}&label=of=the+stage", None),
        ("GET", "/v1/observations?resource_id={}", None), ("GET", "/v1/changes?since=0&resource_id={}", None),
        ("GET", "/v1/watch?since=0&timeout=0&resource_id={}", None),
    ],
    "observation": [
        ("GET", "/v1/observations/{}", None), ("GET", "/v1/observations/{}/wait?timeout=1", None),
        ("DELETE", "/v1/observations/{}", None), ("POST", "/v1/observations/stop", {"observation_ids": ["{}"]}),
    ],
    "stack": [
        ("GET", "/v1/stacks/{}", None), ("GET", "/v1/stacks/{}/resources", None), ("GET", "/v1/stacks/{}/events", None),
        ("POST", "/v1/stacks/{}/rollback", None), ("POST", "/v1/stacks/{}/resume", None),
        ("DELETE", "/v1/stacks/{}", None), ("POST", "/v1/observations", {"stack": "{}"}),
        ("GET", "/v1/observations?stack_id={}", None), ("GET", "/v1/changes?since=0&stack_id={}", None),
    ],
    "selector": [("GET", "/v1/selectors/{}", None), ("DELETE", "/v1/selectors/{}", None)],
}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_foreign_tenant_tries_for_a_minute(behind_keystone):
    """Another's and nobody's are the same answer to the letter, each time; how long each took is printed."""
    url, stage, tokens = behind_keystone
    foreign = {"resource": stage.server.resource_id, "observation": stage.observation(), "stack": stage.stack(),
               "selector": stage.selector()}
    missing = {kind: "0" * len(each) for kind, each in foreign.items()}
    answers, took = defaultdict(set), defaultdict(list)
    tries = [(kind, way, whose) for kind, ways in WAYS.items() for way in ways for whose in ("foreign", "missing")]
    chance, end = random.Random(1), time.monotonic() + 60
    while time.monotonic() < end or len(answers) < len(tries):
        kind, (method, path, body), whose = chance.choice(tries)
        one = (foreign if whose == "foreign" else missing)[kind]
        sent = None if body is None else json.loads(json.dumps(body).replace("{}", one))
        began = time.perf_counter()
        status, text = ask(url + path.format(one), method, tokens["other"], sent)
        if status == 429:  # a tenant may ask so often and no oftener
            time.sleep(0.1)
            continue
        took[whose].append(time.perf_counter() - began)
        assert not [secret for secret in secrets(stage) if secret in text], text
        told = re.sub(r"req-[0-9a-f-]{36}", "REQUEST", text.replace(one, "ID"))
        answers[kind, method, path, whose].add((status, told))
    for kind, ways in WAYS.items():
        for method, path, _ in ways:
            assert answers[kind, method, path, "foreign"] == answers[kind, method, path, "missing"], (method, path)
            assert len(answers[kind, method, path, "foreign"]) == 1
    for whose, seconds in took.items():
        print(f"{whose}: {len(seconds)} tries, median {statistics.median(seconds) * 1000:.2f} ms, "
              f"p99 {sorted(seconds)[int(0.99 * len(seconds))] * 1000:.2f} ms")
    there = stage.engine.list_observations(ObservationsRequest(project_id=stage.project)).observations
    assert foreign["observation"] in [each.observation_id for each in there], "it was not stopped"


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
