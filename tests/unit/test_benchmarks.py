"""What the benchmarks compute from what they measured: targets, exponents, reasons, tables. Nothing is timed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest


def run_record(method: str, **changed: Any) -> dict[str, Any]:
    good = {"least_bulk_ess": 500.0, "below_400": 0, "rhat": 1.02, "rhat_limit": 1.03, "rhat_above_limit": 0}
    record: dict[str, Any] = {
        "method": method,
        "seconds": 170.0,
        "cpu_seconds": 300.0,
        "shared": False,
        "machine": {"cores": 2},
        "peak_memory_gb": 1.2,
        "genes_fitted": 19_000,
        "genes_diagnosed": good,
        "hyperparameters_diagnosed": good,
        "largest_k_used": 0.6,
        "k_limit": 0.67,
        "sampled_by_chains": 3,
        "calls": 960,
        "against_truth": {"calls": 960, "false_discovery_rate": 0.05, "power": 0.31, "rmse_log2": 0.2},
    }
    return record | changed


def test_a_command_is_measured_with_its_children(module: Any) -> None:
    """A child that fills 300 MB and spends processor time: tolerance a factor of two."""
    child = "import time; x = bytearray(300 << 20); x[:: 4096] = b'1' * len(x[::4096]); t = time.process_time()\n"
    child += "while time.process_time() - t < 0.3: pass\ntime.sleep(0.3)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    used = module("measuring").measure([sys.executable, "-c", parent], every=0.05)
    assert 0.28 < used.peak_memory_gb < 0.6
    assert used.cpu_seconds > 0.3
    assert used.seconds > 0.6
    idle = module("measuring").measure([sys.executable, "-c", "import time; time.sleep(0.4)"], every=0.05)
    assert idle.peak_memory_gb < 0.1
    assert idle.cpu_seconds < used.cpu_seconds
    if sys.platform == "linux":
        assert 0.3 <= used.children_cpu_seconds <= used.cpu_seconds + 0.02  # the system counts ticks of 10 ms
        assert idle.children_cpu_seconds == 0.0
        assert set(used.record()) > set(
            module("measuring").Usage(1.0, 1.0, 1.0).record()
        )  # what is unknown is left out


def test_records_are_read_as_written_and_absent_ones_are_none(module: Any, tmp_path: Path) -> None:
    measuring = module("measuring")
    assert measuring.read("some", tmp_path) is None
    measuring.write("some", {"a": 1.5}, tmp_path)
    assert measuring.read("some", tmp_path) == {"a": 1.5}
    assert [path.name for path in tmp_path.iterdir()] == ["some.json"]
    assert measuring.code_digest() == measuring.code_digest()


def test_the_simulated_study_is_the_same_each_time_and_knows_its_truth(module: Any, tmp_path: Path) -> None:
    simulated = module("simulated")
    first, second = simulated.simulate(400, 9, seed=3), simulated.simulate(400, 9, seed=3)
    assert first["counts"].equals(second["counts"])
    assert not first["counts"].equals(simulated.simulate(400, 9, seed=4)["counts"])
    assert list(first["samples"]["group"]) == list("aaaabbbbb")
    assert 0.08 < (first["truth"]["true_log2fc"] != 0).mean() < 0.22  # 15 %, four errors of 400
    folder = simulated.write_study(tmp_path / "study", 400, 9, seed=3)
    back = pd.read_csv(folder / "counts.csv.gz", index_col=0)
    assert np.array_equal(back.to_numpy(), first["counts"].to_numpy())


def test_exponents_are_those_of_the_large_sizes(module: Any) -> None:
    growth = module("growth")
    size = np.array([100.0, 1000.0, 2000.0, 4000.0, 8000.0])
    assert growth.exponent(size, 3.0 * size**1.3) == pytest.approx(1.3)
    fixed = 1e4 + size**2  # what every run takes hides the growth at the small sizes only
    assert growth.exponent(size, fixed) > 1.9
    assert growth.exponent(size, fixed, within=1e9) < 1.9
    runs = [
        {"method": "eb", "axis": "genes", "size": n, "cpu_seconds": 2.0 * n, "peak_memory_gb": 0.5} for n in (1, 2, 4)
    ]
    assert growth.exponents(runs) == {"eb": {"genes": {"exponent": 1.0, "last": 1.0, "memory_exponent": 0.0}}}
    assert growth.exponents(runs[:2]) == {}  # two points are a line whatever they are


def test_runs_of_other_code_are_not_fitted_together(module: Any) -> None:
    def run(size: int, seconds: float, code: str) -> dict[str, Any]:
        common = {"method": "eb", "axis": "genes", "peak_memory_gb": 1.0, "machine": {"cores": 1}}
        return {**common, "size": size, "cpu_seconds": seconds, "code": code}

    new = [run(size, size / 1000, "new") for size in (1000, 2000, 4000)]
    assert module("growth").exponents(new)["eb"]["genes"]["exponent"] == pytest.approx(1.0)
    mixed = [run(500, 40.0, "old"), *new]
    assert module("growth").exponents(mixed) == module("growth").exponents(new)
    assert module("growth").exponents([*new[:2], run(4000, 9.0, "old")]) == {}  # one run is no growth


def test_a_step_of_nuts_has_an_exponent_of_its_own(module: Any) -> None:
    """Trajectories of 31 and of 63 steps: a draw grows faster than a step, which is linear."""
    growth, used = module("growth"), module("measuring").Usage(20.0, 30.0, 1.0, 24.0)
    found = {
        "leapfrogs_per_draw": 31.0,
        "iterations": 200,
        "seconds": [{"warmup": 3.0, "sampling": 6.0}, {"warmup": 2.0, "sampling": 4.0}],
    }
    assert growth.steps_of(found, used) == {"steps": 31.0, "cpu_ms_per_step": pytest.approx(16_000 / 6_200, rel=1e-3)}
    unknown = module("measuring").Usage(20.0, 30.0, 1.0)
    assert growth.steps_of(found, unknown) == {"steps": 31.0}
    runs = [
        {"method": "nuts", "axis": "genes", "size": n, "cpu_seconds": n * steps, "peak_memory_gb": 0.5}
        | {"steps": steps, "cpu_ms_per_step": 0.1 * n}
        for n, steps in ((1_000, 31.0), (2_000, 31.0), (4_000, 63.0))
    ]
    nuts = growth.exponents(runs)["nuts"]["genes"]
    assert nuts["step_exponent"] == pytest.approx(1.0)
    assert nuts["last"] > 1.9
    assert "step_exponent" not in growth.exponents([{**runs[0], "size": 500, "cpu_ms_per_step": 0.05}, *runs[1:2]])
    del runs[0]["cpu_ms_per_step"]
    assert "step_exponent" not in growth.exponents(runs)["nuts"]["genes"]


def test_nuts_makes_as_many_iterations_at_every_size(module: Any) -> None:
    from bayesexpr.de_sampling import DESettings

    growth = module("growth")
    found = {
        n: growth.settings_of("nuts", n)["draws"] * DESettings().thin_for("nuts", n) for n in growth.SIZES["genes"]
    }
    assert set(found.values()) == {growth.SETTINGS["nuts"]["draws"]}
    assert growth.settings_of("nuts", 60_000)["draws"] < growth.settings_of("nuts", 1_000)["draws"]
    assert growth.settings_of("blocked", 60_000) == growth.SETTINGS["blocked"]


def test_growth_goes_on_where_it_was(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pieces by method, axis and size; what is recorded for this code and these settings is left alone."""
    growth, measuring = module("growth"), module("measuring")
    done: list[list[str]] = []

    def measured(command: list[str], say: bool) -> Any:
        done.append(command)
        return measuring.Usage(2.0, float(len(done)), 0.5)

    monkeypatch.setattr(growth, "read", lambda name: measuring.read(name, tmp_path))
    monkeypatch.setattr(growth, "write", lambda name, record: measuring.write(name, record, tmp_path))
    monkeypatch.setattr(growth, "measure", measured)
    monkeypatch.setattr(growth, "build", lambda *given: None)
    monkeypatch.setattr(growth, "write_study", lambda folder, genes, samples: folder)
    monkeypatch.setattr(growth, "draw", lambda record, target: None)
    asked = ["growth.py", "--method", "eb", "--method", "blocked", "--axis", "samples", "--size", "6", "--size", "12"]
    monkeypatch.setattr(sys, "argv", asked)
    assert growth.main() == 0
    assert len(done) == 4
    assert "eb, 12 samples" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*asked, "--size", "25"])
    assert growth.main() == 0
    assert len(done) == 6
    runs = (measuring.read("growth", tmp_path) or {})["runs"]
    assert [(run["method"], run["size"]) for run in runs] == [(m, n) for m in ("eb", "blocked") for n in (6, 12, 25)]
    assert "eb, samples: exponent" in capsys.readouterr().out
    monkeypatch.setitem(growth.SETTINGS, "eb", {"draws": 2000})
    assert growth.main() == 0
    assert len(done) == 9  # the control: with other settings it is measured again
    assert done[-1][-2:] == ["--draws", "2000"]


