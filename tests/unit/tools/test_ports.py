"""Ports for the tests' servers: what is given to one process is given to no other."""
import subprocess
import sys

from tests.support.processes import ports

PROGRAM = """
from tests.support.processes import ports
print(*[ports.free_port() for _ in range(20)], flush=True)
input()
"""


def _another() -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_processes_that_live_at_once_are_given_ports_of_their_own():
    others = [_another() for _ in range(3)]
    try:
        found = [int(word) for other in others for word in other.stdout.readline().split()]
        found += [ports.free_port() for _ in range(20)]
    finally:
        for other in others:
            other.communicate("\n")
    assert len(set(found)) == 80 and all(port in ports.PORTS for port in found)


def test_a_port_is_not_given_again_while_its_server_is_about_to_start():
    assert len({ports.free_port() for _ in range(100)}) == 100
