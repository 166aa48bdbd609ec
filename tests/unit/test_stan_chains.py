"""Chains as processes: killed, failing, hanging, chatty, interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes_of import wait_for

from bayesexpr.errors import OptionError, SamplingError
from bayesexpr.stan import processes, sampling
from bayesexpr.stan.output import read_chains
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings

OK, FAIL, KILL, KILL_ONCE, HANG, STUBBORN, FLOOD, SHORT, NO_FOOTER = range(9)
SETTINGS = SamplerSettings(chains=2, warmup=5, draws=5, seed=3, cores=2)


def test_progress_tells_every_iteration(fake_executable: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, int, bool]] = []
    run_nuts(fake_executable, {}, SETTINGS, output_dir=tmp_path, progress=lambda *a: told.append(a))
    expected = [(c, i, 10, i <= 5) for c in (1, 2) for i in range(1, 11)]
    assert sorted(told) == expected


def test_no_more_chains_at_once_than_cores(fake_executable: Path, tmp_path: Path) -> None:
    order: list[int] = []
    settings = SamplerSettings(chains=3, warmup=2, draws=2, cores=1)
    run_nuts(fake_executable, {}, settings, output_dir=tmp_path, progress=lambda c, *_: order.append(c))
    assert order == sorted(order)


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (3, "1"), (6, "3")])
def test_cores_left_are_threads_of_the_chains(fake_executable: Path, tmp_path: Path, cores: int, threads: str) -> None:
    files = run_nuts(fake_executable, {}, replace(SETTINGS, cores=cores), output_dir=tmp_path)
    assert [(files.folder / f"threads_{chain}").read_text() for chain in (1, 2)] == [threads] * 2


def test_a_killed_chain_is_run_again_with_another_seed(fake_executable: Path, tmp_path: Path) -> None:
    data = {"mode": KILL_ONCE, "chains": [2]}
    files = run_nuts(fake_executable, data, SETTINGS, output_dir=tmp_path)
    assert files.retries == ("chain 2 was killed by SIGKILL and run again with another seed",)
    assert files.chains[0].seed == 3
    assert files.chains[1].seed != 3
    assert len(read_chains(files)) == 2
    repeated = run_nuts(fake_executable, data, SETTINGS, output_dir=tmp_path)
    assert repeated.chains[1].seed == files.chains[1].seed


def test_a_chain_killed_three_times_fails(fake_executable: Path, tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match="chain 1 was killed by SIGKILL, 3 times"):
        run_nuts(fake_executable, {"mode": KILL, "chains": [1]}, SETTINGS, output_dir=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert (folder / "attempts_1").read_text() == "xxx"


def test_a_failing_chain_says_why_and_is_not_run_again(fake_executable: Path, tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match=r"(?s)exit code 70.*Scale parameter is 0"):
        run_nuts(fake_executable, {"mode": FAIL, "chains": [2]}, SETTINGS, output_dir=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert (folder / "attempts_2").read_text() == "x"
    assert "Scale parameter is 0" in (folder / "chain_2.log").read_text()


@pytest.mark.parametrize("mode", [SHORT, NO_FOOTER])
def test_exit_zero_with_a_short_file_fails(fake_executable: Path, tmp_path: Path, mode: int) -> None:
    with pytest.raises(SamplingError, match="not whole"):
        run_nuts(fake_executable, {"mode": mode}, SETTINGS, output_dir=tmp_path)


def test_a_missing_executable_is_said(tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match="No such file"):
        run_nuts(tmp_path / "absent", {}, SETTINGS, output_dir=tmp_path)


@pytest.mark.parametrize("mode", [HANG, STUBBORN])
def test_a_hanging_chain_is_ended(
    fake_executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.3)
    start = time.monotonic()
    with pytest.raises(SamplingError, match=r"not finished after 0\.5 s"):
        run_nuts(fake_executable, {"mode": mode}, SETTINGS, output_dir=tmp_path, timeout=0.5)
    assert time.monotonic() - start < 10


def test_a_chatty_chain_has_a_bounded_log(fake_executable: Path, tmp_path: Path) -> None:
    files = run_nuts(fake_executable, {"mode": FLOOD, "chains": [1]}, SETTINGS, output_dir=tmp_path)
    log = (files.folder / "chain_1.log").read_text()
    assert len(log) < 100_000
    assert "Informational message 0" in log
    assert "Informational message 199999" in log


def test_draws_that_cannot_fit_stop_the_run_at_its_start(
    fake_executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MARGIN", 1e15)
    with pytest.raises(SamplingError, match="GB of disk"):
        run_nuts(fake_executable, {"delay": 0.2}, SETTINGS, output_dir=tmp_path)


@pytest.mark.parametrize("name", ["a b", "o'clock", 'say "x"', "#$%&;", "new\nline", "é中🧬", "x" * 200])
def test_folders_of_any_name_work(fake_executable: Path, tmp_path: Path, name: str) -> None:
    files = run_nuts(fake_executable, {}, SETTINGS, output_dir=tmp_path / name)
    assert len(read_chains(files)) == 2


def test_runs_started_together_never_share_a_folder(fake_executable: Path, tmp_path: Path) -> None:
    settings = SamplerSettings(chains=1, warmup=0, draws=1)
    folders = {run_nuts(fake_executable, {}, settings, output_dir=tmp_path).folder for _ in range(5)}
    assert len(folders) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_many_runs_leave_no_file_open(fake_executable: Path, tmp_path: Path) -> None:
    settings = SamplerSettings(chains=1, warmup=0, draws=1)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        run_nuts(fake_executable, {}, settings, output_dir=tmp_path)
        with pytest.raises(SamplingError):
            run_nuts(fake_executable, {"mode": FAIL}, SETTINGS, output_dir=tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_folder_that_cannot_be_made_is_said(fake_executable: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SamplingError, match="cannot be made"):
        run_nuts(fake_executable, {}, SETTINGS, output_dir=tmp_path / "file" / "run")


def test_inits_are_once_or_once_per_chain(fake_executable: Path, tmp_path: Path) -> None:
    files = run_nuts(fake_executable, {}, SETTINGS, output_dir=tmp_path, inits=[{"mu": 1}, {"mu": 2}])
    assert (files.folder / "inits_2.json").read_text() == '{"mu": 2}'
    with pytest.raises(OptionError, match="there are 3 for 2 chains"):
        run_nuts(fake_executable, {}, SETTINGS, output_dir=tmp_path, inits=[{}] * 3)


CALLER = """
import sys, pathlib
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings
run_nuts(pathlib.Path(sys.argv[1]), {"mode": int(sys.argv[3])}, SamplerSettings(chains=3, warmup=5, draws=5,
cores=2),
         output_dir=pathlib.Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("number", "code", "mode"),
    [
        pytest.param(signal.SIGINT, -2, HANG, id="int"),
        pytest.param(signal.SIGTERM, 143, HANG, id="term"),
        pytest.param(signal.SIGKILL, -9, HANG, id="kill"),
        pytest.param(signal.SIGTERM, 143, STUBBORN, id="term-stubborn"),
    ],
)
def test_an_ended_caller_leaves_no_chain(
    fake_executable: Path, tmp_path: Path, number: signal.Signals, code: int, mode: int
) -> None:
    command: list[Any] = [sys.executable, "-c", CALLER, fake_executable, tmp_path, str(mode)]
    caller = subprocess.Popen(command, stderr=subprocess.DEVNULL, process_group=0)
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("chains-*/chain_*.csv"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(wait_for(tmp_path, 2, 5)) == 2
    os.kill(caller.pid, number)
    assert caller.wait(timeout=10) == code
    assert wait_for(tmp_path, 0, 5) == []
