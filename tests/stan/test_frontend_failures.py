"""The front end of the embedded tool chain when something goes wrong: signals, full disks, mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from frontend_runs import BERNOULLI, TRIALS, Compile, Home, run


@pytest.fixture(scope="module", autouse=True)
def _home(toolchain: Home) -> None:
    if toolchain.kind != "embedded":
        pytest.skip("an installed CmdStan has its own front end")


@pytest.fixture(scope="module")
def bernoulli(compile_stan: Compile) -> Path:
    return compile_stan(BERNOULLI, "bernoulli")


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    file = tmp_path / "trials.json"
    file.write_text(json.dumps(TRIALS))
    return file


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("slow", [0, 1])
def test_signals_stop_it(bernoulli: Path, tmp_path: Path, number: int, slow: int) -> None:
    (tmp_path / "trials.json").write_text(json.dumps(TRIALS | {"slow": slow}))
    words = ["sample", "num_samples=100000000", "data", "file=trials.json", "output", "refresh=0"]
    process = subprocess.Popen(
        [bernoulli, *words],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.5)
        assert process.poll() is None
        sent = time.monotonic()
        os.kill(process.pid, number)
        assert process.wait(timeout=10) == -number
        assert time.monotonic() - sent < 1.5  # half a second of grace, and a busy machine
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("method", ["sample", "optimize", "pathfinder", "variational"])
def test_full_disk_is_an_error(bernoulli: Path, trials: Path, tmp_path: Path, method: str) -> None:
    done = run(bernoulli, method, "data", f"file={trials}", "output", "file=/dev/full", cwd=tmp_path)
    assert done.returncode not in (0, 64)
    assert "/dev/full: No space left on device" in done.stderr


def test_full_disk_of_binary_draws_is_an_error(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    (tmp_path / "out.draws").symlink_to("/dev/full")
    words = ("sample", "data", f"file={trials}", "output", "file=out.csv", "binary=1")
    done = run(bernoulli, *words, cwd=tmp_path)
    assert done.returncode == 70
    assert "No space left on device" in done.stderr


def test_output_folder_must_exist(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    done = run(bernoulli, "sample", "data", f"file={trials}", "output", "file=no/where.csv", cwd=tmp_path)
    assert done.returncode == 70
    assert "cannot open no/where.csv" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sample", "num_draws=5"), "Perhaps you meant"),
        (("sample", "adapt", "detla=0.9"), "gamma="),
        (("sample", "adapt", "delta=1"), "0 < delta < 1"),
        (("sample", "thin=0"), "0 < thin"),
        (("sample", "num_samples=1.5"), "integer"),
        (("sample", "algorithm=gibbs"), "hmc fixed_param"),
        (("sample", "save_warmup=maybe"), "0 1 false true"),
        (("data", "file=absent.json"), 'Can\'t open specified file, "absent.json"'),
        ((), "help"),
    ],
)
def test_mistakes_are_told(bernoulli: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = run(bernoulli, *words, cwd=tmp_path)
    assert done.returncode == 64
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_missing_data_is_an_error(bernoulli: Path, tmp_path: Path) -> None:
    (tmp_path / "part.json").write_text('{"N": 3}')
    done = run(bernoulli, "sample", "data", "file=part.json", cwd=tmp_path)
    assert done.returncode == 70
    assert "variable name=y" in done.stderr