@pytest.mark.parametrize(
    ("value", "more", "besides", "said"),
    [
        (500, False, True, "yes"),
        (100, False, True, "yes, and the aim"),
        (601, False, True, "**no**"),
        (500, False, False, "**no**"),
        (200, True, True, "yes"),
        (700, True, True, "yes, and the aim"),
    ],
)
def test_targets_are_met_or_missed(module: Any, value: float, more: bool, besides: bool, said: str) -> None:
    bounds = (180, 650) if more else (600, 180)
    assert module("targets").verdict(value, *bounds, more=more, besides=besides) == said


def test_rows_of_the_target_table_come_from_the_records(module: Any, tmp_path: Path) -> None:
    targets, measuring = module("targets"), module("measuring")
    assert all(row[3] == "not measured" for row in targets.rows(tmp_path))
    measuring.write("kernel", {"stan_over_kernel": 20.0}, tmp_path)
    measuring.write("targets_simulated_blocked", run_record("blocked"), tmp_path)
    slow = run_record("nuts", hyperparameters_diagnosed=run_record("nuts")["genes_diagnosed"] | {"below_400": 1})
    measuring.write("targets_simulated_nuts", slow, tmp_path)
    measuring.write("targets_simulated_eb", run_record("eb", seconds=21.0, largest_k_used=0.5), tmp_path)
    peers = {"numpyro": {"cpu_seconds": 50.0}, "nutpie": {"skipped": "not installed"}, "nuts": {"cpu_seconds": 5.0}}
    chapter = {"published_200": {"ess_per_cpu_second": 2.0}, "ours_200": {"ess_per_cpu_second": 30.0}}
    chapter |= {"published_1000": {"ess_per_cpu_second": 1.0}, "ours_1000": {"skipped": "not installed"}}
    measuring.write("peers", {"same_model": peers, "chapter": chapter}, tmp_path)
    nuts = {"exponent": 1.3, "last": 1.0, "step_exponent": 0.98}
    exponents = {"eb": {"genes": {"exponent": 0.9, "last": 1.0}, "samples": {"exponent": 0.9, "last": 1.2}}}
    exponents["nuts"] = {"genes": nuts}
    measuring.write("growth", {"exponents": exponents}, tmp_path)
    met = {row[0].split(",")[0]: row[4] for row in targets.rows(tmp_path)}
    assert met["gradient of the full density inside Stan against pure Stan"] == "yes"
    assert met["joint posterior by blocked"] == "yes, and the aim"
    assert met["joint posterior by nuts"] == "**no**"  # in time, but one quantity has too few effective draws
    assert met["`--method eb`"] == "**no**"
    assert [row[4] for row in targets.rows(tmp_path) if "processor time against" in row[0]] == ["yes", ""]
    of_the_chapter = [row[3:] for row in targets.rows(tmp_path) if "the chapter's program" in row[0]]
    assert of_the_chapter == [("15.0x", "**no**"), ("not measured", "")]
    assert met["peak memory of the whole run"] == "yes, and the aim"
    grown = {row[0].removeprefix("growth of processor time with "): row[3:] for row in targets.rows(tmp_path)}
    assert grown["genes, eb"] == ("0.90 (last doubling 1.00)", "yes")
    assert grown["samples, eb"][1] == "**no**"
    assert grown["genes, nuts"] == ("1.30 (last doubling 1.00; of a leapfrog step 0.98)", "**no**")
    assert grown["genes, blocked"] == ("not measured", "")


