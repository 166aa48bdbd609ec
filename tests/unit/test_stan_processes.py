"""Tools and chains end with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes_of import wait_for

from bayesexpr.stan import build_tools, processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

CALLER = """
import pathlib, sys
from bayesexpr.stan import build_tools
build_tools.run(["sleep", "60"], folder=pathlib.Path(sys.argv[1]), label="sleeping")
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=["int", "term", "kill"]
)
def test_a_tool_ends_with_its_caller(tmp_path: Path, number: signal.Signals, code: int) -> None:
    caller = subprocess.Popen([sys.executable, "-c", CALLER, tmp_path], stderr=subprocess.DEVNULL, process_group=0)
    assert len(wait_for(tmp_path, 1, 30)) == 1
    os.kill(caller.pid, number)
    assert caller.wait(timeout=10) == code
    assert wait_for(tmp_path, 0, 5) == []


def test_what_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.3)
    stubborn = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"]
    process = processes.start(
        stubborn,
        folder=tmp_path,
        environment=os.environ,
        output=subprocess.DEVNULL,
        at_parents_death=signal.SIGKILL,
    )
    time.sleep(0.5)
    start = time.monotonic()
    processes.end([process])
    assert process.returncode == -signal.SIGKILL
    assert time.monotonic() - start < 3


def test_output_and_exit_code_come_back(tmp_path: Path) -> None:
    code, log = build_tools.run(["sh", "-c", "echo out; echo err >&2; exit 3"], folder=tmp_path, label="saying")
    assert (code, log) == (3, "out\nerr\n")


def test_a_tool_that_is_not_there_is_said(tmp_path: Path) -> None:
    code, log = build_tools.run(["no-such-tool"], folder=tmp_path, label="missing")
    assert code != 0
    assert "no-such-tool: No such file or directory" in log


def test_sigterm_is_left_to_a_program_that_handles_it() -> None:
    def ours(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, ours)
    try:
        with processes.sigterm_raises():
            assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)
