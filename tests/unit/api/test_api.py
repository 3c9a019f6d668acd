"""The public API over a real engine (SQLite in memory), without a server: answers, refusals, tenancy."""
from __future__ import annotations

import falcon.testing
import pytest

from obsvc import conf as obsvc_conf
from obsvc.api.access import auth, policy
from obsvc.api.access.policy import Policy
from obsvc.api.app import make_app
from obsvc.api.caller import OPERATOR, Caller
from obsvc.api.context import Api
from obsvc.api.ring import Ring
from obsvc.engine_client.contract import CONTRACT_VERSION
from obsvc.engine_client.duties import DutyBegin, DutyEnd, DutySpec, EnsureDutiesRequest, RecallCount
from obsvc.engine_client.ownership import Beat, ClaimReason, ClaimRequest, MemberState, PartitionClaim
from obsvc.exceptions import ConfigError, Forbidden, Unauthorized
from obsvc.model import Condition, MemberId, partition, partition_of_id
from obsvc.process.clock import ManualClock
from tests.support.in_memory_api import MEMBER, SERVER, TEMPLATE, P, project

OTHER = MemberId("obs-2", "b")
def test_version_document(api):
    api.caller = None
    assert api.get("/").json["versions"][0]["id"] == "v1"
    assert api.get("/healthz").status_code == 200 and api.get("/readyz").json["ready"] is True


def test_an_observation_from_start_to_stop(api):
    started = api.start(goal="active", timeout=60, labels={"a": "b"})
    assert started.status_code == 201
    found = started.json
    assert (found["resource_id"], found["region"], found["goal"]) == ("srv-1", "RegionOne", "active")
    assert found["status"] == "waiting" and found["stack_id"] is None and found["deadline"] == api.clock.time() + 60
    path = f"/v1/observations/{found['observation_id']}"
    assert api.get(path).json == found
    assert api.get("/v1/observations?resource_id=srv-1").json["observations"] == [found]
    assert api.get("/v1/observations?resource_id=else").json["observations"] == []
    assert api.http.simulate_delete(path).status_code == 204
    assert api.get(path).status_code == 404 and api.http.simulate_delete(path).status_code == 404


def test_several_at_once_and_a_stack_of_refs(api):
    two = [{"resource_type": "sim.resource", "resource_id": each} for each in "ab"]
    assert len(api.http.simulate_post("/v1/observations", json=two).json["observations"]) == 2
    assert len(api.http.simulate_post("/v1/observations", json={"observations": two}).json["observations"]) == 2


@pytest.mark.parametrize(("body", "words"), [
    ({"resource_type": "compute.server"}, "resource_id"),
    ({"resource_type": "compute.sever", "resource_id": "x"}, "compute.server"),
    ({"resource_type": "compute.server", "resource_id": "x", "goal": "done"}, "goal"),
    ({"resource_type": "compute.server", "resource_id": "x", "gaol": "active"}, "gaol"),
    ({"resource_type": "compute.server", "resource_id": "x", "timeout": -1}, "timeout"),
    ({"resource_type": "compute.server", "resource_id": ""}, "resource_id"),
    ({"observations": [{"resource_type": "compute.server", "resource_id": "x"}], "gaol": 1}, "gaol"),
    ({"observations": {"resource_type": "compute.server", "resource_id": "x"}}, "array"),
    ([], "1 to"),
    ("text", "body"),
])
def test_a_wrong_start_names_what_is_wrong(api, body, words):
    answer = api.http.simulate_post("/v1/observations", json=body)
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "invalid_input" and words in answer.json["error"]["message"]


@pytest.mark.parametrize("path", [
    "/v1/observations?limit=0", "/v1/observations?limit=x", "/v1/observations?colour=red", "/v1/changes?wait=-1",
    "/v1/changes?wait=nan", "/v1/partitions?differs=perhaps", "/v1/partitions/x", "/v1/stacks?marker=a&marker=b",
])
def test_a_wrong_query_is_refused(api, path):
    answer = api.get(path)
    assert answer.status_code == 400 and set(answer.json["error"]) >= {"code", "message"}


