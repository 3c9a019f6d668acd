"""HTTP serving that every process shares."""
