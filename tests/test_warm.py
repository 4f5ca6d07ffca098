"""What stands for an interpreter in many tests behaves like one."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest


def test_stdio_arguments_folder_and_exit_code_are_as_given(warm: Path, tmp_path: Path) -> None:
    text = "import os, sys; print(sys.argv, os.getcwd(), os.environ, sys.stdin.read()); sys.exit('said last')"
    command = [warm / "bin/python", "-u", "-c", text, "one"]
    done = subprocess.run(command, cwd=tmp_path, env={"A": "b"}, input="told", capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"['-c', 'one'] {tmp_path} environ({{'A': 'b'")
    assert (done.stdout.rstrip()[-4:], done.stderr, done.returncode) == ("told", "said last\n", 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_what_was_started_reaches_what_runs(warm: Path, number: signal.Signals) -> None:
    text = "import os, threading; print(os.getpid(), flush=True); threading.Event().wait()"
    with subprocess.Popen([warm / "bin/python", "-c", text], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout
        runs = psutil.Process(int(started.stdout.readline()))
        started.send_signal(number)
        assert started.wait(10) == -number
    psutil.wait_procs([runs], timeout=10)
    assert not runs.is_running()