def test_errors_have_one_shape(api):
    for answer in (api.get("/v1/nothing"), api.http.simulate_patch("/v1/stacks"), api.get("/v1/stacks/none"),
                   api.http.simulate_post("/v1/stacks", body=b"{"), api.get("/v1/resources/compute.server/x")):
        assert answer.status_code >= 400 and isinstance(answer.json["error"]["message"], str)


def test_reading_waiting_and_following(api):
    api.own()
    observation_id = api.start(goal="active").json["observation_id"]
    waited = api.get(f"/v1/observations/{observation_id}/wait?timeout=0").json
    assert waited["timed_out"] and waited["observation"]["status"] == "waiting"
    assert api.see(SERVER, Condition.ACTIVE, project_id="p1", name="web").version == 1
    waited = api.get(f"/v1/observations/{observation_id}/wait?timeout=1").json
    assert not waited["timed_out"] and waited["observation"]["status"] == "met"
    assert waited["resource"]["snapshot"]["name"] == "web"
    resource = api.get("/v1/resources/compute.server/srv-1").json
    assert (resource["version"], resource["snapshot"]["condition"], resource["mark"]) == (1, "active", None)
    page = api.get("/v1/changes?since=0").json
    assert [each["resource_id"] for each in page["changes"]] == ["srv-1"] and page["next"] == 1
    assert api.get("/v1/changes?since=1").json == {"changes": [], "next": 1}
    checked = api.http.simulate_post("/v1/resources/compute.server/srv-1/check")
    assert checked.status_code == 202 and checked.json["mark"] >= 1 and checked.json["version"] == 1


def test_a_wait_ends_when_the_goal_can_not_be_met_any_more(api):
    api.own()
    observation_id = api.start(goal="active").json["observation_id"]
    api.see(SERVER, Condition.ERROR, project_id="p1")
    api.http.simulate_post("/v1/resources/compute.server/srv-1/check")
    assert api.get(f"/v1/observations/{observation_id}/wait?timeout=0").json["timed_out"], "a look is on its way"
    api.see(SERVER, Condition.ERROR, project_id="p1")
    waited = api.get(f"/v1/observations/{observation_id}/wait?timeout=1").json
    assert not waited["timed_out"] and waited["observation"]["status"] == "waiting"


def test_a_ref_in_two_regions_must_be_named(api):
    api.start()
    api.start(region="Two")
    assert api.get("/v1/resources/compute.server/srv-1").status_code == 409
    assert api.get("/v1/resources/compute.server/srv-1?region=Two").json["region"] == "Two"


def test_a_foreign_snapshot_answers_as_a_missing_one(api):
    api.own()
    api.start()
    api.see(SERVER, Condition.ACTIVE, project_id="p1")
    path = "/v1/resources/compute.server/srv-1"
    missing = api.get("/v1/resources/compute.server/none").json
    api.caller = project("p2")
    assert api.get(path).status_code == 404
    assert api.get(path).json == {"error": {**missing["error"], "message": missing["error"]["message"].replace(
        "none", "srv-1")}}
    assert api.get(path + "?region=RegionOne").status_code == 404
    assert api.get(path + "?wait=1&since=0").status_code == 404
    assert api.http.simulate_post(path + "/check").status_code == 404
    assert api.start().status_code == 404
    assert api.get("/v1/changes").json["changes"] == []
    assert api.get("/v1/observations").json["observations"] == []
    for caller in (project("p1"), project("p9", "admin"), project(None, "service")):
        api.caller = caller
        assert api.get(path).json["snapshot"]["project_id"] == "p1"
        assert len(api.get("/v1/changes").json["changes"]) == 1


def test_an_observation_of_what_turns_out_to_be_foreign_is_not_shown(api):
    api.own()
    api.caller = project("p2")
    observation_id = api.start(goal="active").json["observation_id"]
    assert api.get(f"/v1/observations/{observation_id}").status_code == 200
    api.see(SERVER, Condition.ACTIVE, project_id="p1")
    assert api.get(f"/v1/observations/{observation_id}").status_code == 404
    assert api.get(f"/v1/observations/{observation_id}/wait?timeout=0").status_code == 404
    assert api.get("/v1/observations").json["observations"] == []


