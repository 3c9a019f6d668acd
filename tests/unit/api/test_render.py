"""The API's JSON, ETags, and the sentence about a partition."""
import json

import falcon
import falcon.testing
import msgspec

from obsvc.api.partitions import granted_to, sentence
from obsvc.api.render import answer, answer_once, plain
from obsvc.engine_client.ownership import PartitionRecord
from obsvc.model import Condition, MemberId, Ref


class Pair(msgspec.Struct, omit_defaults=True):
    ref: Ref
    owner: MemberId | None = None
    condition: Condition = Condition.UNKNOWN
    labels: dict[str, str] = {}


def test_a_ref_stands_as_its_parts_and_nothing_is_left_out():
    assert plain(Pair(Ref("R", "compute.server", "s"), MemberId("a", "1"))) == {
        "region": "R", "resource_type": "compute.server", "resource_id": "s",
        "owner": {"name": "a", "incarnation": "1"}, "condition": "unknown", "labels": {}}
    assert plain({"refs": (Ref("R", "t", "x"),)}) == {
        "refs": [{"region": "R", "resource_type": "t", "resource_id": "x"}]}


def test_an_answer_has_its_status():
    resp = falcon.Response()
    answer(resp, {"a": None}, status=falcon.HTTP_201)
    assert resp.status == falcon.HTTP_201 and json.loads(resp.data) == {"a": None}


def once(value, **headers):
    resp = falcon.Response()
    answer_once(falcon.testing.create_req(headers=headers), resp, value)
    return resp


def test_what_the_caller_has_already_is_not_sent_again():
    first = once({"a": 1})
    assert json.loads(first.data) == {"a": 1}
    again = once({"a": 1}, **{"If-None-Match": first.etag})
    assert again.status == falcon.HTTP_304 and again.data is None and again.etag == first.etag
    assert once({"a": 1}, **{"If-None-Match": "*"}).status == falcon.HTTP_304
    changed = once({"a": 2}, **{"If-None-Match": first.etag})
    assert json.loads(changed.data) == {"a": 2} and changed.etag != first.etag


def record(**fields):
    return PartitionRecord(**{"partition": 3, "owner": None, "generation": 0, "since": None, "observation_version": 1,
                              **fields})


def test_a_sentence_compares_proposal_and_grant():
    text = sentence(record(), None, "no member is in the group", 0)
    assert text == ("partition 3: no proposal (no member is in the group), and the engine has granted it to nobody")
    text = sentence(record(owner=MemberId("a", "1"), generation=7, why="vacant", asked_by="b"), "b", None, 2)
    assert text == ("partition 3: the ring of 2 members proposes b, and the engine has granted it to a under "
                    "generation 7 (vacant); b waits for it to be handed over")


def test_whom_a_partition_is_granted_to():
    assert granted_to({"owner": None}) is None and granted_to({"owner": {"name": "a", "incarnation": "1"}}) == "a"
