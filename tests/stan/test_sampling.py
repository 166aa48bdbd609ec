"""Sampling with real programs: both output forms, repeatability, every algorithm, interruption, full disks."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bayesexpr.errors import SamplingError
from bayesexpr.stan.methods import generate_quantities, log_prob, run_method
from bayesexpr.stan.output import by_variable, read_chains
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import Toolchain

# One program for all tests here: compiling is what takes time. With prior precision k0 and data y the
# posterior of mu is normal with precision k0 + n and mean sum(y) / (k0 + n); z is independent of it.
CODE = """
data { int<lower=0> N; vector[N] y; real<lower=0> pause; }
parameters { real mu; matrix[2, 3] z; real<lower=0> scale; }
model {
  if (pause > 0) { real x = 0; for (i in 1:100000000) x += sin(i * pause); target += 0 * x; }
  mu ~ normal(0, 10);
  to_vector(z) ~ std_normal();
  scale ~ exponential(2);
  y ~ normal(mu, 1);
}
generated quantities { vector[N] log_lik; for (n in 1:N) log_lik[n] = normal_lpdf(y[n] | mu, 1); }
"""
Y = np.array([1.2, -0.3, 2.5, 0.7, 1.9])
DATA = {"N": 5, "y": Y, "pause": 0.0}
MEAN, SD = Y.sum() / (5 + 0.01), (5 + 0.01) ** -0.5
SETTINGS = SamplerSettings(chains=4, warmup=300, draws=500, seed=20, cores=2)


@pytest.fixture(scope="session")
def executable(compile_stan: object) -> Path:
    assert callable(compile_stan)
    found = compile_stan(CODE, "sampling")
    assert isinstance(found, Path)
    return found


def draws_of(executable: Path, folder: Path, settings: SamplerSettings, **more: object) -> dict[str, np.ndarray]:
    chains = read_chains(run_nuts(executable, DATA, settings, output_dir=folder, **more))  # type: ignore[arg-type]
    return by_variable(chains[0].names, np.stack([chain.draws for chain in chains]))


def test_the_posterior_is_met(executable: Path, tmp_path: Path) -> None:
    found = draws_of(executable, tmp_path, SETTINGS)
    assert found["z"].shape == (4, 500, 2, 3)
    assert found["log_lik"].shape == (4, 500, 5)
    # 2,000 draws, effective size of a near-normal posterior above 1,000: five standard errors.
    assert abs(found["mu"].mean() - MEAN) < 5 * SD / 1000**0.5
    assert abs(found["mu"].std() / SD - 1) < 5 / (2 * 1000) ** 0.5
    assert abs(found["scale"].mean() - 0.5) < 5 * 0.5 / 1000**0.5
    expected = -0.5 * np.log(2 * np.pi) - 0.5 * (Y - found["mu"][..., None].astype(float)) ** 2
    np.testing.assert_allclose(found["log_lik"], expected, rtol=1e-5)


def test_binary_and_plain_output_hold_the_same_draws(toolchain: Toolchain, executable: Path, tmp_path: Path) -> None:
    if not toolchain.binary_output:
        pytest.skip("an installed CmdStan has no binary output")
    settings = SamplerSettings(chains=2, warmup=100, draws=51, seed=4, cores=2, thin=2)
    told: list[tuple[int, int, int, bool]] = []
    binary = read_chains(
        run_nuts(executable, DATA, settings, output_dir=tmp_path, binary=True, progress=lambda *a: told.append(a))
    )
    plain = read_chains(run_nuts(executable, DATA, settings, output_dir=tmp_path))
    for a, b in zip(binary, plain, strict=True):
        assert a.draws.shape == (26, 13)
        assert a.names == b.names
        np.testing.assert_allclose(a.draws, b.draws, rtol=2e-7)
        np.testing.assert_allclose(a.sampler, b.sampler, rtol=1e-8)
    assert {chain for chain, *_ in told} == {1, 2}
    assert (2, 151, 151, False) in told
    assert (1, 100, 151, True) in told


def test_a_seed_gives_its_draws_and_another_seed_others(executable: Path, tmp_path: Path) -> None:
    settings = SamplerSettings(chains=2, warmup=50, draws=50, seed=4, cores=2)
    one, same = (draws_of(executable, tmp_path, settings)["mu"] for _ in range(2))
    other = draws_of(executable, tmp_path, SamplerSettings(chains=2, warmup=50, draws=50, seed=5, cores=2))["mu"]
    np.testing.assert_array_equal(one, same)
    assert not np.isin(other, one).any()
    assert not np.isin(one[0], one[1]).any()


def test_starting_values_metric_and_step_size_are_used_as_given(executable: Path, tmp_path: Path) -> None:
    settings = SamplerSettings(chains=2, warmup=0, draws=20, seed=9, step_size=1e-9, max_treedepth=1)
    start = [{"mu": m, "z": np.full((2, 3), m / 10), "scale": 0.25} for m in (3.0, -2.0)]
    metric = np.linspace(0.5, 2, 8)
    files = run_nuts(executable, DATA, settings, output_dir=tmp_path, inits=start, inverse_metric=metric)
    chains = read_chains(files)
    for chain, values in zip(chains, start, strict=True):
        # Steps of a billionth leave each chain where it started.
        np.testing.assert_allclose(chain.draws[:, 0], values["mu"], rtol=1e-6)
        np.testing.assert_allclose(chain.draws[:, 1:7], values["mu"] / 10, rtol=1e-6)
        assert (chain.sampler[:, 2] == 1e-9).all()
    assert "metric_file = metric_1.json" in files.chains[0].csv.read_text()


def test_an_inverse_metric_of_the_wrong_size_is_said(executable: Path, tmp_path: Path) -> None:
    settings = SamplerSettings(chains=1, warmup=0, draws=5)
    with pytest.raises(SamplingError, match=r"(?s)chain 1 failed.*metric"):
        run_nuts(executable, DATA, settings, output_dir=tmp_path, inverse_metric=np.ones(3))


def test_data_that_the_program_refuses_are_said_in_its_words(executable: Path, tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match=r"(?s)failed with exit code.*y"):
        run_nuts(executable, {"N": 5, "pause": 0.0}, SETTINGS, output_dir=tmp_path)


@pytest.mark.parametrize("name", ["a b", "o'clock", 'say "x"', "#$%&;=,", "é中🧬", "x" * 200])
def test_folders_of_any_name_work(executable: Path, tmp_path: Path, name: str) -> None:
    settings = SamplerSettings(chains=1, warmup=20, draws=20)
    assert draws_of(executable, tmp_path / name, settings)["mu"].shape == (1, 20)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No process started now can write a file beyond 4,000 bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("binary", [False, True], ids=["csv", "binary"])
def test_a_full_disk_is_an_error(
    toolchain: Toolchain, executable: Path, tmp_path: Path, binary: bool, small_files: None
) -> None:
    if binary and not toolchain.binary_output:
        pytest.skip("an installed CmdStan has no binary output")
    with pytest.raises(SamplingError, match=r"chain \d (failed|was killed)|not whole"):
        run_nuts(executable, DATA, SETTINGS, output_dir=tmp_path, binary=binary)


def running(executable: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "exe").readlink() == executable:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


CALLER = """
import pathlib, sys
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings
data = {"N": 1, "y": [1.0], "pause": 1.0}
run_nuts(pathlib.Path(sys.argv[1]), data, SamplerSettings(cores=2), output_dir=pathlib.Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["int", "term", "kill"])
def test_an_ended_caller_leaves_no_chain(executable: Path, tmp_path: Path, number: signal.Signals) -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, executable, tmp_path], stderr=subprocess.DEVNULL, process_group=0
    )
    deadline = time.monotonic() + 30
    while len(running(executable)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(running(executable)) == 2
    os.kill(caller.pid, number)
    caller.wait(timeout=10)
    deadline = time.monotonic() + 5
    while running(executable) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(executable) == []


def test_a_chain_that_was_killed_is_run_again(executable: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_the_second(chain: int, iteration: int, total: int, warmup: bool) -> None:
        if chain == 2 and not killed and iteration > 300:
            killed.extend(running(executable))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    settings = SamplerSettings(chains=2, warmup=20000, draws=500, seed=1, cores=1)
    files = run_nuts(executable, DATA, settings, output_dir=tmp_path, progress=kill_the_second)
    assert len(killed) == 1
    assert files.retries == ("chain 2 was killed by SIGKILL and run again with another seed",)
    assert files.chains[0].seed == 1
    assert files.chains[1].seed != 1
    assert len(read_chains(files)) == 2


@pytest.mark.parametrize("method", ["nuts", "pathfinder", "laplace", "advi"])
def test_every_algorithm_finds_the_posterior(executable: Path, method: str) -> None:
    settings = SamplerSettings(
        chains=4, warmup=300, draws=500, seed=9, cores=2
    )  # with this seed ADVI meets its stopping rule
    found = run_method(executable, method, DATA, settings)
    mu = found.variables["mu"]
    assert mu.shape == {"nuts": (4, 500), "pathfinder": (1, 2000)}.get(method, (1, 500))
    assert found.variables["z"].shape == (*mu.shape, 2, 3)
    # The marginal of mu is normal, so every approximation can hold it; ADVI's optimum is the least exact.
    assert abs(mu.mean() - MEAN) < 0.5 * SD
    assert 0.6 < mu.std() / SD < 1.5
    if method == "nuts":
        assert found.diagnostics["energy__"].shape == mu.shape
    else:
        assert found.log_ratios.shape == mu.shape
        assert np.isfinite(found.log_ratios).all()


def test_optimize_finds_the_mode(executable: Path) -> None:
    found = run_method(executable, "optimize", DATA, SETTINGS, inits={"mu": 4.0}, options={"jacobian": True})
    np.testing.assert_allclose(found.variables["mu"], MEAN, atol=1e-4)
    np.testing.assert_allclose(found.variables["scale"], 0.5, atol=1e-3)


def test_a_method_that_fails_says_why(executable: Path) -> None:
    with pytest.raises(SamplingError, match="laplace failed"):
        run_method(executable, "laplace", {"N": 5}, SETTINGS)


def test_log_density_and_gradient_have_all_digits(executable: Path) -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(4, 8))
    density, gradient = log_prob(executable, DATA, points)
    mu, z, u = points[:, 0], points[:, 1:7], points[:, 7]
    kernel = -0.005 * mu**2 - 0.5 * (z**2).sum(axis=1) - 0.5 * ((Y - mu[:, None]) ** 2).sum(axis=1)
    np.testing.assert_allclose(density, kernel - 2 * np.exp(u) + u, rtol=1e-13)
    expected = np.column_stack([-0.01 * mu + (Y - mu[:, None]).sum(axis=1), -z, 1 - 2 * np.exp(u)])
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)
    without, _ = log_prob(executable, DATA, points, jacobian=False)
    np.testing.assert_allclose(without, density - u, rtol=1e-12)


def test_quantities_are_generated_at_the_parameters_given(executable: Path) -> None:
    mu = np.array([0.0, 1.0, -2.5])
    parameters = {"mu": mu, "z": np.arange(18.0).reshape(3, 2, 3), "scale": np.ones(3)}
    found = generate_quantities(executable, DATA, parameters)
    expected = -0.5 * np.log(2 * np.pi) - 0.5 * (Y - mu[:, None]) ** 2
    np.testing.assert_allclose(found["log_lik"], expected, rtol=1e-13)
