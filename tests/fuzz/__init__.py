"""Fuzzing of what reads a bus: ``python -m tests.fuzz --seed N --count N [--json]``."""
