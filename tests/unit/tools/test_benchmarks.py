"""The benchmarks' arithmetic: medians, ratios, growth of memory, what a soak calls wrong; and their command line."""
from __future__ import annotations

import collections
import json
import os
import threading

import pytest

from benchmarks import failover, harness, pipeline_observer, soak
from benchmarks.harness import Goal, Ratio, Results
from benchmarks.traffic import Traffic

RATIOS = (Ratio("cost: ours / theirs", "cost", "ours", "theirs", 0.5),)


def results(**runs):
    found = Results("example", RATIOS)
    for variant, costs in runs.items():
        for cost in costs:
            found.add(variant, {"cost": cost})
    return found


def test_a_ratio_is_the_median_over_rounds_not_that_of_medians():
    found = results(ours=[1.0, 2.0, 6.0], theirs=[10.0, 4.0, 8.0])
    assert found.medians() == {"ours": {"cost": 2.0}, "theirs": {"cost": 8.0}}
    assert found.compared() == {"cost: ours / theirs": 0.5}  # of 0.1, 0.5, 0.75; the medians' would be 0.25


def test_what_was_not_measured_is_not_compared():
    assert results(ours=[1.0]).compared() == {}
    assert results(ours=[1.0], theirs=[0.0]).compared() == {}
    assert results(ours=[1.0, 3.0], theirs=[2.0]).compared() == {"cost: ours / theirs": 0.5}


def test_a_figure_that_only_some_runs_have_is_their_median():
    found = results(ours=[1.0, 3.0])
    found.add("ours", {"rate": 7.0})
    assert found.figures() == {"ours: cost": 2.0, "ours: rate": 7.0}


def test_json_has_ratios_and_figures_as_numbers_by_name():
    told = json.loads(json.dumps(results(ours=[1.0], theirs=[4.0]).as_json()))
    assert told["benchmark"] == "example"
    assert told["ratios"] == {"cost: ours / theirs": 0.25} and told["targets"] == {"cost: ours / theirs": 0.5}
    assert told["figures"] == {"ours: cost": 1.0, "theirs: cost": 4.0}


def test_a_goal_is_a_median_or_the_worst_and_stands_with_its_target():
    found = results(ours=[1.0, 2.0, 9.0])
    found.goals = (Goal("cost, median", "cost", "ours", 3.0), Goal("cost, worst", "cost", "ours", 3.0, worst=True),
                   Goal("never measured", "rate", "ours", 1.0))
    assert found.reached() == {"cost, median": 2.0, "cost, worst": 9.0}
    told = found.as_json()
    assert told["figures"]["cost, worst"] == 9.0 and told["targets"]["cost, median"] == 3.0


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["benchmark", *words])
    harness.main("example", "What it is.", lambda asked: results(ours=[1.0] * asked.runs, theirs=[4.0] * asked.runs))


def test_json_is_one_object_last_on_standard_output(monkeypatch, capsys):
    run(monkeypatch, "--json", "--runs", "2")
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["ratios"] == {"cost: ours / theirs": 0.25} and len(told["runs"]["ours"]) == 2


def test_the_table_says_what_was_met_and_what_was_missed(monkeypatch, capsys):
    run(monkeypatch)
    assert "met" in capsys.readouterr().out
    harness.show(results(ours=[3.0], theirs=[4.0]))
    assert "MISSED" in capsys.readouterr().out


def test_a_run_count_that_makes_no_sense_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "--runs", "0")
    assert ended.value.code == 2 and "expected at least 1, got 0" in capsys.readouterr().err


def test_cpu_and_memory_of_a_session_are_its_processes_alone():
    session = os.getsid(0)
    assert harness.memory_of_session(session) > 1e6
    assert harness.cpu_of_session(session) > 0
    assert (harness.memory_of_session(2 ** 22 + 1), harness.cpu_of_session(2 ** 22 + 1)) == (0, 0.0)


# -- the soak


def test_growth_compares_the_time_after_the_warm_up_with_the_end():
    samples = [(0.0, 50), (19.0, 90), *((at, 100) for at in range(20, 90)), *((at, 110) for at in range(90, 101))]
    first, last, grown = soak.growth([(at, memory * 10 ** 6) for at, memory in samples], 100.0)
    assert (first, last) == (100.0, 110.0) and grown == pytest.approx(0.1)


