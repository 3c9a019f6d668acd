"""Whether an unusual share of a service's refs is absent at once."""
from __future__ import annotations

from obsvc.model import Ref
from obsvc.observer.fetching.absence import AbsenceWatch


def servers(number):
    return [Ref("R", "compute.server", str(name)) for name in range(number)]


def test_most_of_a_service_absent_at_once_is_unusual_until_it_is_found_again():
    watch = AbsenceWatch()
    verdicts = [watch.note("nova", ref, 1.0, absent=True) for ref in servers(12)]
    assert verdicts == [False] * 9 + [True] * 3
    found = [watch.note("nova", ref, 2.0, absent=False) for ref in servers(12)]
    assert found[0] and not found[-1]


def test_it_stays_unusual_though_the_window_passes():
    watch = AbsenceWatch()
    for ref in servers(12):
        watch.note("nova", ref, 1.0, absent=True)
    assert watch.note("nova", servers(1)[0], 500.0, absent=True)


def test_few_or_announced_or_slow_or_others_absences_are_usual():
    watch = AbsenceWatch()
    assert not any(watch.note("few", ref, 1.0, absent=True) for ref in servers(9))
    assert not any(watch.note("told", ref, 1.0, absent=True, expected=True) for ref in servers(50))
    assert not any(watch.note("slow", ref, number * 10.0, absent=True) for number, ref in enumerate(servers(50)))
    for ref in servers(40):
        watch.note("mixed", ref, 1.0, absent=False)
    assert not any(watch.note("mixed", ref, 1.0, absent=True) for ref in servers(15))
    assert not watch.note("other", servers(1)[0], 1.0, absent=True)


def test_one_ref_again_and_again_counts_once():
    watch = AbsenceWatch()
    assert not any(watch.note("nova", servers(1)[0], 1.0, absent=True) for _ in range(100))
