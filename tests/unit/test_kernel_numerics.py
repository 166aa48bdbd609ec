"""The compiled core against 50-digit arithmetic and finite differences; needs a C++ compiler, not Stan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from bayesexpr.models.de_core import GeneCore
from bayesexpr.models.de_whitened_core import WhitenedCore
from bayesexpr.stan import build_tools
from bayesexpr.stan.kernels import write_sources
from bayesexpr.stan.program import library_sources, render

Float = NDArray[np.float64]
OPTIONS = {"density": "kernel", "effects": "spike_slab", "dispersion": "trend", "size_factors": "estimated"}
MEANS = 10.0 ** np.arange(-8, 9, 2.0)
PRECISIONS = 10.0 ** np.array([-4, -2, -1, 0, 0.5, 1, 2, 4, 6, 8, 9, 10])
COUNTS = (0, 1, 2, 7, 8, 9, 100, 12_345, 10**7)


@pytest.fixture(scope="module", params=["native", "plain", "fast-math"])
def build(request: pytest.FixtureRequest, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core built as a fit builds it, for any processor, and with the arithmetic that compilers may rearrange."""
    if request.param == "native":
        return library
    flags = {"plain": ["-O2"], "fast-math": ["-O3", "-ffast-math"]}[request.param]
    folder = tmp_path_factory.mktemp("core")
    program = render("negative_binomial_de", OPTIONS)
    sources = library_sources(program)
    write_sources(sources, folder)
    command = [
        *build_tools.require_compiler().command,
        "-std=c++17",
        *flags,
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fPIC",
        "-c",
    ]
    code, log = build_tools.run([*command, next(iter(sources)), "-o", "core.o"], folder=folder, label="core")
    assert code == 0, log
    # linked without -ffast-math, which would switch denormal numbers off in the whole process
    link = [*build_tools.require_compiler().command, "-shared", "core.o", "-o", "core.so"]
    code, log = build_tools.run(link, folder=folder, label="core")
    assert code == 0, log
    return folder / "core.so"


def exact_log_mass(y: int, log_mu: float, log_phi: float) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    """Log mass and its derivatives in log mu and log phi, with 50 digits."""
    with mpmath.workdps(50):
        mu, phi = mpmath.exp(mpmath.mpf(log_mu)), mpmath.exp(mpmath.mpf(log_phi))
        value = mpmath.loggamma(y + phi) - mpmath.loggamma(phi) - mpmath.loggamma(y + 1)
        value += y * mpmath.log(mu) - y * mpmath.log(mu + phi) - phi * mpmath.log1p(mu / phi)
        in_mu = phi * (y - mu) / (mu + phi)
        in_phi = mpmath.digamma(y + phi) - mpmath.digamma(phi) - mpmath.log1p(mu / phi) + (mu - y) / (mu + phi)
        return value, in_mu, phi * in_phi


def hyper_of(rng: np.random.Generator, core: GeneCore, **given: Any) -> dict[str, Any]:
    log_weight = np.log(rng.dirichlet(np.ones(core.C)))
    drawn = {
        "nu": 4.0,
        "mu_alpha": 4.0,
        "sigma_alpha": 1.7,
        "log_a0": -3.0,
        "log_a1": 0.6,
        "sigma_phi": 0.6,
        "s": 0.5,
        "m": rng.normal(0, 0.3, core.K),
        "log_weight": log_weight,
        "tau": rng.uniform(0.2, 1, core.R),
        "log_f": rng.normal(0, 0.2, core.S),
    }
    return drawn | given


def study(rng: np.random.Generator, build: Path, G: int, S: int, K: int, R: int, C: int, length: bool) -> GeneCore:
    count = rng.negative_binomial(3, 0.05, (S, G))
    design = rng.normal(0, 1, (C, S, K)).round()
    design[0] *= C == 1
    return GeneCore(build, count, design, rng.normal(0, 1, (S, R)), rng.normal(0, 0.3, (S, G)) if length else None)


