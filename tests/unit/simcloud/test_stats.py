"""Who called what, and which states were fetched by whom."""
from obsvc.process.clock import ManualClock
from obsvc.simcloud.stats import Stats, caller_of


def count(stats, caller, resource_id=None, revision=None, *, method="GET", listed=()):
    stats.count(caller, method, "/x/{id}", "/x/1", 200, resource_id, revision, "req-1", list(listed))


def test_a_caller_is_what_its_agent_says_else_the_tokens_user():
    assert caller_of("obsvc/0.1.0 (observer obs-1) keystoneauth1/5", "obsvc") == "observer obs-1"
    assert caller_of("openstacksdk/4 (linux)", "demo") == "demo" and caller_of(None, None) == "-"


def test_states_fetched_twice_are_told():
    stats = Stats(ManualClock())
    count(stats, "observer a", "s", 1)
    count(stats, "observer a", "s", 1)
    count(stats, "observer b", "s", 2)
    count(stats, "observer a", None, listed=[("s", 2), ("t", 1)])
    count(stats, "worker w", "s", 2)
    fetches = stats.fetches("observer")
    assert (fetches["gets"], fetches["resources"], fetches["revisions"], fetches["repeated"]) == (5, 2, 3, 2)
    assert fetches["doubled"] == [{"id": "s", "revision": 2, "callers": {"observer b": 1, "observer a": 1}}]


def test_the_log_goes_on_after_a_reset():
    stats = Stats(ManualClock())
    count(stats, "a")
    count(stats, "a", method="POST")
    assert [call.method for call in stats.calls(0, 10)] == ["GET", "POST"]
    last = stats.calls(0, 10)[-1].seq
    stats.reset()
    count(stats, "b")
    assert [call.caller for call in stats.calls(last, 10)] == ["b"] and stats.totals()["by_caller"] == {"b": 1}
