"""Buses: whether all are consumed and since when without a gap, and whom they tell."""
from types import SimpleNamespace

import pytest

from obsvc import catalog
from obsvc import conf as obsvc_conf
from obsvc.engine_client.ownership import BusStatus
from obsvc.exceptions import ConfigError
from obsvc.observer.intake import buses as module
from obsvc.observer.intake.buses import Buses
from obsvc.process.clock import ManualClock


class Listener:
    """A bus that is consumed when the test says so; heard_since: by the clock on the wall."""

    def __init__(self, bus, member_name, decoder, receiver, **named):
        self.name, self.queue = bus.name, f"{member_name}.{bus.name}"
        self.sink, self.named = receiver.take, vars(receiver)
        self.begun = False
        self.heard_since = self.drained_at = self.error = None

    @property
    def consuming(self):
        return self.heard_since is not None

    def status(self):
        return BusStatus(self.name, self.consuming, self.heard_since, self.queue, self.error)

    def start(self):
        self.begun = True

    def stop(self):
        self.begun = False


class Setup:
    """Two buses in two regions, connected to the test."""

    def __init__(self, conf):
        self.clock = ManualClock()
        self.gaps, self.buried, self.room = [], [], True
        self.buses = Buses(conf, clock=self.clock)
        intake = SimpleNamespace(take="take", skip_reason="skip_reason")
        self.connect = lambda: self.buses.connect(
            intake, member_name="obs-1", catalog=catalog.load(), gaps=self, dead_letters=self, room=self)

    @property
    def listeners(self):
        return self.buses._listeners

    def gap(self, *told):
        self.gaps.append(told)

    def bury(self, letter):
        self.buried.append(letter)

    def has_room(self):
        return self.room

    def consumed(self, ago=100.0):
        for listener in self.listeners.values():
            listener.heard_since = self.clock.time() - ago


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "obsvc.conf"
    path.write_text("[buses]\nnames = nova, west\n[bus:west]\nregion = RegionWest\n")
    return obsvc_conf.load([], config_files=[str(path)])


@pytest.fixture
def member(conf, monkeypatch):
    monkeypatch.setattr(module, "BusListener", Listener)
    setup = Setup(conf)
    setup.connect()
    return setup


def test_without_a_bus_there_is_nothing_to_observe(tmp_path):
    path = tmp_path / "obsvc.conf"
    path.write_text("[DEFAULT]\n")
    with pytest.raises(ConfigError, match="names"):
        Buses(obsvc_conf.load([], config_files=[str(path)]), clock=ManualClock())


def test_before_they_are_connected_none_is_consumed(conf):
    buses = Buses(conf, clock=ManualClock())
    assert not buses.consuming() and buses.missing() == ["nova", "west"] and buses.heard_since() is None
    assert buses.names == ["nova", "west"] and not buses.consumes("RegionOne") and buses.statuses() == ()


def test_each_goes_to_the_intake(member):
    member.buses.start()
    listener = member.listeners["nova"]
    assert (listener.sink, listener.named["skip_reason"]) == ("take", "skip_reason") and listener.begun
    listener.named["store_dead_letter"]("letter")
    assert member.buried == ["letter"]
    member.buses.stop()
    assert not listener.begun


def test_a_region_is_consumed_when_all_its_buses_are(member):
    member.listeners["nova"].heard_since = member.clock.time()
    assert member.buses.consumes("RegionOne") and not member.buses.consumes("RegionWest")
    assert member.buses.missing() == ["west"] and member.buses.heard_since() is None
    assert member.buses.consumes("a region without a bus")


def test_all_were_heard_since_the_youngest_began_or_had_a_gap(member):
    member.consumed(ago=100)
    member.listeners["west"].heard_since = member.clock.time() - 40
    assert member.buses.consuming()
    assert member.buses.heard_since() == pytest.approx(member.clock.monotonic() - 40)
    member.clock.advance(10)
    member.listeners["nova"].named["on_gap"]("nova", "reconnected")
    assert member.gaps == [("nova", "RegionOne", "reconnected")]
    member.clock.advance(5)
    assert member.buses.heard_since() == pytest.approx(member.clock.monotonic() - 5)


@pytest.mark.parametrize(("drained", "within"), [((10, 10), True), ((10, 16), False), ((10, None), False)])
def test_they_are_drained_when_each_was_empty_lately(member, drained, within):
    for listener, ago in zip(member.listeners.values(), drained, strict=True):
        listener.drained_at = None if ago is None else member.clock.monotonic() - ago
    assert member.buses.drained_within(15.0) is within


def test_the_error_of_the_first_that_has_one_is_told(member):
    assert member.buses.last_error is None
    member.listeners["west"].error = "refused"
    assert member.buses.last_error == "refused"


def test_that_there_is_no_room_is_logged_once(member, caplog):
    may_take = member.listeners["nova"].named["may_take"]
    assert may_take()
    member.room = False
    assert not may_take() and not may_take()
    assert [record.message for record in caplog.records] == ["no room for more notifications: the intake waits"]
    member.room = True
    assert may_take()
