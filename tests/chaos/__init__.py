"""Chaos: real processes and servers, faults by a seed, and a history that is checked for the invariants I1 to I12
(docs/design.md, "Invariants").

``python -m tests.chaos`` runs and checks; ``python -m tests.chaos.check FILE`` checks a kept history again.
How it is put together, and what a violation means: ``docs/development.md``, "Chaos".
"""
