"""The command's outer shell: one line for an error, exit codes, commands loaded only when used."""
from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from cliff import command

from obsvc.cmd import base
from obsvc.cmd.main import LazyCommands, ObsvcApp
from obsvc.exceptions import ConfigError, NotFound, ObsvcError


def run(*argv: str, raises: BaseException | None = None) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    app = ObsvcApp(stdout=out, stderr=err)

    class Probe(command.Command):
        """A command for the test."""

        def take_action(self, parsed_args):
            if raises is not None:
                raise raises
            self.app.stdout.write("done\n")

    app.command_manager.add_command("probe", Probe)
    return app.run(list(argv)), out.getvalue(), err.getvalue()


@pytest.mark.parametrize(("error", "code"), [
    (ConfigError("bad value\nfor x"), 2), (NotFound("no such stack"), 1), (ObsvcError("broken"), 1),
])
def test_an_error_is_one_line_and_an_exit_code(error, code):
    assert run("probe", raises=error) == (code, "", "obsvc: " + " ".join(str(error).split()) + "\n")


def test_an_unexpected_error_is_one_line_too():
    code, _, err = run("probe", raises=ZeroDivisionError("by zero"))
    assert (code, err.count("\n"), err.startswith("obsvc: ZeroDivisionError: by zero")) == (1, 1, True)


def test_debug_shows_the_traceback():
    code, _, err = run("--debug", "probe", raises=NotFound("no such stack"))
    assert code == 1 and "Traceback" in err and err.endswith("obsvc: no such stack\n")


def test_keyboard_interrupt_is_quiet():
    assert run("probe", raises=KeyboardInterrupt()) == (130, "", "")


def test_success():
    assert run("probe") == (0, "done\n", "")


def test_unknown_command_names_the_known_ones():
    code, _, err = run("stack", "frobnicate")
    assert code == 2 and "stack create" in err and err.count("\n") == 1


def test_config_file_may_stand_behind_the_command_and_is_repeatable():
    app = ObsvcApp(stdout=io.StringIO(), stderr=io.StringIO())
    options, rest = app.parser.parse_known_args(["--config-file", "a", "worker", "--config-file", "b"])
    assert options.config_file == ["a", "b"] and rest == ["worker"]


def test_a_missing_configuration_file_is_one_line(tmp_path):
    class Probe(base.ServiceCommand):
        """A service for the test."""

        def serve(self, conf, parsed_args):
            raise AssertionError("must not get here")

    err = io.StringIO()
    app = ObsvcApp(stdout=io.StringIO(), stderr=err)
    app.command_manager.add_command("probe", Probe)
    assert app.run(["--config-file", str(tmp_path / "none.conf"), "probe"]) == 2
    assert err.getvalue().startswith("obsvc: expected a configuration file at") and err.getvalue().count("\n") == 1


def test_no_command_is_imported_to_find_them():
    code = "import json, sys\nfrom obsvc.cmd.main import ObsvcApp\nObsvcApp()\nprint(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    loaded = set(json.loads(out))
    assert {name for name in loaded if name.startswith("obsvc.")} == {"obsvc.cmd", "obsvc.cmd.main", "obsvc.exceptions"}
    assert not loaded & {"falcon", "sqlalchemy", "kombu", "keystoneauth1", "oslo_config"}


def test_every_declared_command_is_found():
    names = {name for name, _ in LazyCommands("obsvc.cli")}
    assert {"observer", "stack create", "partition show", "who", "db upgrade"} <= names


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0)]
)
def test_seconds(text, value):
    assert base.seconds(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1w", "m"])
def test_seconds_refuses(text):
    with pytest.raises(Exception, match="expected a time"):
        base.seconds(text)