def test_log_mass_has_ten_digits_from_sparse_counts_to_the_poisson_limit(build: Path) -> None:
    """972 combinations: relative to 1 or the value, and at ten million counts relative to y log y, which cancels."""
    for y in COUNTS:
        mean, phi = (grid.ravel() for grid in np.meshgrid(np.log(MEANS), np.log(PRECISIONS)))
        G = len(mean)
        core = GeneCore(build, np.full((1, G), y), np.zeros((1, 1, 1)), np.zeros((1, 0)))
        none = np.zeros((1, G, 1))
        got = core.component_log_lik(mean[None], phi[None], none, none[..., :0], np.zeros((1, 1)))[0, :, 0]
        for g in range(G):
            exact = exact_log_mass(y, mean[g], phi[g])[0]
            error = abs(mpmath.mpf(got[g]) - exact)
            assert error < 1e-14 * max(1, abs(exact), y * np.log1p(y), y * abs(mean[g])), (y, mean[g], phi[g])
            assert error < 1e-10 * max(1, abs(exact)) or y == COUNTS[-1], (y, mean[g], phi[g])


def test_gradient_has_eight_digits_at_the_extremes(build: Path) -> None:
    """In log mu (alpha, the dispersion's trend being off) and log phi (e), next to the priors' known part."""
    for y in COUNTS:
        mean, phi = (grid.ravel() for grid in np.meshgrid(np.log(MEANS), np.log(PRECISIONS)))
        core = GeneCore(build, np.full((1, len(mean)), y), np.zeros((1, 1, 1)), np.zeros((1, 0)))
        psi = np.column_stack([mean, phi, np.zeros_like(mean)])
        off = {"mu_alpha": 0.0, "sigma_alpha": 1.0, "log_a0": 0.0, "log_a1": -60.0, "sigma_phi": 1.0, "s": 1.0}
        hyper = {**off, "nu": 0.0, "m": [0.0], "log_weight": [0.0], "tau": [], "log_f": [0.0]}
        gradient = core.gene_terms(psi, hyper)[1] + psi
        for g in range(len(mean)):
            _, in_mu, in_phi = exact_log_mass(y, mean[g], phi[g])
            scale = max(1.0, float(abs(in_mu)), float(abs(in_phi)), abs(mean[g]), abs(phi[g]))
            np.testing.assert_allclose(gradient[g, :2], [float(in_mu), float(in_phi)], atol=1e-8 * scale, rtol=0)


@pytest.mark.parametrize("G", [1, 7, 16, 33])
@pytest.mark.parametrize(("S", "K", "R", "C", "length"), [(2, 1, 0, 2, False), (6, 2, 3, 5, True), (9, 3, 1, 1, False)])
def test_gene_terms_agree_with_finite_differences_and_the_sum(
    library: Path, G: int, S: int, K: int, R: int, C: int, length: bool
) -> None:
    rng = np.random.default_rng(G + S)
    core = study(rng, library, G, S, K, R, C, length)
    hyper = hyper_of(rng, core)
    psi = rng.normal(0, 0.8, (G, core.P)) + np.eye(core.P)[0] * 4
    value, gradient, precision = core.gene_terms(psi, hyper)
    step = 1e-5
    for p in range(core.P):
        up, down = (core.gene_terms(psi + sign * step * np.eye(core.P)[p], hyper)[0] for sign in (1, -1))
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(gradient[:, p], (up - down) / (2 * step), atol=1e-7 * scale)
        assert not np.allclose(1.0001 * gradient[:, p], (up - down) / (2 * step), atol=1e-7 * scale, rtol=1e-7)
    assert (np.linalg.eigvalsh(precision) > 0).all()
    np.testing.assert_array_equal(precision, precision.transpose(0, 2, 1))

    # the density of the whole is the sum of the genes'
    whole = WhitenedCore(core, psi, np.ones_like(psi), np.zeros((core.P, G, 1)))
    total, d_z, _, _ = whole.density(np.zeros_like(psi), np.zeros((core.P, 1)), hyper)
    np.testing.assert_allclose(total, value.sum(), rtol=1e-13)
    np.testing.assert_allclose(d_z, gradient, rtol=1e-12, atol=1e-12)


