"""Campaigns: same ranks for any number of workers, any order, any resume; failures are rows; alarms are repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fake_calibration as fake
import numpy as np
import pytest

from bayesexpr.calibration.backend import FunctionBackend
from bayesexpr.calibration.campaign import Progress, replay, run_campaign
from bayesexpr.calibration.result import Campaign
from bayesexpr.calibration.simulate import DATA, fit_seed, stream
from bayesexpr.calibration.store import Store
from bayesexpr.calibration.verdict import FAIL, INCONCLUSIVE, PASS
from bayesexpr.errors import InputError, OptionError

EXACT = FunctionBackend(fake.exact)


def run(n: int = 40, backend: object = EXACT, **more: object) -> Campaign:
    return run_campaign(fake.SCENARIO, backend, simulations=n, **more)  # type: ignore[arg-type]


def test_exact_draws_pass() -> None:
    found = run(200)
    assert found.verdict.status == PASS
    assert found.table.names == ("mu", "log_lik")
    assert found.table.uses_data == (False, True)
    assert found.summary().loc["mu", "contraction"] == pytest.approx(5 / 6, abs=0.05)


def test_ranks_are_the_same_for_any_workers_and_order(tmp_path: Path) -> None:
    alone = run(folder=tmp_path / "a").table.rank
    np.testing.assert_array_equal(run(workers=2).table.rank, alone)
    with ThreadPoolExecutor(3) as executor:
        np.testing.assert_array_equal(run(executor=executor, workers=3).table.rank, alone)
    np.testing.assert_array_equal(run(60).table.rank[:40], alone)
    assert not np.array_equal(run(seed=2).table.rank, alone)


def test_no_two_simulations_share_a_stream() -> None:
    """R10: 10 000 data sets of two stages, none alike; nor two seeds of fits, but for chance."""
    first = {stream(1, stage, i, DATA).integers(2**63) for stage in (0, 1) for i in range(5000)}
    assert len(first) == 10_000
    seeds = [fit_seed(1, 0, i, attempt) for i in range(5000) for attempt in (0, 1)]
    assert len(set(seeds)) >= 10_000 - 1
    assert all(1 <= s < 2**31 for s in seeds)


def test_a_folder_resumes_to_identical_files(tmp_path: Path) -> None:
    whole = run(folder=tmp_path)
    ranks = (tmp_path / "ranks.csv").read_bytes()
    for i in (3, 17, 39):
        (tmp_path / "fits" / f"0-{i:06d}.json").unlink()
    seen: list[Progress] = []
    again = run(folder=tmp_path, progress=seen.append)
    assert [p.done for p in seen] == [38, 39, 40]
    assert seen[-1].seconds_left == 0
    assert str(seen[-1]).strip() == "simulations 40/40, 0:00:00 left"
    assert str(Progress("replication", 7, 200, 2, 3725.0)).strip() == "replication 7/200, 2 failed, 1:02:05 left"
    np.testing.assert_array_equal(again.table.rank, whole.table.rank)
    assert (tmp_path / "ranks.csv").read_bytes() == ranks
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["verdict"] == "PASS"
    assert [q["quantity"] for q in summary["quantities"]] == ["mu", "log_lik"]


def test_damaged_files_are_run_again(tmp_path: Path) -> None:
    """R7: 300 random truncations and bit flips; none gives another rank."""
    whole = run(12, folder=tmp_path).table.rank
    rng = np.random.default_rng(1)
    store = Store(tmp_path, json.loads((tmp_path / "campaign.json").read_text()))
    kept = {i: store.path(0, i).read_bytes() for i in range(12)}
    for _ in range(300):
        i = int(rng.integers(12))
        damaged = bytearray(kept[i])
        if rng.random() < 0.5:
            del damaged[int(rng.integers(len(damaged) - 2)) :]
        else:
            damaged[int(rng.integers(len(damaged) - 1))] ^= 1 << int(rng.integers(8))
        store.path(0, i).write_bytes(bytes(damaged))
        with pytest.warns(UserWarning, match="damaged"):
            assert store.read(0, i) is None
        store.path(0, i).write_bytes(kept[i])
    store.path(0, 5).write_bytes(kept[4])  # whole, but of another simulation
    with pytest.warns(UserWarning, match="damaged"):
        np.testing.assert_array_equal(run(12, folder=tmp_path).table.rank, whole)


def test_a_folder_of_another_campaign_is_refused(tmp_path: Path) -> None:
    run(3, folder=tmp_path)
    with pytest.raises(InputError, match="another campaign: its seed is 1, this one has 2"):
        run(3, folder=tmp_path, seed=2)
    with pytest.raises(InputError, match="its simulations is 3, this one has 4"):
        run(4, folder=tmp_path)
    with pytest.raises(InputError, match="backend_digest"):
        run(3, FunctionBackend(fake.narrow), folder=tmp_path)
    (tmp_path / "campaign.json").unlink()
    with pytest.raises(InputError, match="no readable"):
        run(3, folder=tmp_path)
    with pytest.raises(InputError, match="cannot be made"):
        run(3, folder=tmp_path / "fits" / "0-000000.json" / "x")


def test_failed_fits_are_rows_with_a_reason(tmp_path: Path) -> None:
    for fault, words in (
        ("fail", "SamplingError: chain 1 failed with exit code 70"),
        ("nan", "draw 4 of mu is nan"),
        ("input", "InputError: the data break a rule"),
    ):
        found = run(60, fake.Faulty(fault, above=1.2), folder=tmp_path / fault)
        table = found.table
        assert 0 < len(table.failures) < 30
        assert table.finished + len(table.failures) == 60
        assert all(words in reason for reason in table.failures.values())
        assert found.verdict.status == INCONCLUSIVE
        assert words in str(found.verdict)
        again = replay(fake.SCENARIO, fake.Faulty(fault, above=1.2), min(table.failures), seed=1)
        assert again["reason"] == table.failures[min(table.failures)]


def test_a_campaign_that_is_set_up_wrongly_stops_at_once() -> None:
    with pytest.raises(InputError, match=r"draws \(theta\) and the simulated parameters \(mu\) share no name"):
        run(10, FunctionBackend(fake.other_name))
    for wrong in ({"simulations": 0}, {"simulations": 5, "L": 0}, {"simulations": 5, "workers": 2.0}):
        with pytest.raises(OptionError, match="whole number"):
            run_campaign(fake.SCENARIO, EXACT, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least that many"):
        run(5, L=500)


def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    """R2: killed once, a simulation is run again; killed always, it fails after three deaths; others are done."""
    alone = run(12)
    once = run(12, fake.Faulty("die once", above=1.2, marker=str(tmp_path / "died")), workers=2)
    assert (tmp_path / "died").exists()
    assert once.table.finished == 12
    always = run(12, fake.Faulty("die", above=1.2), workers=2)
    killer = [i for i in range(12) if np.mean(fake.draw(stream(1, 0, i, DATA))[1]["y"]) > 1.2]
    assert len(killer) == 1
    assert list(always.table.failures) == killer
    assert "died 3 times" in always.table.failures[killer[0]]
    np.testing.assert_array_equal(always.table.rank, np.delete(alone.table.rank, killer, axis=0))


SCRIPT = """
import sys, time
sys.path.insert(0, {unit!r})
import fake_calibration as fake
from bayesexpr.calibration.backend import FunctionBackend
from bayesexpr.calibration.campaign import run_campaign

