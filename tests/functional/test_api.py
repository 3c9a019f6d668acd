"""The API as a process over a real engine process: the client library, the commands, HTTP basic authentication."""
from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import bcrypt
import psutil
import pytest

from obsvc import conf as obsvc_conf
from obsvc.client import Client, auth
from obsvc.cloud.sessions import CloudSessions
from obsvc.cmd import settings_file
from obsvc.exceptions import Conflict, Forbidden, InvalidInput, NotFound, ObsvcError, Unavailable
from tests.support.processes.deployment import Deployment, Process, SimulatedCloud, http_json, obsvc
from tests.support.processes.servers import free_port, wait_until

TEMPLATE = "heat_template_version: 2021-04-16\nresources:\n  one: {type: Sim::Resource, properties: {size: 1}}\n"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    """An engine and an API; no observer, no worker: nothing moves by itself."""
    folder = tmp_path_factory.mktemp("api")
    made = Deployment(folder, database=f"sqlite:///{folder}/obsvc.sqlite", coordination=f"file://{folder}/members",
                      bus=f"filesystem://{folder}/bus", cloud=SimulatedCloud(folder, None), observers=0, workers=0,
                      partitions=16)
    made.upgrade_database()
    try:
        for name in ("engine-1", "api"):
            made.processes[name].start()
            made.wait_ready(name)
        yield made
    finally:
        made.__exit__()


@pytest.fixture
def client(deployment):
    return Client(deployment.api_url)


def test_the_client_library_over_the_wire(client):
    started = client.start_observation("compute.server", "srv-1", goal="active", timeout=600, labels={"a": "b"})
    assert client.observation(started.observation_id) == started
    again = client.start_observation("compute.server", "srv-1", goal="active", timeout=600, labels={"a": "b"})
    assert again.observation_id == started.observation_id
    assert [each.observation_id for each in client.observations(resource_id="srv-1")] == [started.observation_id]
    waited = client.wait_observation(started.observation_id, timeout=0.2)
    assert waited.timed_out and waited.observation.status == "waiting"
    assert client.resource("compute.server", "srv-1").snapshot is None
    assert client.check("compute.server", "srv-1")["mark"] >= 1
    assert client.changes().changes == ()
    owner = client.owner("compute.server", "srv-1")
    assert owner.owner is None and owner.intended is None and "no member" in owner.note
    assert client.partition(owner.partition).why == owner.why
    client.stop_observation(started.observation_id)
    with pytest.raises(NotFound):
        client.observation(started.observation_id)
    with pytest.raises(InvalidInput, match="compute.sever"):
        client.start_observation("compute.sever", "x")


def test_stacks_by_the_client(client):
    stack = client.create_stack("one", TEMPLATE)
    assert stack.in_progress and client.stack("one").stack_id == stack.stack_id
    assert [node.name for node in client.stack_nodes("one")] == ["one"]
    events = client.stack_events("one")
    assert client.stack_events("one", after=events[-1].event_id, wait=0.2) == ()
    assert client.wait_stack("one", timeout=0.2).in_progress
    with pytest.raises(Conflict):
        client.create_stack("one", TEMPLATE)
    with pytest.raises(ObsvcError, match="template"):
        client.create_stack("two", "resources: 1")
    client.delete_stack("one")


