"""What an engine must guarantee, as code: run it against any engine through any carrier.

``CHECKS`` are plain functions of an :class:`~obsvc.engine_client.contract.Engine`; each raises NonConformant, an
AssertionError, with what was expected and what came.  They use names and refs of their own, so they may run one
after the other against one engine that is otherwise idle; they write to it and leave their observations behind.

With pytest::

    @pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
    def test_conformance(check, engine):
        check(engine)

Each subject is a module with ``CHECKS`` of its own: an engine without sweeps leaves out those of ``duties``, one
without selectors those of ``selectors``.
"""
from __future__ import annotations

from obsvc.engine_client.conformance import duties, observing, ownership, reporting, selectors
from obsvc.engine_client.conformance.kit import Actor, Checks, NonConformant, expect

__all__ = ["CHECKS", "Actor", "NonConformant", "duties", "expect", "observing", "ownership", "reporting", "selectors"]

CHECKS = Checks([
    *ownership.CHECKS, *reporting.CHECKS, *observing.CHECKS, *duties.CHECKS, *selectors.CHECKS])
