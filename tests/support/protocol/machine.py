"""The adversary: a hypothesis machine that plays the world of :mod:`tests.support.protocol.world` against its members.

After every step: generations rose only, each was granted to one process, every answer of the engine is what the
ledger expects, and of all that believe to own a partition the engine takes the writes of one at most (I1 and I2 of
docs/design.md).  At the end everything heals, and within the bound each partition is owned once, by the one that the
view assigns it to, and the engine's copy of every ref is the cloud's (I4, I3).
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from obsvc.exceptions import Unavailable
from obsvc.model import MemberId, partition
from obsvc.partitioning.assignment import assign
from tests.support.protocol.world import BEAT, ENGINE, LEASE, PARTITIONS, REFS, Process, World

NAMES = ("a", "b", "c")
PROCESSES = 5

#: Seconds after which everything is as it should be, once all heals: a lapsed member, an ask that is not answered,
#: and the beats in which views are doubted, rests end, and lost grants are found.
BOUND = ENGINE.member_timeout + ENGINE.drain_timeout + 6 * BEAT

#: What may become of a request.
FATES = ("fine", "fine", "fine", "lost", "answer lost", "late", "slow", "slow answer")

which = st.integers(0, PROCESSES - 1)
fates = st.sampled_from(FATES)
refs = st.sampled_from(REFS)
pauses = st.sampled_from((0.3, 1.0, BEAT, LEASE + 1, ENGINE.drain_timeout + 1))


class ProtocolMachine(RuleBasedStateMachine):
    """guards: a test of the test takes one out before it runs this."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.asleep: set[MemberId] = set()

    @initialize(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))
    def begin(self, names: list[str]) -> None:
        for name in names:
            process = self.world.add(name)
            process.step()
        self._show_all()
        self._pass(1.0)
        for process in self.world.processes:
            process.beat()
            process.step()

    # -- what the members do

    @rule(who=which, fate=fates, rival=which, pause=pauses)
    def claims(self, who: int, fate: str, rival: int, pause: float) -> None:
        if process := self._awake(who, fate, rival, pause):
            process.step()

    @rule(who=which, fate=fates, rival=which, pause=pauses)
    def beats(self, who: int, fate: str, rival: int, pause: float) -> None:
        if process := self._awake(who, fate, rival, pause):
            process.beat()

    @rule(who=which, fate=fates, rival=which, pause=pauses)
    def follows(self, who: int, fate: str, rival: int, pause: float) -> None:
        if process := self._awake(who, fate, rival, pause):
            process.follow()

    @rule(who=which)
    def gives(self, who: int) -> None:
        if process := self._awake(who):
            process.give()

    @rule(who=which, ref=refs, changes=st.booleans())
    def begins_a_look(self, who: int, ref: Any, changes: bool) -> None:
        if changes:
            self.world.truth[ref] += 1
        if process := self._awake(who):
            process.begin_look(ref)

    @rule(who=which, fate=fates, rival=which, pause=pauses)
    def reports(self, who: int, fate: str, rival: int, pause: float) -> None:
        if process := self._awake(who):
            for ref in list(process.looks):
                process.end_look(ref)
            self._awake(who, fate, rival, pause)
            process.send()

    @rule(who=which, fate=fates, rival=which, pause=pauses)
    def looks_and_reports(self, who: int, fate: str, rival: int, pause: float) -> None:
        if process := self._awake(who):
            for ref in REFS:
                if partition(ref, PARTITIONS) in process.grants:
                    self.begins_a_look(who, ref, True)
            self.reports(who, fate, rival, pause)

    # -- what befalls them

    @rule(who=which)
    def looks_reports_and_is_asked_again(self, who: int) -> None:
        """What it sends arrives twice, and in between something newer."""
        self.looks_and_reports(who, "answer lost", 0, 0.0)
        self._pass(2.0)
        self.looks_and_reports(who, "fine", 0, 0.0)
        for one in list(self.world.sent["report"])[-2:]:
            self.world.again(*one)

    @precondition(lambda self: len(self.world.processes) < PROCESSES)
    @rule(name=st.sampled_from(NAMES))
    def starts(self, name: str) -> None:
        """Perhaps a second process of a name that runs already."""
        self.world.add(name).step()
        self._show_all()

    @rule(who=which)
    def dies(self, who: int) -> None:
        if process := self._any(who):
            self.world.kill(process)
            self.asleep.discard(process.member)

    @rule(who=which)
    def dies_and_is_started_again(self, who: int) -> None:
        if process := self._any(who):
            self.dies(who)
            self.world.add(process.member.name).step()
            self._show_all()

    @rule(who=which)
    def falls_asleep_or_wakes(self, who: int) -> None:
        if process := self._any(who):
            self.asleep ^= {process.member}
            if process.member not in self.asleep:
                process.membership.stay()

    @rule(who=which, rounds=st.integers(1, 4))
    def is_cut_off_for_a_while(self, who: int, rounds: int) -> None:
        """The others see it gone and take over; it comes back and believes that nothing happened."""
        if process := self._awake(who):
            self.world.group.discard(process.member)
            self.asleep.add(process.member)
            for _ in range(rounds):
                self._pass(BEAT)
                self._round(lambda other: other.member not in self.asleep)
            self.asleep.discard(process.member)
            process.membership.stay()

    @rule(who=which)
    def takes_the_queues_of_its_name(self, who: int) -> None:
        if process := self._awake(who):
            self.world.consumers[process.member.name] = process.member

    @rule(who=which, unseen=st.sets(which, max_size=3))
    def sees_a_part_of_the_group(self, who: int, unseen: set[int]) -> None:
        """A view that others do not have; the dead and the sleeping may still be in it, the living not."""
        if process := self._awake(who):
            everyone = sorted(self.world.group)
            process.membership.show(one for index, one in enumerate(everyone) if index not in unseen)

    @rule()
    def all_see_who_lives(self) -> None:
        self.world.group -= {process.member for process in self.world.gone} | self.asleep
        self._show_all()

    @rule(rounds=st.sampled_from((1, 4, 16)))
    def all_goes_well_for_a_while(self, rounds: int) -> None:
        self.all_see_who_lives()
        for _ in range(rounds):
            self._round(lambda process: process.member not in self.asleep)

    @rule(pause=pauses)
    def time_passes(self, pause: float) -> None:
        self._pass(pause)

    @rule(offset=st.sampled_from((-2.0, -0.5, 0.0, 0.5, 2.0)))
    def the_engines_clock_steps(self, offset: float) -> None:
        self.world.engine_clock.offset = offset

    @rule(back=st.integers(0, 29), kind=st.sampled_from(("claim", "release", "report", "report", "beat")))
    def a_request_arrives_again(self, back: int, kind: str) -> None:
        """Late, or for the second time, long after its sender gave up, or died."""
        if sent := self.world.sent[kind]:
            self.world.again(*sent[-1 - back % len(sent)])

    @rule(back=st.integers(0, 9), who=which, kind=st.sampled_from(("report", "release")))
    def a_request_arrives_in_the_name_of_another_process(self, back: int, who: int, kind: str) -> None:
        """Two processes that were given one state (a virtual machine restored, or copied); mostly of one name."""
        world = self.world
        if not (sent := world.sent[kind]):
            return
        operation, request = sent[-1 - back % len(sent)]
        others = [one.member for one in (*world.processes, *world.gone) if one.member != request.member]
        if others := [one for one in others if one.name == request.member.name] or others:
            fields = {name: getattr(request, name) for name in request.__struct_fields__}
            world.again(operation, type(request)(**fields | {"member": others[who % len(others)]}))

    # -- what holds

    @invariant()
    def at_most_one_owner_in_effect(self) -> None:
        self.world.ledger.rows(self.world.state())
        for number in range(PARTITIONS):
            effective = self.world.owners_in_effect(number)
            assert len(set(effective)) <= 1, f"I2: partition {number} is owned in effect by {effective}"

    def teardown(self) -> None:
        try:
            if not self.world.broken:
                self._heal()
        finally:
            self.world.store.close()

    def _heal(self) -> None:
        world = self.world
        self.asleep.clear()
        world.engine_clock.offset = 0.0
        if not world.processes:
            world.add("a")
        for process in world.processes:  # one process a name consumes; another of that name waits
            world.consumers[process.member.name] = process.member
            process.engine.fate = None
            process.membership.stay()
        for process in list(world.processes):
            if not process.ready():
                world.kill(process)
        world.group &= {process.member for process in world.processes}
        end = world.clock.monotonic() + BOUND
        while (wrong := self._not_owned_once()) and world.clock.monotonic() < end:
            self._round(lambda process: True)
        assert not wrong, f"I4: {wrong}"
        for _ in range(2):
            self._round(lambda process: True)
            assert not self._not_owned_once(), "I4: what was owned as it should be did not stay so"
        self._look_at_all()

    def _not_owned_once(self) -> str:
        """What is not as the assignment has it; empty when every partition is owned once, and its owner knows it."""
        processes = self.world.processes
        names = assign([process.member.name for process in processes], PARTITIONS)
        by_name = {process.member.name: process for process in processes}
        for number, row in self.world.state().partitions.items():
            owner = by_name[names[number]]
            held = {one.member: one.ownership.held() for one in processes}
            believers = {member: mine[number] for member, mine in held.items() if number in mine}
            if row.owner != owner.member or believers != {owner.member: row.generation}:
                return f"partition {number} is for {owner.member}; the engine has {row}, members believe {believers}"
        return ""

    def _look_at_all(self) -> None:
        world = self.world
        for process in world.processes:
            process.looks.clear()
            for ref in REFS:
                process.begin_look(ref)
                process.end_look(ref)
            for _ in range(3 * len(REFS)):
                if not process.reporter.backlog:
                    break
                self._pass(2.0)
                process.send()
            assert process.reporter.backlog == 0
        assert world.state().copies == world.truth, "I3: the engine's copies are not the cloud's state"

    # -- the adversary's hands

    def _any(self, who: int) -> Process | None:
        processes = self.world.processes
        return processes[who % len(processes)] if processes else None

    def _awake(self, who: int, fate: str = "fine", rival: int = 0, pause: float = 0.0) -> Process | None:
        process = self._any(who)
        if process is None or process.member in self.asleep:
            return None
        process.engine.fate = self._fate(fate, process, rival, pause)
        return process

    def _fate(self, name: str, process: Process, rival: int, pause: float) -> Any:
        def meanwhile() -> None:
            """Time passes for the one that waits, and the others go on without it."""
            self._pass(pause)
            other = self._any(rival)
            if other is None or other is process:
                return
            other.membership.show(self.world.group - {process.member})
            other.step()
            self._pass(2 * BEAT)
            other.beat()
            other.step()

        def lost(call: Any) -> Any:
            raise Unavailable("the request was lost")

        def answer_lost(call: Any) -> Any:
            call()
            raise Unavailable("the answer was lost")

        def late(call: Any) -> Any:
            raise Unavailable("the request is on its way")  # it was remembered, and may arrive

        def slow(call: Any) -> Any:
            meanwhile()
            return call()

        def slow_answer(call: Any) -> Any:
            reply = call()
            meanwhile()
            return reply

        played = {"lost": lost, "answer lost": answer_lost, "late": late, "slow": slow, "slow answer": slow_answer}
        return played.get(name)

    def _pass(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    def _round(self, acts: Callable[[Process], bool]) -> None:
        """A second in which those that act do everything that they do by themselves."""
        self._show_all()
        for process in [one for one in self.world.processes if acts(one)]:
            process.follow()
            process.give()
            process.step()
            process.beat()
        self._pass(1.0)

    def _show_all(self) -> None:
        for process in self.world.processes:
            if process.member not in self.asleep:
                process.membership.show(self.world.group)


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
