"""Query parameters, one by one."""
import falcon.testing
import pytest

from obsvc.api.schemas import queries
from obsvc.api.schemas.queries import ChangesQuery, ResourceQuery, SelectorsQuery, read_query
from obsvc.exceptions import InvalidInput
from obsvc.model import Condition


def request(query):
    req = falcon.testing.create_req(query_string=query)
    req.options.auto_parse_qs_csv = False
    return req


def test_what_is_left_out_has_its_default():
    assert read_query(request(""), ChangesQuery) == ChangesQuery(since=0, wait=0.0, limit=500)


def test_each_field_is_read_as_its_name_says():
    query = read_query(request("region=Two&wait=1.5&since=3&until=active&trail=1"), ResourceQuery)
    assert query == ResourceQuery("Two", 1.5, 3, Condition.ACTIVE, True)


@pytest.mark.parametrize(("query", "words"), [
    ("colour=red", "'colour' is not known"), ("region=a&region=b", "expected it once, got it 2 times"),
    ("region=", "expected a value"), ("limit=0", "from 1"), ("limit=x", "from 1"),
    ("limit=99999999999999999999", "from 1"),
])
def test_what_can_not_be_read_is_refused_by_name(query, words):
    with pytest.raises(InvalidInput, match=words):
        read_query(request(query), SelectorsQuery)


def test_a_page_has_its_largest_size():
    assert read_query(request("limit=5000"), SelectorsQuery).limit == queries.LIMIT_MAX


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "x"])
def test_seconds_are_finite_and_not_negative(text):
    with pytest.raises(InvalidInput, match="seconds from 0"):
        queries.seconds("wait", text)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), ("1", True), ("0", False)])
def test_booleans(text, value):
    assert queries.boolean("trail", text) is value


def test_other_words_are_no_booleans():
    with pytest.raises(InvalidInput, match="true or false"):
        queries.boolean("trail", "perhaps")


def test_a_label_has_a_key_and_may_have_an_empty_value():
    assert queries.label("label", "a=b=c") == ("a", "b=c") and queries.label("label", "a=") == ("a", "")
    for text in ("a", "=b"):
        with pytest.raises(InvalidInput, match="KEY=VALUE"):
            queries.label("label", text)


def test_a_condition_is_one_of_those_that_there_are():
    with pytest.raises(InvalidInput, match="active"):
        queries.condition("until", "happy")
