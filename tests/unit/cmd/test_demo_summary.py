"""The demo's judgement of its own run."""
from obsvc.cmd.demo_summary import Call, by_label, doubles, looks, parse_metrics, total


def test_two_observers_at_one_state_are_a_double():
    calls = [Call(1.0, "observer a", "x"), Call(1.5, "observer b", "x")]
    assert [each.resource_id for each in doubles(calls, {"x": [0.5]}, {})] == ["x"]


def test_a_change_between_makes_them_two_states():
    calls = [Call(1.0, "observer a", "x"), Call(1.5, "observer b", "x")]
    assert doubles(calls, {"x": [0.5, 1.2]}, {}) == []


def test_one_observer_may_look_twice():
    calls = [Call(1.0, "observer a", "x"), Call(2.0, "observer a", "x")]
    assert doubles(calls, {"x": [0.5]}, {}) == []


def test_a_grant_between_makes_it_a_takeover_look():
    calls = [Call(1.0, "observer a", "x"), Call(1.5, "observer b", "x")]
    assert doubles(calls, {"x": [0.5]}, {"x": [1.2]}) == []
    assert len(doubles(calls, {"x": [0.5]}, {"x": [0.2]})) == 1


def test_counters_are_added_over_processes_and_labels():
    one = parse_metrics('# HELP a b\na_total{fate="x",bus="1"} 2.0\na_total{fate="y"} 5.0\nb 1\n')
    two = parse_metrics('a_total{fate="x"} 1.0\n')
    assert total([one, two], "a_total") == 8
    assert total([one, two], "a_total", fate="x") == 3
    assert total([one, two], "nothing") == 0


def test_counters_by_a_label():
    one = parse_metrics('a_total{bus="1",cause="x"} 2.0\na_total{bus="2",cause="y"} 0.0\n')
    assert by_label([one, one], "a_total", "cause") == {"x": 4}


def test_a_list_by_ids_is_a_look_at_each():
    entry = {"time": 1.0, "caller": "observer a", "method": "GET", "resource_id": None, "resource_ids": ["x", "y"]}
    others = [{**entry, "caller": "worker w"}, {**entry, "method": "POST"},
              {**entry, "resource_id": "z", "resource_ids": []}]
    assert [call.resource_id for call in looks([entry, *others])] == ["x", "y", "z"]