def test_every_hyperparameter_and_driver_has_its_derivative(library: Path) -> None:
    """Central differences of the total in all of them; 33 genes, which fill no whole number of blocks."""
    rng = np.random.default_rng(11)
    core = study(rng, library, 33, 5, 2, 2, 3, True)
    hyper = hyper_of(rng, core)
    P, J = core.P, 3
    z, shift = rng.normal(0, 0.5, (core.G, P)), rng.normal(0, 0.3, (P, J))
    center = rng.normal(0, 0.3, (core.G, P)) + np.eye(P)[0] * 3
    whole = WhitenedCore(core, center, rng.uniform(0.5, 1, (core.G, P)), rng.normal(0, 0.3, (P, core.G, J)))
    _, d_z, d_shift, d_hyper = whole.density(z, shift, hyper)
    step = 1e-5

    def slope(along: Any) -> float:
        return float((along(step) - along(-step)) / (2 * step))

    size = np.abs(d_z).max()
    for g, p in [(0, 0), (32, 1), (17, 2), (15, P - 1)]:
        unit = np.zeros_like(z)
        unit[g, p] = 1
        found = slope(lambda h, unit=unit: whole.density(z + h * unit, shift, hyper)[0])
        assert d_z[g, p] == pytest.approx(found, abs=1e-6 * size)
    for p, j in np.ndindex(P, J):
        unit = np.zeros_like(shift)
        unit[p, j] = 1
        found = slope(lambda h, unit=unit: whole.density(z, shift + h * unit, hyper)[0])
        assert d_shift[p, j] == pytest.approx(found, abs=1e-6 * np.abs(d_shift).max())
    for name, derivative in d_hyper.items():
        for k in range(np.size(derivative)):
            unit = np.zeros(np.shape(derivative))
            unit[(k,) if np.ndim(derivative) else ()] = 1

            def along(h: float, name: str = name, unit: Float = unit) -> float:
                return whole.density(z, shift, hyper | {name: hyper[name] + h * unit})[0]

            found = slope(along)
            assert np.ravel(derivative)[k] == pytest.approx(found, rel=1e-6, abs=1e-5), name
            assert np.ravel(derivative)[k] * 1.001 + 0.001 != pytest.approx(found, rel=1e-6, abs=1e-5), name


def test_curvature_is_prior_plus_expected_plus_observed_information(library: Path) -> None:
    """One component: the linear predictor's and log phi's parts by their formulas, log phi's by finite differences."""
    rng = np.random.default_rng(5)
    core = study(rng, library, 40, 12, 1, 1, 1, False)
    hyper = hyper_of(rng, core, log_weight=[0.0], nu=0.0)
    psi = rng.normal(0, 0.5, (40, 4)) + np.array([4, 0, 0, 0])
    _, gradient, precision = core.gene_terms(psi, hyper)
    step = 1e-5
    up, down = (core.gene_terms(psi + sign * step * np.eye(4)[1], hyper)[1][:, 1] for sign in (1, -1))
    observed = np.maximum(-(up - down) / (2 * step) - 1, 0)
    np.testing.assert_allclose(precision[:, 1, 1] - 1, observed, atol=1e-6 * observed.max())
    assert (observed == 0).any() or (observed > 0).all()
    share = np.exp(hyper["log_a1"] - psi[:, 0])
    share /= share + np.exp(hyper["log_a0"])
    np.testing.assert_allclose(precision[:, 0, 1], observed * share / hyper["sigma_phi"], atol=1e-6 * observed.max())
    assert np.isfinite(gradient).all()


def test_far_from_the_data_nothing_overflows(build: Path) -> None:
    rng = np.random.default_rng(2)
    core = study(rng, build, 20, 4, 1, 1, 2, False)
    hyper = hyper_of(rng, core)
    for size in (30.0, 300.0, 3000.0):
        value, gradient, precision = core.gene_terms(rng.normal(0, size, (20, 4)), hyper)
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()
        assert np.isfinite(precision).all()
        assert (value < -10).all()
