"""The front end of the embedded tool chain: every method, its draws and its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frontend_runs import BERNOULLI, TRIALS, Compile, Home, comments, rows, run

cmdstanpy = pytest.importorskip("cmdstanpy")

ROSENBROCK = "parameters { real x; real y; } model { target += -(pow(1 - x, 2) + 100 * pow(y - pow(x, 2), 2)); }"


@pytest.fixture(scope="module", autouse=True)
def _home(toolchain: Home) -> None:
    if toolchain.kind != "embedded":
        pytest.skip("an installed CmdStan has its own front end")
    cmdstanpy.set_cmdstan_path(str(toolchain.home))
    return


@pytest.fixture(scope="module")
def bernoulli(compile_stan: Compile) -> Path:
    return compile_stan(BERNOULLI, "bernoulli")


@pytest.fixture(scope="module")
def model(bernoulli: Path) -> Any:
    return cmdstanpy.CmdStanModel(exe_file=str(bernoulli))


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    file = tmp_path / "trials.json"
    file.write_text(json.dumps(TRIALS))
    return file


def quiet(method: Any, **arguments: Any) -> Any:
    if method.__name__ == "sample":
        arguments.setdefault("show_progress", False)
    return method(data=TRIALS, **arguments)


def test_draws_are_those_of_cmdstan(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    """First and last draw of a published CmdStan 2.37 run, seed 12345 and id 1 (bern-1.csv of cmdstanpy's tests)."""
    out = tmp_path / "out.csv"
    words = ("sample", "num_samples=100", "random", "seed=12345", "data", f"file={trials}", "output", f"file={out}")
    assert run(bernoulli, *words, cwd=tmp_path).returncode == 0
    lines = [line.split(",")[:8] for line in out.read_text().splitlines() if not line.startswith("#")]
    assert ",".join(lines[1]) == "-6.80017,0.96223506,0.76613686,2,3,0,7.2971456,0.21115047"
    assert ",".join(lines[-1]) == "-8.6188197,0.65496656,0.76613686,1,3,0,10.013181,0.070365832"
    assert "# Step size = 0.766137" in comments(out)
    assert "# 0.567537" in comments(out)


def test_mode_and_laplace_draws_are_those_of_cmdstan(compile_stan: Compile, tmp_path: Path) -> None:
    """Values of a published CmdStan 2.39 run, seed 1234 (rosenbrock_opt.csv, rosenbrock_laplace.csv)."""
    exe = compile_stan(ROSENBROCK, "rosenbrock")
    words = ("optimize", "jacobian=1", "random", "seed=1234", "output", "file=mode.csv")
    assert run(exe, *words, "status_columns=1", cwd=tmp_path).returncode == 0
    assert "lp__,converged__,x,y\n-5.7541452e-12,31,0.99999769,0.99999532\n# Opt" in (tmp_path / "mode.csv").read_text()
    assert run(exe, *words, cwd=tmp_path).returncode == 0
    assert (tmp_path / "mode.csv").read_text().endswith("\nlp__,x,y\n-5.7541452e-12,0.99999769,0.99999532\n")
    done = run(exe, "laplace", "mode=mode.csv", "random", "seed=1234", "output", "file=draws.csv", cwd=tmp_path)
    assert done.returncode == 0
    assert "-9.5596288,-0.30181251,1.5472822,2.0897779\n-119.9856," in (tmp_path / "draws.csv").read_text()


@pytest.mark.parametrize("metric", ["diag_e", "dense_e", "unit_e"])
def test_sampling(model: Any, metric: str) -> None:
    fit = quiet(model.sample, seed=1, metric=metric, iter_sampling=500, chains=2)
    assert fit.draws().shape == (500, 2, 11)
    assert fit.metric_type == metric
    assert np.all(fit.step_size > 0.3)
    # Beta(3, 9); 4 sd of the mean at an effective size of 200
    assert abs(fit.stan_variable("theta").mean() - 0.25) < 4 * 0.12 / np.sqrt(200)
    assert np.allclose(fit.stan_variable("shifted")[:, 2], fit.stan_variable("theta") + 2, atol=1e-6)


def test_static_engine(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    words = ("sample", "num_chains=2", "algorithm=hmc", "engine=static", "int_time=2", "random", "seed=4")
    done = run(bernoulli, *words, "data", f"file={trials}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    draws = [rows(tmp_path / f"output_{i}.csv") for i in (1, 2)]
    assert not np.array_equal(draws[0], draws[1])
    assert abs(np.mean([d[:, 5] for d in draws]) - 0.25) < 0.04  # theta follows lp, accept, step, time, energy


@pytest.mark.parametrize("algorithm", ["lbfgs", "bfgs"])
def test_optimization(model: Any, algorithm: str) -> None:
    mode = quiet(model.optimize, algorithm=algorithm, seed=1)
    assert mode.optimized_params_dict["theta"] == pytest.approx(2 / 10, abs=1e-3)
    with_jacobian = quiet(model.optimize, algorithm=algorithm, seed=1, jacobian=True)
    assert with_jacobian.optimized_params_dict["theta"] == pytest.approx(3 / 12, abs=1e-3)


def test_newton(compile_stan: Compile, tmp_path: Path) -> None:
    exe = compile_stan(ROSENBROCK, "rosenbrock")
    assert run(exe, "optimize", "algorithm=newton", "random", "seed=1", cwd=tmp_path).returncode == 0
    assert rows(tmp_path / "output.csv")[0, 1:] == pytest.approx([1, 1], abs=0.01)


def test_saved_iterations_end_at_the_mode(model: Any) -> None:
    mode = quiet(model.optimize, seed=1, save_iterations=True)
    assert len(mode.optimized_iterations_np) > 2
    assert np.array_equal(mode.optimized_iterations_np[-1], mode.optimized_params_np)


@pytest.mark.parametrize(
    ("arguments", "draws"),
    [
        ({}, 1000),
        ({"num_paths": 1, "num_single_draws": 70}, 70),
        ({"num_paths": 2, "psis_resample": False, "num_single_draws": 50}, 100),
        ({"num_paths": 2, "calculate_lp": False, "num_single_draws": 50}, 100),
    ],
)
def test_pathfinder(model: Any, arguments: dict[str, Any], draws: int) -> None:
    fit = quiet(model.pathfinder, seed=3, **arguments)
    theta = fit.stan_variable("theta")
    assert theta.shape == (draws,)
    assert abs(theta.mean() - 0.25) < 5 * 0.12 / np.sqrt(draws / 4)


def test_pathfinder_writes_single_paths(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    words = ("pathfinder", "num_paths=2", "save_single_paths=1", "random", "seed=1", "data", f"file={trials}")
    assert run(bernoulli, *words, cwd=tmp_path).returncode == 0
    for path in (1, 2):
        assert len(rows(tmp_path / f"output_path_{path}.csv")) == 1000
        assert json.loads((tmp_path / f"output_path_{path}.json").read_text())["0"]["iter"] == 0


@pytest.mark.parametrize("algorithm", ["meanfield", "fullrank"])
def test_variational(model: Any, algorithm: str) -> None:
    fit = quiet(model.variational, algorithm=algorithm, seed=2, require_converged=False)
    assert fit.variational_sample.shape == (1000, 7)
    assert abs(fit.variational_sample_pd["theta"].mean() - 0.25) < 0.06


def test_laplace_log_density_and_quantities(model: Any, tmp_path: Path) -> None:
    mode = quiet(model.optimize, jacobian=True, seed=1)
    draws = quiet(model.laplace_sample, mode=mode, seed=1).stan_variable("theta")
    assert abs(np.log(draws / (1 - draws)).mean() - np.log(1 / 3)) < 0.1
    found = quiet(model.log_prob, params={"theta": 0.3}, sig_figs=17)
    # log density on the logit scale and its derivative: 3 log(theta) + 9 log(1 - theta)
    assert found["lp__"][0] == pytest.approx(3 * np.log(0.3) + 9 * np.log(0.7), abs=1e-12)
    assert found["theta"][0] == pytest.approx(3 - 12 * 0.3, abs=1e-12)
    fit = quiet(model.sample, seed=1, iter_sampling=50, chains=2)
    again = quiet(model.generate_quantities, previous_fit=fit, seed=1)
    assert np.allclose(again.stan_variable("shifted"), fit.stan_variable("shifted"), atol=1e-6)


def test_log_density_at_unconstrained_rows(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    (tmp_path / "at.json").write_text('{"params_r": [[0.0], [1.0]]}')
    done = run(bernoulli, "log_prob", "unconstrained_params=at.json", "data", f"file={trials}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "output.csv")[0] == pytest.approx([12 * np.log(0.5), -3])
    assert len(rows(tmp_path / "output.csv")) == 2


def test_gradient_test(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    done = run(bernoulli, "diagnose", "data", f"file={trials}", cwd=tmp_path)
    assert done.returncode == 0
    assert "TEST GRADIENT MODE" in done.stdout
    strict = run(bernoulli, "diagnose", "test=gradient", "error=1e-300", "data", f"file={trials}", cwd=tmp_path)
    assert strict.returncode == 1


def test_chains_do_not_depend_on_how_they_are_run(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    common = ("random", "seed=7", "data", f"file={trials}")
    together = ("sample", "num_samples=50", "num_chains=4", "num_threads=2", "id=3", *common)
    assert run(bernoulli, *together, cwd=tmp_path).returncode == 0
    for chain in range(3, 7):
        alone = ("sample", "num_samples=50", f"id={chain}", *common, "output", "file=alone.csv")
        assert run(bernoulli, *alone, cwd=tmp_path).returncode == 0
        assert np.array_equal(rows(tmp_path / "alone.csv"), rows(tmp_path / f"output_{chain}.csv"))
    assert not np.array_equal(rows(tmp_path / "output_3.csv"), rows(tmp_path / "output_4.csv"))


def test_warmup_thinning_and_digits(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    words = ("sample", "num_samples=50", "num_warmup=100", "random", "seed=7", "data", f"file={trials}", "output")
    assert run(bernoulli, *words, "file=all.csv", "sig_figs=18", cwd=tmp_path).returncode == 0
    extra = ("file=thin.csv", "sig_figs=18", "sample", "thin=10", "save_warmup=1")
    assert run(bernoulli, *words, *extra, cwd=tmp_path).returncode == 0
    kept, thinned = rows(tmp_path / "all.csv"), rows(tmp_path / "thin.csv")
    assert len(kept) == 50
    assert len(thinned) == 10 + 5
    assert np.array_equal(thinned[10:], kept[::10])
    fields = (tmp_path / "all.csv").read_text().splitlines()[-7].split(",")
    assert max(len(field.strip("-0.")) for field in fields) >= 17


def test_binary_output_equals_csv(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    words = ("sample", "num_samples=40", "random", "seed=7", "data", f"file={trials}", "output")
    assert run(bernoulli, *words, "file=text.csv", "sig_figs=18", cwd=tmp_path).returncode == 0
    assert run(bernoulli, *words, "file=parts.csv", "sig_figs=18", "binary=1", cwd=tmp_path).returncode == 0
    whole, sampler = rows(tmp_path / "text.csv"), rows(tmp_path / "parts.csv")
    names = (tmp_path / "parts.names").read_text().split()
    draws = np.fromfile(tmp_path / "parts.draws", dtype="<f4").reshape(-1, len(names))
    assert names == ["theta", "shifted.1", "shifted.2", "shifted.3"]
    assert np.array_equal(sampler, whole[:, :7])
    assert np.array_equal(draws, whole[:, 7:].astype(np.float32))
    assert "#   binary = true" in comments(tmp_path / "parts.csv")
    assert not any(line.startswith("#   binary") for line in comments(tmp_path / "text.csv"))


def test_saved_metric_starts_another_run(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    first = ("sample", "num_chains=2", "adapt", "save_metric=1", "random", "seed=1", "data", f"file={trials}")
    assert run(bernoulli, *first, cwd=tmp_path).returncode == 0
    metric = json.loads((tmp_path / "output_1_metric.json").read_text())
    assert metric["metric_type"] == "diag_e"
    assert len(metric["inv_metric"]) == 1
    second = (
        "sample",
        "num_chains=2",
        "num_warmup=0",
        "algorithm=hmc",
        "metric_file=output_1_metric.json,output_2_metric.json",
        f"stepsize={metric['stepsize']}",
        "adapt",
        "engaged=0",
    )
    done = run(bernoulli, *second, *first[4:], "output", "file=next.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "next_2.csv")[:, 2] == pytest.approx(metric["stepsize"], rel=1e-7)


def test_initial_values_of_each_chain(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    for chain, theta in ((1, 0.125), (2, 0.5)):
        (tmp_path / f"init_{chain}.json").write_text(json.dumps({"theta": theta}))
    words = ("sample", "algorithm=fixed_param", "num_samples=1", "num_chains=2", "data", f"file={trials}")
    for given in ("init=init.json", "init=init_1.json,init_2.json"):
        assert run(bernoulli, *words, given, cwd=tmp_path).returncode == 0
        found = [rows(tmp_path / f"output_{chain}.csv")[0, 2] for chain in (1, 2)]
        assert found == [0.125, 0.5]
    assert run(bernoulli, *words, "init=absent.json", cwd=tmp_path).returncode == 64


def test_configuration_file(bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    words = ("sample", "thin=3", "data", f"file={trials}", "output", "save_cmdstan_config=1")
    assert run(bernoulli, *words, cwd=tmp_path).returncode == 0
    config = json.loads((tmp_path / "output_config.json").read_text())
    assert config["method"]["sample"]["thin"] == 3
    assert config["method"]["sample"]["algorithm"]["hmc"]["metric"] == {"value": "diag_e"}
    assert config["output"]["sig_figs"] == 8


def test_summary_and_diagnose(model: Any) -> None:
    fit = quiet(model.sample, seed=11, chains=4)
    summary = fit.summary(percentiles=(10, 50), sig_figs=6)
    theta = fit.stan_variable("theta")
    row = summary.loc["theta"]
    assert row["Mean"] == pytest.approx(theta.mean(), rel=1e-5)
    assert row["StdDev"] == pytest.approx(theta.std(ddof=1), rel=1e-5)
    assert row["10%"] == pytest.approx(np.quantile(theta, 0.1), rel=1e-5)
    assert 0.99 < row["R_hat"] < 1.01
    assert 500 < row["ESS_bulk"] < 4000
    assert list(summary.index) == ["lp__", "theta", "shifted[1]", "shifted[2]", "shifted[3]"]
    assert "no problems detected" in fit.diagnose()


def test_diagnose_sees_chains_that_disagree(toolchain: Home, bernoulli: Path, trials: Path, tmp_path: Path) -> None:
    for chain, theta in ((1, 0.1), (2, 0.9)):
        (tmp_path / "init.json").write_text(json.dumps({"theta": theta}))
        words = ("num_samples=200", "num_warmup=0", "algorithm=hmc", "stepsize=1e-3", "engine=nuts", "max_depth=2")
        adapt = ("adapt", "engaged=0", "init=init.json", "data", f"file={trials}", "output", f"file={chain}.csv")
        assert run(bernoulli, "sample", *words, *adapt, cwd=tmp_path).returncode == 0
    done = run(toolchain.home / "bin" / "diagnose", "1.csv", "2.csv", cwd=tmp_path)
    assert "R-hat greater than 1.01" in done.stdout
    assert "maximum treedepth limit of 2, or 2^2" in done.stdout
    assert "effective draws per chain" in done.stdout


def test_info_and_help(bernoulli: Path, tmp_path: Path) -> None:
    info = run(bernoulli, "info", cwd=tmp_path)
    assert info.returncode == 0
    assert "STAN_THREADS=" in info.stdout
    assert "stan_version_major = 2" in info.stdout
    assert "num_warmup=<integer>" in run(bernoulli, "sample", "help-all", cwd=tmp_path).stdout


def test_user_header(toolchain: Home, tmp_path: Path) -> None:
    (tmp_path / "twice.hpp").write_text(
        "#include <ostream>\n"
        "namespace external_model_namespace {\n"
        "template <typename T> T twice(const T& x, std::ostream*) { return 2 * x; }\n"
        "}\n"
    )
    program = tmp_path / "external.stan"
    program.write_text(
        "functions { real twice(real x); } parameters { real x; } model { twice(x) ~ std_normal(); }"
        " generated quantities { real y = twice(x); }"
    )
    model = cmdstanpy.CmdStanModel(stan_file=program, user_header=tmp_path / "twice.hpp")
    fit = model.sample(chains=1, seed=1, iter_sampling=200, show_progress=False)
    assert np.allclose(fit.stan_variable("y"), 2 * fit.stan_variable("x"), rtol=1e-6)
    assert abs(fit.stan_variable("y").std() - 1) < 0.3