def test_observations_of_another_project_are_neither_shown_nor_stopped(api):
    api.caller = project("p1")
    observation_id = api.start().json["observation_id"]
    api.caller = project("p2")
    assert api.get(f"/v1/observations/{observation_id}").status_code == 404
    assert api.http.simulate_delete(f"/v1/observations/{observation_id}").status_code == 404
    assert api.get("/v1/observations?project_id=p1").json["observations"] == []


@pytest.mark.parametrize("path", [
    "/v1/members", "/v1/partitions", "/v1/partitions/1", "/v1/dead-letters", "/v1/resources/compute.server/x/owner",
])
def test_the_cluster_is_for_operators(api, path):
    assert api.get(path).status_code == 200
    api.caller = project("p1")
    assert api.get(path).status_code == 403


@pytest.mark.parametrize("caller", [Caller("u", None, ("member", "reader")), Caller("u", "p1", ("nothing",))])
def test_without_a_role_or_a_project_nothing(api, caller):
    api.caller = caller
    for path in ("/v1/observations", "/v1/changes", "/v1/stacks", "/v1/resources/compute.server/x"):
        assert api.get(path).status_code == 403


def test_a_reader_starts_nothing(api):
    api.caller = project("p1", "reader")
    assert api.start().status_code == 403 and api.get("/v1/observations").status_code == 200


def test_stacks(api):
    made = api.http.simulate_post("/v1/stacks", json={"name": "shop", "template": TEMPLATE})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/v1/stacks/{made.json['stack_id']}"
    assert api.get("/v1/stacks/shop?wait=0").json["status"] == "CREATE_IN_PROGRESS"
    assert [each["name"] for each in api.get("/v1/stacks").json["stacks"]] == ["shop"]
    assert [each["name"] for each in api.get("/v1/stacks/shop/resources").json["resources"]] == ["one"]
    events = api.get("/v1/stacks/shop/events").json["events"]
    assert events and events[0]["event_id"] == 1
    assert api.get(f"/v1/stacks/shop/events?after={events[-1]['event_id']}").json["events"] == []
    assert api.http.simulate_post("/v1/stacks", json={"name": "shop", "template": TEMPLATE}).status_code == 409
    assert api.http.simulate_post("/v1/stacks/shop/resume").json["status"] == "CREATE_IN_PROGRESS"
    plan = api.http.simulate_post("/v1/stacks/shop/preview", json={"template": TEMPLATE})
    assert (plan.status_code, plan.json["nodes"][0]["change"]) == (200, "create")
    stopped = api.http.simulate_post("/v1/stacks/shop/cancel", json={"rollback": False})
    assert (stopped.status_code, stopped.json["status"]) == (202, "CREATE_FAILED")
    assert api.http.simulate_post("/v1/stacks/shop/cancel", json={"rollback": False}).status_code == 409
    assert api.http.simulate_post("/v1/stacks/shop/resume").json["status"] == "CREATE_IN_PROGRESS"
    assert api.http.simulate_post("/v1/stacks/shop/rollback").json["status"] == "ROLLBACK_COMPLETE"
    assert api.http.simulate_post("/v1/stacks/shop/rollback").status_code == 409
    changed = api.http.simulate_put("/v1/stacks/shop", json={"template": TEMPLATE})
    assert (changed.status_code, changed.json["status"]) == (202, "UPDATE_IN_PROGRESS")
    assert api.http.simulate_put("/v1/stacks/none", json={"template": TEMPLATE}).status_code == 404
    assert api.http.simulate_put("/v1/stacks/shop", json={"template": "x", "name": "y"}).status_code == 400
    assert api.http.simulate_delete("/v1/stacks/shop").status_code == 202


def test_stacks_of_another_project_are_missing(api):
    api.caller = project("p1")
    assert api.http.simulate_post("/v1/stacks", json={"name": "shop", "template": TEMPLATE}).status_code == 201
    api.caller = project("p2")
    for path in ("/v1/stacks/shop", "/v1/stacks/shop/resources", "/v1/stacks/shop/events"):
        assert api.get(path).status_code == 404
    assert api.http.simulate_delete("/v1/stacks/shop").status_code == 404
    assert api.http.simulate_put("/v1/stacks/shop", json={"template": TEMPLATE}).status_code == 404
    for turn in ("rollback", "cancel", "resume"):
        assert api.http.simulate_post(f"/v1/stacks/shop/{turn}", json={}).status_code == 404
    assert api.get("/v1/stacks").json["stacks"] == []