def test_commands_in_a_table_and_as_json(deployment, tmp_path):
    template = tmp_path / "hot.yaml"
    template.write_text(TEMPLATE)
    made = deployment.run_json("stack", "create", "cli", "-t", str(template))
    assert made["status"] == "CREATE_IN_PROGRESS" and isinstance(made["created_at"], float)
    assert deployment.run_json("stack", "show", "cli")["resources"][0]["name"] == "one"
    assert "cli" in deployment.run("stack", "list").stdout
    assert [each["name"] for each in deployment.run_json("stack", "list") if each["name"] == "cli"] == ["cli"]
    assert deployment.run_json("stack", "events", "cli")[0]["event_id"] == 1

    started = deployment.run_json("observation", "start", "sim.resource", "r1", "--goal", "active", "--timeout", "10m")
    assert started["deadline"] - started["started_at"] == pytest.approx(600, abs=1)
    shown = deployment.run_json("observation", "show", started["observation_id"])
    assert shown["condition"] is None and shown["status"] == "waiting"
    waited = deployment.run("observation", "wait", started["observation_id"], "--timeout", "0.2", check=False)
    assert waited.returncode == 1 and "waiting" in waited.stdout
    assert started["observation_id"] in deployment.run("observation", "list").stdout
    deployment.run("observation", "stop", started["observation_id"])

    assert deployment.run_json("member", "list") == []
    rows = deployment.run_json("partition", "list")
    assert [row["partition"] for row in rows] == list(range(16)) and rows[0]["owner"] is None
    assert deployment.run_json("partition", "show", "3")["generation"] == 0
    assert deployment.run_json("dead-letter", "list") == []
    assert "no dead letter 1" in deployment.run("dead-letter", "replay", "1", check=False).stderr
    who = deployment.run_json("who", "sim.resource", "r1")
    assert list(who)[:4] == ["resource_type", "resource_id", "partition", "granted_owner"]
    assert deployment.run("stack", "delete", "cli").stdout == ""


@pytest.mark.parametrize(("words", "message"), [
    (("stack", "show", "none"), "none"), (("observation", "stop", "x"), "no observation x"),
    (("partition", "show", "16"), "no partition 16"), (("stack", "create", "s", "-t", "/none"), "--template"),
])
def test_a_failed_command_is_one_line(deployment, words, message):
    done = deployment.run(*words, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("obsvc: ") and done.stderr.count("\n") == 1 and message in done.stderr


def test_no_api_is_one_line_that_says_what_to_do():
    with pytest.raises(Unavailable, match="--api-url"):
        Client(f"http://127.0.0.1:{free_port()}").members()


def test_http_basic_asks_for_a_password(deployment, tmp_path):
    users, port = tmp_path / "htpasswd", free_port()
    users.write_text("sre:" + bcrypt.hashpw(b"open", bcrypt.gensalt(4)).decode() + "\n")
    extra = settings_file.write(tmp_path / "basic.conf", {"api": {
        "auth_strategy": "http_basic", "http_basic_auth_user_file": users, "bind_port": port}})
    process = Process("api-basic", obsvc("api", config=[deployment.config, extra]), tmp_path).start()
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: http_json(f"{url}/readyz"), bound=60, what="the API with passwords")
        for _ in range(2):  # the same after somebody came in
            for wrong in (None, auth.from_options(user="sre:shut"), auth.from_options(token="nonsense")):
                with pytest.raises(ObsvcError) as caught:
                    Client(url, auth=wrong).partitions()
                assert caught.value.code == "unauthorized"
            assert len(Client(url, auth=auth.from_options(user="sre:open")).partitions()) == 16
        assert process.stop() == 0
    finally:
        process.kill()


def test_keystone_tells_who_asks(deployment, tmp_path):
    """Real keystonemiddleware against the simulated Keystone: each project sees its own stacks only."""
    cloud, port = SimulatedCloud(tmp_path, None).start(), free_port()
    service = cloud.auth_options("obsvc")
    extra = settings_file.write(tmp_path / "keystone.conf", {
        "api": {"auth_strategy": "keystone", "bind_port": port},
        "keystone_authtoken": {**service, "www_authenticate_uri": service["auth_url"]}})
    process = Process("api-keystone", obsvc("api", config=[deployment.config, extra]), tmp_path).start()
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: http_json(f"{url}/readyz"), bound=60, what="the API behind Keystone")
        with pytest.raises(ObsvcError) as caught:
            Client(url).members()
        assert caught.value.code == "unauthorized"
        with pytest.raises(ObsvcError, match="token"):
            Client(url, auth=auth.from_options(token="nonsense")).members()
        ann, ben, admin = (
            Client(url, auth=auth.from_options(token=_token(tmp_path, cloud, user, project)))
            for user, project in (("ann", "demo"), ("ben", "service"), ("admin", "demo")))
        ann.create_stack("hers", TEMPLATE)
        assert ann.stack("hers").project_id and [each.name for each in ann.stacks()] == ["hers"]
        assert list(ben.stacks()) == []
        with pytest.raises(NotFound):
            ben.stack("hers")
        with pytest.raises(Forbidden):
            ann.members()
        assert admin.members() == () and "hers" in [each.name for each in admin.stacks()]
        ann.delete_stack("hers")
    finally:
        process.kill()
        cloud.process.kill()