@pytest.mark.parametrize(
    ("ratio", "ours", "theirs", "said"),
    [
        (40.0, False, False, ("40.0x", "yes, and the aim")),
        (40.0, False, True, ("at most 40.0x", "not shown")),
        (40.0, True, False, ("at least 40.0x", "yes, and the aim")),
        (4.0, False, True, ("at most 4.0x", "**no**")),
        (4.0, True, False, ("at least 4.0x", "not shown")),
        (40.0, True, True, ("about 40.0x", "not shown")),
    ],
)
def test_a_ratio_on_shared_cores_is_a_bound(
    module: Any, ratio: float, ours: bool, theirs: bool, said: tuple[str, str]
) -> None:
    assert module("targets")._times(ratio, 10, 30, ours={"shared": ours}, theirs={"shared": theirs}) == said


@pytest.mark.parametrize(("cpu", "said"), [(1300.0, "**no**"), (1100.0, "not shown")])
def test_a_wall_time_on_shared_cores_is_a_bound(module: Any, tmp_path: Path, cpu: float, said: str) -> None:
    targets, measuring = module("targets"), module("measuring")
    record = run_record("nuts", seconds=900.0, cpu_seconds=cpu, shared=True)
    measuring.write("targets_simulated_nuts", record, tmp_path)
    row = next(row for row in targets.rows(tmp_path) if "by nuts" in row[0])
    assert row[3].startswith("at most 900 s")
    assert row[4] == said  # two free cores could not have done it in 600 s, or could have