def test_members_and_partitions_tell_proposal_and_grant(api):
    api.own(0, 1)
    api.members = [MEMBER, OTHER]
    (member,) = api.get("/v1/members").json["members"]
    assert (member["name"], member["granted"], member["intended"], member["in_ring"], member["alive"]) == (
        "obs-1", 2, 4, True, True)
    found = api.get("/v1/partitions").json["partitions"]
    assert [each["intended"] for each in found] == ["obs-1", "obs-2"] * 4
    assert [each["owner"] for each in found[:3]] == [{"name": "obs-1", "incarnation": "a"}] * 2 + [None]
    assert found[0]["generation"] == 1 and found[0]["since"] == api.clock.time()
    assert "proposes obs-2" in found[1]["why"] and "granted it to obs-1 under generation 1" in found[1]["why"]
    numbers = [each["partition"] for each in api.get("/v1/partitions?differs=true").json["partitions"]]
    assert numbers == [1, 2, 3, 4, 5, 6, 7]
    assert len(api.get("/v1/partitions?owner=obs-1").json["partitions"]) == 5
    assert api.get("/v1/partitions/0").json == found[0] and api.get("/v1/partitions/8").status_code == 404
    owner = api.get("/v1/resources/compute.server/srv-1/owner").json
    assert owner["partition"] == partition(SERVER, P) and owner["resource_id"] == "srv-1"
    assert owner["why"] == found[owner["partition"]]["why"]


def test_without_coordination_the_proposal_is_null_with_a_note(api):
    api.own(0)
    api.members = None
    found = api.get("/v1/partitions/0").json
    assert found["intended"] is None and "etcd is away" in found["note"] and found["owner"]["name"] == "obs-1"
    (member,) = api.get("/v1/members").json["members"]
    assert member["intended"] is None and member["in_ring"] is None


def test_the_membership_is_read_at_most_once_a_second():
    clock, reads = ManualClock(), []
    ring = Ring(lambda: reads.append(1) or [MEMBER], lambda names, count: names * count, clock=clock)
    for _ in range(3):
        assert ring.proposal(4).owner(3) == "obs-1"
    assert len(reads) == 1
    clock.advance(1.0)
    ring.proposal(4)
    assert len(reads) == 2


def test_keystone_identity_is_believed_only_when_confirmed():
    environ = {"HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_USER_ID": "u", "HTTP_X_PROJECT_ID": "p",
               "HTTP_X_ROLES": "member, reader", "HTTP_X_SERVICE_ROLES": "service"}
    assert auth.keystone(environ) == Caller("u", "p", ("member", "reader"))
    confirmed = auth.keystone({**environ, "HTTP_X_SERVICE_IDENTITY_STATUS": "Confirmed"})
    assert confirmed.service_roles == ("service",) and not confirmed.privileged
    for status in ("Invalid", None):
        with pytest.raises(Unauthorized):
            auth.keystone({**environ, "HTTP_X_IDENTITY_STATUS": status})


