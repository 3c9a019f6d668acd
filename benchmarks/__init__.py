"""What obsvc costs beside its peers; see docs/benchmarks.md.

Each benchmark is one command, ``python -m benchmarks.NAME [--json] [--runs N]``, started from the checkout.  It
starts the servers that it needs (private, on free loopback ports), runs its variants in turn, each in a process of
its own, and prints a table or JSON.
"""
