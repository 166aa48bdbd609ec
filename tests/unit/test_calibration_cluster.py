"""Campaigns on a Dask cluster: a real scheduler and real workers on loopback, one of them killed half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_calibration as fake
import numpy as np
import pytest
from distributed import Client

from bayesexpr.calibration import cluster
from bayesexpr.calibration.backend import FunctionBackend
from bayesexpr.calibration.campaign import Progress, run_campaign
from bayesexpr.calibration.cluster import Errand
from bayesexpr.calibration.simulation import Simulator
from bayesexpr.calibration.verdict import INCONCLUSIVE, PASS
from bayesexpr.cli import main
from bayesexpr.errors import InputError, OptionError

pytestmark = pytest.mark.timeout(300)

EXACT = FunctionBackend(fake.exact)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Scheduler and two workers, one of which nobody restarts; the address, and the number of that one's process."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "1"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    place = tmp_path / "scheduler.json"
    command += ["--dashboard-address", ":0", "--scheduler-file", str(place)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "env": environment}
    scheduler = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
    workers = []
    try:
        _wait(place.exists)
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(place)]
        worker += ["--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        workers = [subprocess.Popen([*worker, kind], **quiet) for kind in ("--no-nanny", "--nanny")]  # type: ignore[call-overload]
        found = str(json.loads(place.read_text())["address"])
        with Client(found, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield found + f"#{workers[0].pid}"
    finally:
        for process in (*workers, scheduler):
            process.terminate()
            process.wait()


def _wait(until: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cluster_gives_the_ranks_of_the_local_pool_though_a_worker_dies(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """80 simulations; one of two workers is killed after 20. Then faults: rows, as they are here."""
    place, pid = address.split("#")
    alone = run_campaign(fake.SCENARIO, EXACT, simulations=80, workers=2)

    def kill(progress: Progress) -> None:
        if progress.done == 20:
            os.kill(int(pid), signal.SIGKILL)

    found = run_campaign(fake.SCENARIO, EXACT, simulations=80, scheduler=place, folder=tmp_path / "c", progress=kill)
    np.testing.assert_array_equal(found.table.rank, alone.table.rank)
    assert found.verdict.status == PASS
    for i in (4, 50):
        (tmp_path / "c" / "fits" / f"0-{i:06d}.json").unlink()
    again = run_campaign(fake.SCENARIO, EXACT, simulations=80, scheduler=place, folder=tmp_path / "c")
    np.testing.assert_array_equal(again.table.rank, alone.table.rank)
    failing = fake.Faulty("fail", above=1.2)
    rows = run_campaign(fake.SCENARIO, failing, simulations=30, scheduler=place)
    here = run_campaign(fake.SCENARIO, failing, simulations=30)
    assert rows.table.failures == here.table.failures
    assert rows.verdict.status == here.verdict.status == INCONCLUSIVE
    deadly = run_campaign(fake.SCENARIO, fake.Faulty("die", above=1.2), simulations=12, scheduler=place)
    assert len(deadly.table.failures) == 1
    assert "died again and again" in next(iter(deadly.table.failures.values()))
    command = ["sbc", "dirichlet_multinomial", "--method", "exact", "--simulations", "25", "--quiet"]
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--scheduler", place, "-o", str(tmp_path / "cli")])
    assert "PASS: 25 of 25 simulations" in capsys.readouterr().out


def test_a_worker_with_another_package_is_refused() -> None:
    simulator = Simulator(fake.SCENARIO, EXACT, 1, 99)
    errand = Errand(simulator, "a campaign", cluster.package_digest())
    there, here = errand.run(0, 3), simulator.run(0, 3)
    assert there.pop("seconds") > 0
    assert here.pop("seconds") > 0
    assert there == here
    with pytest.raises(InputError, match="another version of bayesexpr"):
        replace(errand, package="other").run(0, 3)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("bayesexpr.cluster.PATIENCE", 0.5)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        run_campaign(fake.SCENARIO, EXACT, simulations=5, scheduler="tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OptionError, match=r"pip install 'bayesexpr\[cluster\]'"):
        run_campaign(fake.SCENARIO, EXACT, simulations=5, scheduler="tcp://127.0.0.1:9")
    both = ["sbc", "dirichlet_multinomial", "--simulations", "5", "--workers", "2", "--scheduler", "x", "-o", "c"]
    with pytest.raises(SystemExit, match="2"):
        main(both)
    assert "not both" in capsys.readouterr().err


def test_who_was_beside_a_simulation_that_kills_workers_is_run_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulation 3 kills every worker; 2 and 4, which were at hand with it, are suspected too at first."""

    class KilledWorkerError(Exception):
        """Stands for Dask's."""

    class Cluster:
        """Blames what it is given the first time together, and 3 whenever it is run."""

        loop = None

        def __init__(self) -> None:
            self.seen: list[int] = []

        def nthreads(self) -> dict[str, int]:
            return {"one": 1}

        def submit(self, run: object, stage: int, index: int, pure: bool) -> SimpleNamespace:
            def result() -> dict[str, object]:
                first = index not in self.seen
                self.seen.append(index)
                if index == 3 or (first and index in (2, 4)):
                    raise KilledWorkerError
                return {"stage": stage, "index": index, "reason": None}

            return SimpleNamespace(key=f"{index}-{len(self.seen)}-{id(result)}", result=result)

    class Going(list[Any]):
        """Futures as they are finished: those that are added meanwhile too."""

        add = list.append

    client = Cluster()
    dask = SimpleNamespace(
        as_completed=lambda futures, loop: Going(futures), scheduler=SimpleNamespace(KilledWorker=KilledWorkerError)
    )
    monkeypatch.setattr(cluster, "require_distributed", lambda: dask)
    monkeypatch.setattr(cluster, "connect", lambda dask, address: nullcontext(client))
    simulator = Simulator(fake.SCENARIO, EXACT, 1, 99)
    rows = {row["index"]: row for row in cluster.run_on_cluster("a", simulator, [(0, i) for i in range(12)], "key")}
    assert sorted(rows) == list(range(12))
    assert [i for i, row in rows.items() if row["reason"]] == [3]
    assert "died again and again" in rows[3]["reason"]
    assert client.seen.count(3) == client.seen.count(2) == 2