def test_who_is_not_known_gets_a_challenge(api):
    def nobody(environ):
        return auth.keystone(environ)

    app = api.http.app
    client = falcon.testing.TestClient(app)
    assert client.simulate_get("/v1/stacks").status_code == 200
    closed = falcon.testing.TestClient(make_app(Api(api.engine, None), None, nobody))
    answer = closed.simulate_get("/v1/stacks", headers={"X-Roles": "admin", "X-Project-Id": "p"})
    assert answer.status_code == 401 and answer.json["error"]["code"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Keystone"
    assert closed.simulate_get("/healthz").status_code == 200


def test_every_rule_is_documented_and_named():
    rules = policy.list_rules()
    assert all(getattr(rule, "operations", None) for rule in rules if rule.name.startswith("obsvc:"))
    assert [rule.name for rule in rules[:3]] == ["admin_or_service", "project_member", "project_reader"]
    enforcer = Policy(obsvc_conf.load([], config_files=[]))
    with pytest.raises(Forbidden, match="obsvc:cluster:read"):
        enforcer.authorize(project("p1"), "cluster:read")


def test_an_operator_may_change_the_policy(tmp_path):
    (tmp_path / "policy.yaml").write_text('"obsvc:cluster:read": "role:sre"\n')
    path = tmp_path / "obsvc.conf"
    path.write_text(f"[oslo_policy]\npolicy_file = {tmp_path}/policy.yaml\n")
    enforcer = Policy(obsvc_conf.load([], config_files=[str(path)]))
    enforcer.authorize(Caller("u", "p1", ("sre",)), "cluster:read")
    with pytest.raises(Forbidden):
        enforcer.authorize(project("p1"), "cluster:read")


def test_noauth_off_loopback_is_refused(tmp_path):
    from obsvc.api import app

    path = tmp_path / "obsvc.conf"
    path.write_text("[api]\nbind_host = 0.0.0.0\n")
    with pytest.raises(ConfigError, match="loopback"):
        app.run(obsvc_conf.load([], config_files=[str(path)]))


def test_a_body_that_is_nested_without_end_is_the_callers_fault(api):
    answer = api.http.simulate_post("/v1/observations", body="[" * 100_000)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "invalid_input")


def test_a_number_that_no_database_takes_is_refused(api):
    api.http.simulate_post("/v1/stacks", json={"name": "s", "template": TEMPLATE})
    assert api.get(f"/v1/stacks/s/events?after={2**63}").status_code == 400
    assert api.get(f"/v1/dead-letters?before={2**63}").status_code == 400
    assert api.get(f"/v1/stacks/s/events?after={2**63 - 1}").status_code == 200


def test_duties_are_listed_with_their_leader_and_recall(api):
    assert api.get("/v1/duties").json["duties"] == []
    name = "sweep/R/nova"
    api.service.ensure_duties(EnsureDutiesRequest((DutySpec(name, "sweep", "R", "nova"),)))
    member, number = MemberId("obs-9", "9"), partition_of_id(name, api.service.store.partitions)
    api.service.beat(Beat(member=member, contract_version=CONTRACT_VERSION, state=MemberState.ACTIVE, started_at=0.0,
                            partitions=api.service.store.partitions,
                            recall=(RecallCount("R", "nova", "compute.server", 3, 1),)))
    claim = ClaimRequest(member, "duty", (PartitionClaim(number, ClaimReason.VANISHED),))
    generation = api.service.claim(claim).grants[0].generation
    api.service.begin_duty(DutyBegin(member, name, generation, "run"))
    api.service.end_duty(DutyEnd(member, name, generation, "run", 30.0, 30.0, {"lists": 2}))
    api.clock.advance(35.0)
    api.service.beat(Beat(member=member, contract_version=CONTRACT_VERSION, state=MemberState.ACTIVE, started_at=0.0,
                            partitions=api.service.store.partitions,
                            recall=(RecallCount("R", "nova", "compute.server", 3, 1),)))
    [duty] = api.get("/v1/duties").json["duties"]
    assert duty["leader"] == {"name": "obs-9", "incarnation": "9"} and duty["generation"] == generation
    assert (duty["result"], duty["recall"], duty["lag"]) == ({"lists": 2}, 0.75, 5.0)


def test_a_member_is_drained_and_undrained_by_an_operator(api):
    api.own(0)
    assert api.get("/v1/members").json["members"][0]["drained_at"] is None
    drained = api.http.simulate_put("/v1/members/obs-1/drain")
    assert drained.status_code == 200 and drained.json == {"name": "obs-1", "drained_at": api.clock.time()}
    assert api.get("/v1/members").json["members"][0]["drained_at"] == api.clock.time()
    api.caller = project("p1")
    assert api.http.simulate_delete("/v1/members/obs-1/drain").status_code == 403
    api.caller = OPERATOR
    assert api.http.simulate_delete("/v1/members/obs-1/drain").json == {"name": "obs-1", "drained_at": None}
    assert api.get("/v1/members").json["members"][0]["drained_at"] is None
    assert api.http.simulate_put("/v1/members/obs-9/drain").status_code == 404
