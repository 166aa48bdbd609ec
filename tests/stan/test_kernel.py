"""The kernel variant of ``negative_binomial_de`` against the same program written in Stan alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from bayesexpr.data.counts import CountData
from bayesexpr.de import fit_de
from bayesexpr.de_sampling import DESettings
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.stan import build_tools, kernels
from bayesexpr.stan.compiler import compile_program, has_threads
from bayesexpr.stan.methods import log_prob
from bayesexpr.stan.output import read_chains
from bayesexpr.stan.program import render
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import Toolchain

Float = NDArray[np.float64]
Build = Callable[..., Path]
NU = 4.0
GRADIENT_TOLERANCE = 1e-9  # relative to the largest coordinate


@pytest.fixture(scope="module")
def build(toolchain: Toolchain) -> Build:
    """A function that compiles one variant, through the cache."""

    def compile_variant(
        density: str, effects: str = "spike_slab", size_factors: str = "estimated", dispersion: str = "trend"
    ) -> Path:
        options = {"density": density, "effects": effects, "dispersion": dispersion, "size_factors": size_factors}
        return compile_program(render("negative_binomial_de", options), toolchain)

    return compile_variant


def simulate(
    rng: np.random.Generator,
    G: int,
    S: int,
    K: int = 1,
    R: int = 0,
    C: int = 2,
    *,
    length: bool = False,
    prior_only: bool = False,
    effects: str = "spike_slab",
    size_factors: str = "estimated",
    dispersion: str = "trend",
    largest: float = 1e9,
) -> dict[str, Any]:
    """Simulate a study and a whitening map of every possible form, as the program's data block wants them."""
    trend = dispersion == "trend"
    B, J, P = min(R, 2), 3, 1 + trend + K + R
    H = 4 + 2 * trend + C - 1 + B
    H += (K if effects == "spike_slab" else 0) + (S - 1 if size_factors == "estimated" else 0)
    design = np.round(rng.normal(size=(S, K)))
    design[:, 0] = np.where(np.arange(S) < S // 2, -0.5, 0.5)
    parts = [np.zeros((S, K)), design, *(design @ np.round(rng.normal(size=(K, K)), 1) for _ in range(C - 2))]
    mean = np.exp(rng.normal(4, 2, G) + design @ rng.normal(0, 0.7, (K, G)))
    shape = np.exp(rng.normal(2, 1, G))
    count = rng.poisson(np.minimum(rng.gamma(shape, 1 / shape, (S, G)) * mean, largest))
    return {
        "G": G,
        "S": S,
        "K": K,
        "R": R,
        "B": B,
        "C": C,
        "H": H,
        "P": P,
        "J": J,
        "count": count,
        "log_size_factor": rng.normal(0, 0.1, S),
        "log_length": rng.normal(0, 0.2, (S, G)) * length,
        "component_design": np.stack(parts if C > 1 else [design]),
        "nuisance_design": np.round(rng.normal(size=(S, R))),
        "nuisance_term": np.minimum(np.arange(R), B - 1) + 1,
        "mu_alpha_mean": 4.0,
        "mu_alpha_sd": 0.5,
        "sigma_alpha_log_mean": 0.7,
        "sigma_alpha_log_sd": 0.15,
        "nu": NU,
        "s_log_mean": -0.7,
        "s_log_sd": 0.4,
        "s_sd": 1.0,
        "m_sd": 0.3,
        "weight_concentration": np.ones(C),
        "tau_sd": 0.5,
        "log_a0_mean": -3.5,
        "log_a0_sd": 0.7,
        "log_a1_mean": 0.7,
        "log_a1_sd": 0.7,
        "sigma_phi_log_mean": -0.5,
        "sigma_phi_log_sd": 0.35,
        "sigma_phi_max": 0.85,
        "dispersion_rate": 4.6,
        "size_factor_sd": 0.1,
        "prior_only": int(prior_only),
        "theta_center": rng.normal(0, 0.1, H),
        "theta_scale": np.tril(rng.normal(0, 0.05, (H, H)), -1) + np.diag(rng.uniform(0.3, 0.6, H)),
        "center": rng.normal(0, 0.3, (G, P)) + np.log(mean.mean(0) + 0.5)[:, None] * (np.arange(P) == 0),
        "scale": rng.uniform(0.3, 1, (G, P)),
        "slope": rng.normal(0, 0.2, (P, G, J)),
        "driver": rng.normal(0, 0.1, (P, J, H)),
    }


def points(rng: np.random.Generator, data: dict[str, Any]) -> Float:
    """Near the middle of the map, at its width, and far out, where weights of components saturate."""
    size = data["H"] + data["G"] * data["P"]
    return np.concatenate([rng.normal(0, width, (2, size)) for width in (0.1, 1.0, 2.0)])


def assert_same(kernel: Path, stan: Path, data: dict[str, Any], at: Float) -> None:
    """Values agree up to one constant for the data set, which `~` drops in Stan; gradients agree."""
    value, gradient = log_prob(kernel, data, at)
    reference, expected = log_prob(stan, data, at)
    difference = value - reference
    assert np.ptp(difference) < 1e-10 * max(1.0, np.abs(reference).max())
    scale = np.abs(expected).max(axis=1)
    error = np.abs(gradient - expected).max(axis=1)
    assert (error < GRADIENT_TOLERANCE * scale).all(), error / scale


@pytest.mark.parametrize("G", [1, 7, 8, 9, 16, 1001])
def test_any_number_of_genes(build: Build, G: int) -> None:
    rng = np.random.default_rng(G)
    data = simulate(rng, G, 6)
    assert_same(build("kernel"), build("stan"), data, points(rng, data))


@pytest.mark.parametrize(
    ("S", "K", "R", "C", "length"),
    [(2, 1, 0, 2, False), (4, 2, 1, 3, True), (6, 3, 4, 5, False), (30, 1, 2, 1, True), (5, 2, 10, 15, False)],
)
@pytest.mark.parametrize("prior_only", [False, True])
def test_any_design(build: Build, S: int, K: int, R: int, C: int, length: bool, prior_only: bool) -> None:
    rng = np.random.default_rng(100 * S + C)
    data = simulate(rng, 21, S, K, R, C, length=length, prior_only=prior_only)
    assert_same(build("kernel"), build("stan"), data, points(rng, data))


@pytest.mark.parametrize(("effects", "size_factors"), [("normal", "estimated"), ("student_t", "fixed")])
def test_other_structures(build: Build, effects: str, size_factors: str) -> None:
    """Without a slab's mean m is empty; with a normal slab nu is an integer 0; known factors are constants."""
    rng = np.random.default_rng(5)
    data = simulate(rng, 13, 6, 2, 1, 1, effects=effects, size_factors=size_factors)
    variants = (build(density, effects, size_factors) for density in ("kernel", "stan"))
    assert_same(*variants, data, points(rng, data))


@pytest.mark.parametrize(
    ("effects", "size_factors", "K", "R", "C", "length", "prior_only"),
    [
        ("normal", "estimated", 1, 0, 1, False, False),
        ("normal", "estimated", 2, 3, 1, True, False),
        ("normal", "estimated", 1, 0, 1, False, True),
        ("spike_slab", "fixed", 2, 1, 3, True, False),
    ],
)
def test_one_dispersion_for_all_genes(
    build: Build, effects: str, size_factors: str, K: int, R: int, C: int, length: bool, prior_only: bool
) -> None:
    """Genes have no deviate; at points near and far, and with a dispersion from exp(-12) to exp(7)."""
    rng = np.random.default_rng(50 + 10 * K + R)
    form = {"effects": effects, "size_factors": size_factors, "dispersion": "global"}
    data = simulate(rng, 21, 6, K, R, C, length=length, prior_only=prior_only, **form)
    data["count"] = data["count"].copy()
    data["count"][:, 0], data["count"][:, 1] = 0, [0, 10**7, 0, 10**7, 3, 10**6]
    data["theta_scale"][2] = 0
    data["theta_scale"][2, 2] = 1  # log dispersion is moved alone
    at = points(rng, data)
    at[:, 2] = [-12, -5, -2, 0, 3, 7]
    assert_same(*(build(density, **form) for density in ("kernel", "stan")), data, at)


def test_counts_of_all_sizes(build: Build) -> None:
    """All zero, all one, ten million next to zero, and genes whose precision runs to the Poisson limit."""
    rng = np.random.default_rng(7)
    data = simulate(rng, 12, 6)
    data["count"] = data["count"].copy()
    data["count"][:, 0], data["count"][:, 1] = 0, 1
    data["count"][:, 2] = [0, 10**7, 0, 10**7, 3, 10**6]
    at = points(rng, data)
    at[:, data["H"] + data["G"] + 3] = 40.0  # log phi of gene 3, up by about 20
    assert_same(build("kernel"), build("stan"), data, at)


def test_a_gradient_that_is_off_by_a_millionth_is_caught(build: Build) -> None:
    """Negative control: the tolerance above would not pass a wrong derivative."""
    rng = np.random.default_rng(8)
    data = simulate(rng, 9, 6)
    at = points(rng, data)
    _, gradient = log_prob(build("kernel"), data, at)
    _, expected = log_prob(build("stan"), data, at)
    wrong = gradient.copy()
    wrong[np.arange(len(at)), np.abs(expected).argmax(axis=1)] *= 1 + 1e-6
    scale = np.abs(expected).max(axis=1)
    assert (np.abs(gradient - expected).max(axis=1) < GRADIENT_TOLERANCE * scale).all()
    assert (np.abs(wrong - expected).max(axis=1) > GRADIENT_TOLERANCE * scale).all()


def test_a_density_that_is_not_finite_rejects_the_point(build: Build) -> None:
    """As Stan's own densities do, so that a sampler counts it as divergent instead of stopping."""
    rng = np.random.default_rng(9)
    data = simulate(rng, 9, 6)
    at = points(rng, data)[:1]
    at[:, data["H"]] = 1e200
    with pytest.raises(Exception, match="not finite"):
        log_prob(build("kernel"), data, at)


@pytest.mark.parametrize("threads", [2, 3])
def test_draws_do_not_depend_on_the_number_of_threads(build: Build, tmp_path: Path, threads: int) -> None:
    """To the last bit; 1,301 genes in three parts, four samples; the negative control is another seed."""
    rng = np.random.default_rng(21)
    data, executable = simulate(rng, 1301, 4), build("kernel")

    def draws(cores: int, seed: int = 1) -> Float:
        settings = SamplerSettings(chains=1, warmup=0, draws=3, seed=seed, cores=cores, step_size=1e-3, max_treedepth=4)
        start = {"zeta": np.zeros(data["H"]), "z": np.zeros((data["G"], data["P"]))}
        (chain,) = read_chains(run_nuts(executable, data, settings, output_dir=tmp_path, inits=start, binary=True))
        return np.asarray(chain.draws)

    alone = draws(1)
    np.testing.assert_array_equal(draws(threads), alone)
    assert np.ptp(alone, axis=0).max() > 0
    assert not np.array_equal(draws(threads, seed=2), alone)


class EnoughSeenError(Exception):
    """Ends a chain that would go on."""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads of another process are counted in /proc")
@pytest.mark.parametrize(
    ("genes", "given", "runs"), [(1301, 2, True), (1301, 3, True), (1301, 1, False), (500, 2, False)]
)
def test_a_chain_that_is_given_threads_runs_with_them(
    build: Build, toolchain: Toolchain, tmp_path: Path, genes: int, given: int, runs: bool
) -> None:
    """Threads of the chain's process, looked at while it runs: more than one where there is work for more than one.

    They start when they are needed, on a busy machine late. The chain of 20,000 iterations would take many seconds; it
    is ended once it has a second thread or, in the negative controls, made a thousand iterations.
    """
    data, executable = simulate(np.random.default_rng(21), genes, 4), build("kernel")
    if not has_threads(executable, toolchain):
        pytest.skip("an installed CmdStan compiles for one thread")
    most = 0

    def look(chain: int, iteration: int, iterations: int, warmup: bool) -> None:
        nonlocal most
        most = max([most, *(len(list((process / "task").iterdir())) for process in chains_below(tmp_path))])
        if most > 1 or (not runs and iteration >= 1_000):
            raise EnoughSeenError

    settings = SamplerSettings(
        chains=1, warmup=0, draws=20_000, thin=20_000, cores=given, step_size=1e-3, max_treedepth=2
    )
    start = {"zeta": np.zeros(data["H"]), "z": np.zeros((data["G"], data["P"]))}
    with pytest.raises(EnoughSeenError):
        run_nuts(executable, data, settings, output_dir=tmp_path, inits=start, binary=True, progress=look)
    assert (1 < most <= given) if runs else most == 1


@pytest.mark.parametrize(("genes", "threads"), [(500, 1), (600, 2)])
def test_a_fit_tells_the_threads_that_its_chain_had(toolchain: Toolchain, genes: int, threads: int) -> None:
    """One chain on two cores; a study of one part has work for one thread."""
    counts = np.random.default_rng(3).poisson(50.0, (4, genes))
    samples = tuple(f"s{k}" for k in range(4))
    table = pd.DataFrame({"group": list("aabb")}, index=pd.Index(samples, name="sample"))
    study = CountData(counts, tuple(f"g{k}" for k in range(genes)), samples, table)
    settings = DESettings(chains=1, warmup=5, draws=20, cores=2)
    shared = compile_program(render("negative_binomial_de", NegativeBinomialDE().options), toolchain)
    found = fit_de(study, "~ group", method="nuts", settings=settings).diagnostics["threads_per_chain"]
    assert found == (threads if has_threads(shared, toolchain) else 1)


def chains_below(folder: Path) -> list[Path]:
    """Folders in /proc of the processes that run below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(process)
        except OSError:  # it has ended, or is not ours
            continue
    return found


SAME_ADDRESSES = """
#include <iostream>
int main() {
  bayesexpr::Counts count{{1, 2, 3}, {4, 5, 6}};
  const bayesexpr::Matrix none = bayesexpr::Matrix::Zero(2, 0);
  bayesexpr::Matrix length = bayesexpr::Matrix::Zero(2, 3);
  std::vector<bayesexpr::Matrix> design{bayesexpr::Matrix::Zero(2, 1)};
  const auto density = [&] {
    const bayesexpr::Matrix z = bayesexpr::Matrix::Zero(3, 3), one = bayesexpr::Matrix::Ones(3, 3);
    const bayesexpr::Matrix shift = bayesexpr::Matrix::Zero(3, 1), flat = bayesexpr::Matrix::Zero(3, 1);
    const Eigen::VectorXd empty(0), weight = Eigen::VectorXd::Zero(1), log_f = Eigen::VectorXd::Zero(2);
    return genes_lpdf<false>(z, shift, z, std::vector<bayesexpr::Matrix>(3, flat), one, 0, count, length, design, none,
                             4.0, 1.0, 1.0, -2.0, 0.0, 0.5, empty, 0.5, weight, empty, log_f, nullptr);
  };
  std::cout.precision(17);
  std::cout << density() << ' ';
  count[1][2] = 7;
  std::cout << density() << ' ';
  count[1][2] = 6;
  length(1, 2) = 0.5;
  std::cout << density() << ' ';
  length(1, 2) = 0;
  design[0](0, 0) = 1;
  std::cout << density() << ' ';
  design[0](0, 0) = 0;
  std::cout << density() << std::endl;
}
"""


def test_new_data_in_the_memory_of_the_old_are_noticed(toolchain: Toolchain, tmp_path: Path) -> None:
    """Plain doubles, the core compiled into the program; each change is of one number, in place."""
    options = {"density": "kernel", "effects": "spike_slab", "dispersion": "trend", "size_factors": "estimated"}
    program = render("negative_binomial_de", options)
    kernels.write_sources(program.sources, tmp_path)
    (tmp_path / "main.cpp").write_text(f'#include "{program.kernel}.hpp"\n{SAME_ADDRESSES}')
    include, library = toolchain.home / "include", toolchain.home / "lib"
    command = [*build_tools.require_compiler().command, "-std=c++17", "-DBAYESEXPR_KERNEL_INLINE", "-D_REENTRANT", "-w"]
    command += ["-DBOOST_DISABLE_ASSERTS", "-isystem", str(include), "main.cpp", "-o", "main"]
    command += [str(library / "libtbb.so.2"), f"-Wl,-rpath,{library}", "-pthread"]
    code, log = build_tools.run(command, folder=tmp_path, label="compiling")
    assert code == 0, log
    code, said = build_tools.run([str(tmp_path / "main")], folder=tmp_path, label="running")
    assert code == 0, said
    first, counted, lengthened, designed, again = (float(word) for word in said.split())
    assert len({first, counted, lengthened}) == 3
    assert designed == first  # d = 0 and m = 0: the design moves nothing
    assert again == first