if __name__ == "__main__":
    run_campaign(fake.SCENARIO, FunctionBackend(fake.exact), simulations=400, folder=sys.argv[1], workers=2)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_parent_ended_half_way_loses_only_what_was_in_flight(tmp_path: Path, end: signal.Signals) -> None:
    """R3, R4: with some simulations done; nothing is left running, and the campaign goes on to the same ranks."""
    script = tmp_path / "campaign.py"
    script.write_text(SCRIPT.format(unit=str(Path(__file__).parent)))
    folder = tmp_path / "campaign"
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder)], start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(folder.glob("fits/0-*.json"))) < 20 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(end)
    process.wait(timeout=10)
    done = len(list(folder.glob("fits/0-*.json")))
    assert done >= 20
    deadline = time.monotonic() + 10
    while _group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _group_lives(process.pid)
    np.testing.assert_array_equal(run(400, folder=folder).table.rank, run(400).table.rank)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_overhead_of_a_simulation(tmp_path: Path) -> None:
    """Below 50 ms of computing a fit, saved, with a fit that takes no time; 100 fits on this process."""
    start = time.process_time()
    run(100, folder=tmp_path, replicate=False)
    assert (time.process_time() - start) / 100 < 0.05


@pytest.mark.parametrize(
    ("sample", "name", "kind"), [(fake.narrow, "mu", "too narrow"), (fake.prior_only, "log_lik", "data ignored")]
)
def test_a_wrong_posterior_fails_after_its_replication(tmp_path: Path, sample: object, name: str, kind: str) -> None:
    found = run(100, FunctionBackend(sample), folder=tmp_path)  # type: ignore[arg-type]
    assert found.verdict.status == FAIL
    assert f"{name}: likely {kind}" in str(found.verdict)
    assert found.replication is not None
    assert not np.array_equal(found.replication.rank, found.table.rank)
    assert len(list(tmp_path.glob("fits/1-*.json"))) == 100
    if kind == "data ignored":
        assert [q.name for q in found.verdict.alarms] == ["log_lik"]  # the parameter alone is blind to it


def test_dependent_draws_are_named(tmp_path: Path) -> None:
    found = run(40, FunctionBackend(fake.sticky))
    assert found.verdict.status == INCONCLUSIVE
    assert "autocorrelation, not a fault of the model" in str(found.verdict)
    assert not found.verdict.alarms


def test_ranks_in_arviz_schema_know_their_largest_value() -> None:
    """B1: what divides by the largest rank seen takes a posterior that is too high for a calibrated one."""
    found = run(30)
    group = found.to_datatree()["prior_sbc"]
    assert group.attrs["L"] == found.table.L
    assert group["mu"].dims == ("chain", "draw")
    np.testing.assert_array_equal(group["mu"][0], found.table.ranks_of("mu"))
    assert list(group["draw"].to_numpy()) == list(range(30))
