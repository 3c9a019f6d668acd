"""EngineClock: the engine's time by our own clock, measured again when it is asked."""
from obsvc.engine_client.contract import EngineInfo
from obsvc.exceptions import Unavailable
from obsvc.observer.state.engine_clock import EngineClock
from obsvc.process.clock import ManualClock


class Engine:
    """An engine with a clock of its own; None: it is away."""

    def __init__(self, now):
        self.now = now

    def info(self, _request):
        if self.now is None:
            raise Unavailable("away")
        return EngineInfo(1, 1, "database", 8, self.now, 30.0, 10.0)


def test_time_goes_on_by_our_clock_until_the_engine_is_asked():
    clock, engine = ManualClock(), Engine(1000.0)
    time = EngineClock(engine, engine.info(None), clock)
    clock.advance(5)
    assert time.time() == 1005.0
    engine.now = 1003.0
    assert time.time() == 1005.0 and time.ask() == 1003.0 and time.time() == 1003.0


def test_with_the_engine_away_what_was_known_stands():
    clock, engine = ManualClock(), Engine(1000.0)
    time = EngineClock(engine, engine.info(None), clock)
    engine.now = None
    clock.advance(5)
    assert time.ask() == 1005.0
