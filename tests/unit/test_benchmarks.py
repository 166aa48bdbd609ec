"""What the benchmarks compute from what they measured: targets, exponents, reasons, tables. Nothing is timed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a script of the benchmarks, which are no package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


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


def test_peers_that_are_not_installed_are_skipped_with_the_way_to_install(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = module("peers")
    peers.needed("numpy")  # the control: what is there is not skipped
    with pytest.raises(peers.NotInstalledError, match="no_such_sampler is not installed; make bench-peers"):
        peers.needed("no_such_sampler")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        peers.NotInstalledError, match="Rscript is not installed; on Debian: apt-get install r-bioc-edger"
    ):
        peers.needed("edgeR")


def test_what_was_measured_stays_where_a_peer_is_not_installed(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = module("peers")
    record: dict[str, Any] = {"same_model": {"numpyro": {"cpu_seconds": 9.0}}}
    monkeypatch.setattr(peers, "read", lambda name, folder: record)
    monkeypatch.setattr(peers, "write", lambda name, new, folder: record.update(new))
    monkeypatch.setattr(peers, "draw", lambda found, target, title: None)
    monkeypatch.setitem(peers.SAME_MODEL["numpyro"], "needs", "no_such_sampler")
    monkeypatch.setitem(peers.SAME_MODEL["nutpie"], "needs", "no_such_sampler")
    monkeypatch.setattr(sys, "argv", ["peers.py", "--only", "numpyro", "--only", "nutpie"])
    assert peers.main() == 0
    assert "numpyro: recorded" in capsys.readouterr().out
    assert "not installed" in record["same_model"]["nutpie"]["skipped"]
    monkeypatch.setattr(sys, "argv", ["peers.py", "--only", "numpyro", "--again"])
    assert peers.main() == 0
    assert "what is recorded stays" in capsys.readouterr().out
    assert record["same_model"]["numpyro"] == {"cpu_seconds": 9.0}


def test_a_trial_of_the_peers_records_nothing(
    module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers, measuring = module("peers"), module("measuring")
    asked: list[tuple[str, Any]] = []
    for kind in ("same_model", "chapter", "count_test"):
        monkeypatch.setattr(peers, kind, lambda name, sizes: asked.append((name, sizes)) or {"cpu_seconds": 1.0})
    before = (peers.FIGURE.read_bytes(), measuring.read("peers"))
    monkeypatch.setattr(sys, "argv", ["peers.py", "--trial"])
    assert peers.main() == 0
    assert [name for name, _ in asked] == [*peers.SAME_MODEL, *peers.CHAPTER, *peers.TESTS]
    assert {sizes for _, sizes in asked} == {peers.TRIAL}
    assert (peers.FIGURE.read_bytes(), measuring.read("peers")) == before
    assert "recorded" not in capsys.readouterr().out
    for sizes, most in ((peers.TRIAL, 40), (peers.RECORDED, 500)):
        assert max(sizes.of(peers.SAME_MODEL["numpyro"])[part] for part in ("warmup", "draws")) == most


def test_densities_that_differ_are_not_timed(module: Any) -> None:
    peers = module("peers")
    study: dict[str, Any] = {"density": np.array([-100.0, -120.0, -90.0])}
    peers.study_parity("other", study, study["density"] + 7.0)  # a constant is left out
    assert study["parity"] < 1e-12
    with pytest.raises(SystemExit, match="is not ours"):
        peers.study_parity("other", study, study["density"] * [1.0, 1.0, 1.001])


def test_what_programs_read_is_what_was_written(module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    peers, exchange = module("peers"), module("peer_programs.exchange")
    study = peers.flagship_study(40)
    np.savez(tmp_path / "study.npz", **study)
    read = exchange.Study.read(str(tmp_path / "study.npz"))
    assert set(read.start) == set(read.points[2]) == set(exchange.NAMES)
    assert np.array_equal(read.points[2]["d"], study["point_d"][2])
    assert np.array_equal(np.ravel([read.start[name] for name in exchange.HYPER]), study["start_theta"][:9])
    assert np.isfinite(study["density"]).all()
    assert len(set(study["density"])) == 3
    assert set(read.prior) >= {"mu_alpha_mean", "weight_concentration", "size_factor_sd", "nu"}


def test_quantities_of_a_peer_are_on_our_scales(module: Any) -> None:
    peers = module("peers")
    rng = np.random.default_rng(1)
    answer: dict[str, Any] = {name: rng.normal(size=(2, 5)) for name in peers.HYPER}
    answer |= {"v": rng.normal(size=(2, 5, 7)), "alpha": rng.normal(size=(2, 5, 3)), "e": rng.normal(size=(2, 5, 3))}
    d, u = rng.normal(size=(2, 2, 5, 3))
    b = answer["m"][..., None] + np.exp(answer["log_s"])[..., None] * d
    gamma = np.exp(answer["log_tau"])[..., None] * u
    answer |= {"d": d, "u": u}
    theta, genes = peers.quantities(answer, {})
    assert theta.shape == (2, 5, len(peers.HYPER) + 7)
    assert np.allclose(genes[..., 6:], np.concatenate([b, gamma], axis=-1))
    a0, a1 = (np.exp(answer[name][0, 0]) for name in ("log_a0", "log_a1"))
    sigma_phi = 0.85 / (1 + np.exp(-answer["logit_sigma_phi"][0, 0]))
    expected = sigma_phi * answer["e"][0, 0] - np.log(a0 + a1 * np.exp(-answer["alpha"][0, 0]))
    assert np.allclose(genes[0, 0, 3:6], expected)


def test_an_effect_is_weighed_with_the_probability_of_change(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the model's own likelihoods, at a draw of 40 genes from near the data."""
    peers = module("peers")
    study = peers.flagship_study(40)
    point = {key.removeprefix("point_"): value[:1][None] for key, value in study.items() if key.startswith("point_")}
    del point["theta"]
    theta, genes = peers.of_a_peer(point)
    model = peers.NegativeBinomialDE()
    full = model.complete({key: study[key] for key in ("count", "design", "nuisance_design", "log_size_factor")})
    psi = np.column_stack([point[name][0, 0] for name in ("alpha", "e", "d", "u")])
    hyper = model.layout(full).hyper(theta[0, 0], full["log_size_factor"])
    joint = np.log(hyper["weight"]) + model.component_log_lik(psi, hyper, full)
    expected = np.exp(joint[:, 1] - np.logaddexp(joint[:, 0], joint[:, 1]))
    found = peers.probability_of_change(theta, genes, study)
    assert np.allclose(found[0, 0], expected, atol=1e-9)
    assert found.std() > 0.02
    assert np.allclose(peers.quantities(point, study)[1][0, 0, 2 * psi.shape[0] : 3 * psi.shape[0]], found * genes["b"])


def test_calls_of_a_test_are_held_against_the_truth(module: Any) -> None:
    found = pd.DataFrame({"log2_fold_change": [1.0, 0.5, 0.0], "adjusted_p": [0.01, 0.04, 0.5]}, index=["a", "b", "c"])
    truth = pd.Series([1.5, 0.0, 0.0, 2.0], index=["a", "b", "c", "filtered"])
    used = module("measuring").Usage(10.0, 9.0, 1.0)
    record = module("peers").against_truth(found, truth, used)
    assert (record["calls"], record["false_discovery_rate"], record["power"]) == (2, 0.5, 0.5)
    assert record["rmse_log2"] == pytest.approx(np.sqrt((0.25 + 0.25) / 3), abs=1e-4)
    nothing = found.assign(adjusted_p=np.nan)
    assert module("peers").against_truth(nothing, truth, used)["false_discovery_rate"] == 0.0


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
