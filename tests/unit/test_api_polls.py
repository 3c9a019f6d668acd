"""Long polls above the limit are cut short, and counted rightly whatever comes of them."""
from __future__ import annotations

import falcon
import falcon.testing

from obsvc.api.polls import CROWDED_WAIT, LongPolls
from obsvc.api.requests import Query


class Waits:
    """Answers how long it may wait; on the way it may ask for the same again, while it is under way itself."""

    def __init__(self):
        self.seen, self.inner = [], None

    def on_get(self, req, resp):
        self.seen.append(Query(req, "wait").seconds("wait", 0.0, 60.0))
        inner, self.inner = self.inner, None
        if inner is not None:
            inner()


def test_a_long_poll_above_the_limit_is_cut_short_and_one_that_ended_makes_room():
    app, waits = falcon.App(middleware=[LongPolls(1)]), Waits()
    app.add_route("/", waits)
    client = falcon.testing.TestClient(app)
    waits.inner = lambda: client.simulate_get("/?wait=50")
    client.simulate_get("/?wait=50")
    assert waits.seen == [50.0, CROWDED_WAIT]
    assert client.simulate_get("/?wait=never").status_code >= 400  # refused, and counted no more either
    client.simulate_get("/?wait=50")
    waits.inner = lambda: client.simulate_get("/")
    client.simulate_get("/?wait=50")
    assert waits.seen[2:] == [50.0, 50.0, 0.0]
