"""What the command says of itself."""
from __future__ import annotations

import importlib.metadata

import pytest

COMMANDS = {each.name.replace("_", " "): each for each in importlib.metadata.entry_points(group="obsvc.cli")}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_explains_itself_and_each_of_its_options(name):
    command = COMMANDS[name].load()(None, None)
    first, _, rest = command.get_description().partition("\n")
    assert first.endswith("."), "cliff sets the first line and the rest in one paragraph"
    unexplained = [action.dest for action in command.get_parser(name)._actions if not action.help]
    assert unexplained == []
