"""What a test starts ends with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

LAUNCHER = """
import subprocess, time
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def is_running(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("launcher_ends_first", [False, True])
def test_a_program_ends_with_its_test_and_so_does_what_it_started(programs, launcher_ends_first):
    of_a_test = type(programs)()
    launcher = of_a_test.start(sys.executable, "-c", LAUNCHER, stdout=subprocess.PIPE)
    child = int(launcher.stdout.readline())
    if launcher_ends_first:
        launcher.kill()
        launcher.wait()
    assert is_running(child)
    of_a_test.close()
    assert launcher.returncode is not None
    assert launcher.stdout.closed
    assert not is_running(child)


def test_a_program_is_run_to_its_end(programs):
    program = "import sys; print(sys.stdin.read().upper()); sys.exit('bad')"
    ended = programs.run(sys.executable, "-c", program, input="good")
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "GOOD\n", "bad\n")