def test_one_sample_that_stands_out_is_no_growth():
    samples = [(float(at), 200 if at == 95 else 100) for at in range(101)]
    assert soak.growth(samples, 100.0)[2] == 0.0


def test_a_process_that_is_gone_did_not_grow():
    assert soak.growth([(float(at), 0) for at in range(101)], 100.0) == (0.0, 0.0, 0.0)


GOOD = {
    "ended": [], "memory": {"observer-1": (100.0, 104.9, 0.049)}, "published": 1000, "rate": 299.0, "asked_rate": 300.0,
    "taken": {"observer-1": 1000}, "left_over": {}, "backlog_gone_after": 2.0, "missing": [], "gaps": 0,
    "dead_letters": 0, "tracebacks": {},
}


def test_a_good_soak_has_no_faults():
    assert soak.faults(GOOD) == []


@pytest.mark.parametrize("wrong,said", [
    ({"ended": ["observer-1"]}, "observer-1 ended"),
    ({"memory": {"engine-1": (100.0, 105.0, 0.05)}}, "engine-1 grew by 5.0%"),
    ({"taken": {"observer-1": 999}}, "took 999 of 1000"),
    ({"rate": 280.0}, "only 280 notifications/s"),
    ({"left_over": {"obsvc_queue_depth": 3}}, "left over"),
    ({"backlog_gone_after": 16.0}, "only after 16.0 s"),
    ({"backlog_gone_after": None}, "backlog was gone only after None"),
    ({"missing": ["x"]}, "1 observed servers"),
    ({"gaps": 1}, "1 gaps"), ({"dead_letters": 2}, "2 dead letters"),
    ({"tracebacks": {"engine-1": 1}}, "engine-1 logged 1 tracebacks"),
])
def test_each_fault_of_a_soak_is_told(wrong, said):
    (told,) = soak.faults({**GOOD, **wrong})
    assert said in told


# -- the pipeline's


def test_traffic_is_the_same_each_time_and_about_the_observed_in_their_share():
    observed = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(5)]
    one, other = ([traffic.next() for _ in range(2000)] for traffic in map(Traffic, [observed] * 2, [0.25] * 2))
    assert one == other
    about = collections.Counter(about for _, _, about in one)
    assert 400 < 2000 - about[None] < 600 and set(about) == {None, *observed}
    assert all(about is None or about.encode() in body for _, body, about in one)
    assert not any(each.encode() in body for _, body, about in one if about is None for each in observed)


def test_the_cpu_of_a_thread_is_told_by_what_it_does():
    stages, done, stop = pipeline_observer.StageCpu(), threading.Event(), threading.Event()
    fetch = stages.fetching(lambda: sum(range(2_000_000)))

    def work():
        fetch()
        done.set()
        stop.wait(30)

    thread = threading.Thread(target=work, name="fetch-0", daemon=True)
    thread.start()
    done.wait(30)
    (family,) = stages.collect()
    stop.set()
    thread.join(30)
    told = {sample.labels["stage"]: sample.value for sample in family.samples}
    assert tuple(told) == pipeline_observer.STAGES
    assert told[pipeline_observer.FETCH] > told[pipeline_observer.LISTEN] == told[pipeline_observer.REPORT] == 0.0
    assert told[pipeline_observer.REST] > 0


def test_a_soak_is_as_long_as_asked():
    assert soak.parse([]).minutes * soak.parse([]).rate == 3000
    asked = soak.parse(["--json", "--minutes", "0.5", "--servers", "3"])
    assert (asked.json, asked.minutes, asked.servers) == (True, 0.5, 3)


def test_the_largest_gap_is_the_one_that_ends_in_the_time_asked_about():
    times = [[1.0, 2.0, 5.0, 5.5], [1.5, 3.0]]
    assert failover.largest_gap(times, 0.0, 4.0) == 1.5
    assert failover.largest_gap(times, 4.0, 6.0) == 3.0
