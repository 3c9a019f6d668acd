"""Failpoints: nothing when off; when on, the signal that the file names, once."""
import os
import pathlib
import signal
import subprocess
import sys

from obsvc.process import failpoints

PROGRAM = "from obsvc.process import failpoints; failpoints.hit('here'); failpoints.hit('there'); print('went on')"


def _run(folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, failpoints.VARIABLE: str(folder)}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True,
                          timeout=60, check=False)


def test_a_point_that_is_off_does_nothing():
    assert failpoints.hit is failpoints._off


def test_a_point_sends_the_signal_of_its_file_once(tmp_path):
    (tmp_path / "there").write_text("KILL")
    done = _run(tmp_path)
    assert done.returncode == -signal.SIGKILL and done.stdout == ""
    assert list(tmp_path.iterdir()) == []
    assert _run(tmp_path).stdout == "went on\n"