def test_an_identity_service_that_is_away_is_said_so(deployment, tmp_path):
    """No 401: who took a new token for it would meet the same.  Open paths need nobody."""
    port = free_port()
    extra = settings_file.write(tmp_path / "away.conf", {
        "api": {"auth_strategy": "keystone", "bind_port": port},
        "keystone_authtoken": {
            "auth_type": "password", "auth_url": f"http://127.0.0.1:{free_port()}/v3", "username": "obsvc",
            "password": "x", "project_name": "service", "user_domain_id": "default", "project_domain_id": "default"}})
    process = Process("api-away", obsvc("api", config=[deployment.config, extra]), tmp_path).start()
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: http_json(f"{url}/readyz"), bound=60, what="the API without Keystone")
        request = urllib.request.Request(f"{url}/v1/members", headers={"X-Auth-Token": "a-token"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=60)
        error = json.loads(caught.value.read())["error"]
        assert (caught.value.code, error["code"], caught.value.headers["Retry-After"]) == (503, "unavailable", "1")
        assert "identity service" in error["message"]
        assert error["request_id"] == caught.value.headers["X-Openstack-Request-Id"]
        open_path = urllib.request.Request(f"{url}/healthz", headers={"X-Auth-Token": "a-token"})
        assert urllib.request.urlopen(open_path, timeout=60).status == 200
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/v1/members", timeout=60)
    finally:
        process.kill()
    assert "a token can't be checked" in process.output()


def _token(folder, cloud, user, project):
    path = settings_file.write(folder / f"{user}.conf",
                               {"cloud": {**cloud.auth_options(user), "project_name": project}})
    sessions = CloudSessions.from_conf(obsvc_conf.load([], config_files=[str(path)]), "obsvc/0 (test)")
    return sessions.adapter("RegionOne", "compute").get_token()


@pytest.mark.parametrize(("options", "words"), [
    ({"api": {"auth_strategy": "keystone"}}, "keystone_authtoken"),
    ({"api": {"auth_strategy": "http_basic", "http_basic_auth_user_file": "/none"}}, "/none"),
    ({"api": {"bind_host": "0.0.0.0"}}, "loopback"),
    ({"coordination": {"backend_urls": "ftp://x"}}, "ftp"),
])
def test_a_wrong_start_is_one_last_line(deployment, tmp_path, options, words):
    extra = settings_file.write(tmp_path / "wrong.conf", options)
    done = subprocess.run(obsvc("api", config=[deployment.config, extra]), capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("obsvc: ") and words in last


def test_the_api_waits_for_its_engine_and_says_so(deployment):
    port = free_port()
    folder = deployment.folder
    extra = settings_file.write(folder / "lonely.conf", {
        "api": {"bind_port": port}, "engine_client": {"endpoints": f"http://127.0.0.1:{free_port()}", "timeout": 1}})
    process = Process("api-lonely", obsvc("api", config=[deployment.config, extra]), folder).start()
    try:
        wait_until(lambda: http_json(f"http://127.0.0.1:{port}/healthz"), bound=60, what="an API without engine")
        with pytest.raises(Unavailable):
            Client(f"http://127.0.0.1:{port}").members()
    finally:
        process.kill()
    assert "Traceback" not in process.output()


def test_output_is_json_for_machines(deployment):
    done = deployment.run("partition", "list", "-f", "value", "-c", "partition")
    assert done.stdout.split() == [str(number) for number in range(16)]
    assert json.loads(deployment.run("partition", "list", "-f", "json").stdout)[5]["partition"] == 5


@pytest.mark.parametrize(("request_bytes", "status", "code"), [
    (b"GET /v1/changes?label=" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
    (b"GET /v1/changes HTTP/1.1\r\n" + b"X-Filler: x\r\n" * 300 + b"\r\n", 431, "headers_too_large"),
    (b"GET /v1/changes HTTP/1.1\r\nX Filler: x\r\n\r\n", 400, "invalid_input"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 to https?\r\n\r\n", 400, "invalid_input"),
])
def test_what_never_reaches_the_application_is_refused_in_the_same_shape(deployment, request_bytes, status, code):
    for url in (deployment.api_url, f"http://127.0.0.1:{deployment.engine_ports[0]}"):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as connection:
            connection.sendall(request_bytes)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            error = json.loads(answer.read())["error"]
        assert (answer.status, error["code"]) == (status, code)
        assert error["expected"] and error["remedy"] and "\n" not in error["message"]
        assert error["request_id"] == answer.headers["X-Openstack-Request-Id"]


@contextlib.contextmanager
def another_api(deployment, client, folder, *, stack, threads):
    """One more API process with few threads, and an unfinished stack to wait for: the process and its address."""
    client.create_stack(stack, TEMPLATE)
    port = free_port()
    own = settings_file.write(folder / "another.conf", {"api": {"bind_port": port, "threads": threads}})
    api = Process("another", obsvc("api", config=[deployment.config, own]), folder).start()
    try:
        wait_until(lambda: http_json(f"http://127.0.0.1:{port}/readyz"), bound=60, what="another API")
        yield api, f"http://127.0.0.1:{port}"
    finally:
        api.kill()
        client.delete_stack(stack)


def test_a_stopping_api_answers_its_long_polls_before_it_ends(deployment, tmp_path, client):
    with another_api(deployment, client, tmp_path, stack="stopping", threads=8) as (api, url):
        answers = []

        def poll():
            with pytest.raises(urllib.error.HTTPError) as refused:
                http_json(f"{url}/v1/stacks/stopping?wait=50", timeout=70)
            answers.append((refused.value.code, json.load(refused.value)["error"]["code"]))

        waiting = [threading.Thread(target=poll) for _ in range(4)]
        for thread in waiting:
            thread.start()
        engine = deployment.engine_ports[0]
        wait_until(lambda: connections(api.pid, to=engine) >= 4, bound=30, what="long polls at the engine")
        assert api.stop() == 0, api.output()
        for thread in waiting:
            thread.join(30)
        assert answers == [(503, "unavailable")] * 4, api.output()


def connections(pid, *, to):
    """Established connections of a process and its children to a port."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(one.status == psutil.CONN_ESTABLISHED and one.raddr.port == to
               for each in family for one in each.net_connections("tcp"))


def test_health_is_answered_while_every_other_thread_waits(deployment, tmp_path, client):
    with another_api(deployment, client, tmp_path, stack="crowded", threads=6) as (_, url):

        def poll():
            with contextlib.suppress(OSError, http.client.HTTPException):  # the API is killed in the end
                http_json(f"{url}/v1/stacks/crowded?wait=50", timeout=70)

        waiting = [threading.Thread(target=poll, daemon=True) for _ in range(12)]
        for thread in waiting:
            thread.start()
        # those above the limit are answered soon, the others wait on
        wait_until(lambda: sum(thread.is_alive() for thread in waiting) == 3, bound=30, what="three that may wait")
        assert http_json(f"{url}/healthz", timeout=10) == {"status": "up"}