def test_the_worst_r_hat_is_the_one_nearest_its_limit(module: Any) -> None:
    table = pd.DataFrame({"rhat": [1.02, 1.03, np.nan], "ess_bulk": [900.0, 500.0, 399.0], "ess_tail": 500.0})
    found = module("targets").worst_of(table, lambda here: np.array([1.021, 1.05])[: len(here)])
    assert found == {
        "least_bulk_ess": 399.0,
        "below_400": 1,
        "rhat": 1.02,
        "rhat_limit": 1.021,
        "rhat_above_limit": 0,
    }


def test_limits_of_r_hats_are_not_below_what_sound_chains_reach(module: Any) -> None:
    targets = module("targets")
    table = pd.DataFrame({"rhat": 1.0, "ess_bulk": [400.0] * 5_000, "ess_tail": 400.0})
    assert 1.01 < targets.shared_limits(table[:10])[0] < targets.gene_limits(table)[0] < 1.06


def test_tables_say_what_was_skipped(module: Any, tmp_path: Path) -> None:
    tables, measuring = module("speed_tables"), module("measuring")
    measuring.write("peers", {"same_model": {}, "tests": {"DESeq2": {"skipped": "Rscript is not installed"}}}, tmp_path)
    measuring.write("targets_simulated_eb", run_record("eb"), tmp_path)
    text = tables.count_tests(tmp_path)
    assert "| DESeq2 | Rscript is not installed |" in text
    assert "| **bayesexpr, eb** | 300 | 1.2 | 960 | 5.0 % | 31.0 % | 0.200 |" in text
    assert "not measured" in tables.same_model(tmp_path)
    row = {"settings": {"warmup": 5, "draws": 6}, "cpu_seconds": 40.0, "steps_per_draw": 31.0, "largest_rhat": 1.01}
    row |= {"least_ess": 500.0, "ess_per_cpu_second": 12.5}
    same = {"nuts": {**row, "cpu_seconds": 4.0, "shared": False}, "stan": {**row, "shared": True}, "numpyro": row}
    measuring.write("peers", {"same_model": same}, tmp_path)
    assert "| Stan, vectorised | 5 + 6 | at most 40.0 | at most 10.0 | 31 |" in tables.same_model(tmp_path)
    assert "| NumPyro | 5 + 6 | 40.0 | 10.0 | 31 |" in tables.same_model(tmp_path)  # the control: on cores of its own
    assert [tables.plain(value) for value in (1056.2, 26.79, 3.152, 0.0612)] == ["1,056", "26.8", "3.2", "0.061"]


def test_gain_of_threads_is_of_rounds_and_needs_equal_draws(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    threads, tables, measuring = module("threads"), module("speed_tables"), module("measuring")
    seconds = {
        "nuts": {1: iter([4.0, 9.0, 6.0]), 2: iter([2.0, 6.0, 4.0])},
        "blocked": {1: iter([3.0] * 3), 2: iter([2.0] * 3)},
    }
    energies = {1: np.array([1.0, 2.0]), 2: np.array([1.0, 2.0])}
    monkeypatch.setattr(threads, "study_of", lambda genes: type("Study", (), {"samples": "abcdefgh"}))
    monkeypatch.setattr(threads, "one_chain", lambda _, method, n: (next(seconds[method][n]), energies[n]))
    monkeypatch.setattr(threads, "write", lambda name, record: measuring.write(name, record, tmp_path))
    monkeypatch.setattr(sys, "argv", ["threads.py"])
    assert threads.main() == 0
    record = measuring.read("threads", tmp_path)
    assert record["one_over_two"] == {"nuts": 1.5, "blocked": 1.5}  # of 2, 1.5 and 1.5
    assert "| 20,000 genes x 8 samples | one thread" in tables.threads(tmp_path)
    assert "| 150 draws of a chain by nuts | 6 s | 4 s | 1.50 |" in tables.threads(tmp_path)
    seconds["nuts"] = {1: iter([4.0]), 2: iter([2.0])}
    energies[2] = np.array([1.0, 2.0 + 1e-15])
    with pytest.raises(SystemExit, match="draw otherwise"):
        threads.main()


def test_tables_of_the_pages_are_those_of_the_records(module: Any) -> None:
    """``make bench-tables`` fills them."""
    tables = module("speed_tables")
    from bayesexpr.calibration.tables import filled

    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert filled(text, tables.sections_of(text), tables.SECTIONS) == text, f"{page}: run make bench-tables"
    assert set(tables.sections_of(tables.PAGES[0].read_text(encoding="utf-8"))) == set(tables.SECTIONS)
