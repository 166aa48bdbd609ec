"""Every compiled program of the ladder against its NumPy twin, its closed form, and known truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ladder import COMPILED, Variant

from bayesexpr.fitting import Fit, fit
from bayesexpr.models import registry
from bayesexpr.models.base import Model
from bayesexpr.models.priors import Beta, Dirichlet, Gamma
from bayesexpr.posterior.diagnostics import mcse_mean
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.methods import log_prob
from bayesexpr.stan.program import render
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan
POINTS = 12


@pytest.fixture(scope="session")
def executable(toolchain: Toolchain) -> Callable[[Model], Path]:
    """A function from a model to its executable, compiled once."""
    return lambda model: compile_program(render(model.NAME, model.options), toolchain)


@pytest.mark.parametrize("variant", COMPILED, ids=lambda v: v.label)
@pytest.mark.parametrize("prior_only", [False, True], ids=["posterior", "prior"])
def test_log_density_equals_its_twin(variant: Variant, prior_only: bool, executable: Callable[[Model], Path]) -> None:
    # Stan leaves out constants, so what is compared are differences to the first point; 1e-8 of their size
    model, rng = variant.model, np.random.default_rng(11)
    data = model.complete(model.simulate(variant.scenario, rng)[1])
    x = rng.normal(0, 0.7, (POINTS, variant.size))
    stan, _ = log_prob(executable(model), model.stan_data(data, prior_only=prior_only), x)
    twin = []
    for row in x:
        parameters, jacobian = variant.constrain(row, {**data, "seen": int(not prior_only)})
        likelihood = float(np.sum(model.log_lik(parameters, data))) if prior_only else 0.0
        twin.append(model.log_density(parameters, data) - likelihood + jacobian)
    found, wanted = stan - stan[0], np.array(twin) - twin[0]
    assert np.ptp(wanted) > 1e-3  # the control: these points do differ
    scale = max(1.0, float(np.abs(twin).max()))
    assert np.abs(found - wanted).max() < 1e-8 * scale


def test_negative_binomial_stays_exact_as_it_becomes_poisson(executable: Callable[[Model], Path]) -> None:
    # dispersions down to 1e-12: log mass against the twin, which 60-digit arithmetic vouches for
    variant = next(v for v in COMPILED if v.options == {"zero_inflation": "none"})
    model = variant.model
    data = model.complete({"count": [[0, 3], [50, 1_000_000]], "design": [[0.0], [1.0]]})
    points = []
    for log_dispersion in np.log([1.0, 1e-3, 1e-6, 1e-9, 1e-12]):
        points.append([math.log(5.0), math.log(1e6), 0.1, -0.1, log_dispersion, log_dispersion])
    stan, _ = log_prob(executable(model), model.stan_data(data), np.array(points))
    twin = [model.log_density(variant.constrain(np.array(p), data)[0], data) for p in points]
    assert stan - stan[0] == pytest.approx(np.array(twin) - twin[0], rel=1e-6, abs=1e-6)


def test_the_bound_of_a_variance_is_exact_where_it_binds(executable: Callable[[Model], Path]) -> None:
    # technical variance far above what biology leaves: inv_gamma_lccdf of Stan 2.39 is off there, in value and slope
    variant = next(v for v in COMPILED if v.name == "variance_components")
    model = variant.model
    data = model.complete(model.simulate(variant.scenario, np.random.default_rng(17))[1])
    points = []
    for technical_sd, shape, scale in ((0.24, 4.0, 0.15), (0.24, 13.0, 0.3), (0.3, 10.0, 0.02), (0.01, 0.5, 20.0)):
        points.append([1.0, 2.0, 3.0, 4.0, *np.log([technical_sd, shape, scale]), 0.3, -0.2, 0.1, 0.5])
    stan, gradient = log_prob(executable(model), model.stan_data(data), np.array(points))
    twin = []
    for row in points:
        parameters, jacobian = variant.constrain(np.array(row), data)
        twin.append(model.log_density(parameters, data) + jacobian)
    assert stan - stan[0] == pytest.approx(np.array(twin) - twin[0], rel=1e-8)
    for place in (4, 5, 6):
        step = np.zeros(11)
        step[place] = 1e-5
        beside, _ = log_prob(executable(model), model.stan_data(data), np.concatenate([points + step, points - step]))
        slope = (beside[:4] - beside[4:]) / 2e-5
        assert gradient[:, place] == pytest.approx(slope, rel=1e-4, abs=1e-4)


EXACT = [
    ("beta_binomial", {"count": [500, 0, 3], "total": [20_000_000, 50, 10]}, {"theta": Beta(0.5, 2.0)}),
    (
        "gamma_poisson",
        {"count": [500, 0, 7], "effective_length": [700, 50, 2000], "total": 2e7, "transcriptome_length": 1e7},
        {"relative": Gamma(0.3, 0.3)},
    ),
    ("dirichlet_multinomial", {"count": [150, 25, 40, 60, 225]}, {"theta": Dirichlet(2.5, 2.5)}),
    ("gaussian_linear", None, {}),
]


@pytest.mark.parametrize(("name", "data", "prior"), EXACT, ids=[e[0] for e in EXACT])
def test_nuts_agrees_with_the_closed_form(
    name: str, data: dict[str, Any] | None, prior: dict[str, Any], toolchain: Toolchain
) -> None:
    # seed 3; means within five Monte Carlo errors of both, sds within 10 %
    model = registry.get(name)
    if data is None:
        data = model().simulate(model.SCENARIO, np.random.default_rng(1))[1]
    nuts = fit(name, data, prior=prior, seed=3, cores=2, draws=1500, warmup=700)
    exact = fit(name, data, prior=prior, seed=4, method="exact", draws=5000)
    assert nuts.verdict.passed, nuts.verdict.summary
    for variable in nuts.posterior["posterior"].data_vars:
        a, b = (f.posterior["posterior"][variable].to_numpy() for f in (nuts, exact))
        a, b = (v.reshape(*v.shape[:2], -1) for v in (a, b))
        error = np.hypot(mcse_mean(a), b.std(axis=(0, 1)) / 20_000**0.5)
        assert np.all(np.abs(a.mean(axis=(0, 1)) - b.mean(axis=(0, 1))) < 5 * error), variable
        assert a.std(axis=(0, 1)) == pytest.approx(b.std(axis=(0, 1)), rel=0.1), variable


EDGES = [
    ("beta_binomial", {"count": [0, 10, 20_000_000], "total": [10, 10, 20_000_000]}, {"theta": Beta(0.01, 0.01)}),
    (
        "gamma_poisson",
        {"count": [0, 1], "effective_length": [700, 50], "total": 2e7, "transcriptome_length": 1e7},
        {"relative": Gamma(0.01, 0.01)},
    ),
]


@pytest.mark.parametrize(("name", "data", "prior"), EDGES, ids=[e[0] for e in EDGES])
def test_tails_a_hundred_times_as_long_as_the_middle_are_sampled(
    name: str, data: dict[str, Any], prior: dict[str, Any], toolchain: Toolchain
) -> None:
    # nothing or everything seen under shapes of 0.01: seed 3, as many draws as above; the logarithm's quantiles
    nuts = fit(name, data, prior=prior, seed=3, cores=2, draws=1500, warmup=700)
    assert nuts.verdict.passed, nuts.verdict.summary
    assert nuts.diagnostics["divergences"] == 0
    variable = "logit_theta" if name == "beta_binomial" else "log_relative"
    exact = fit(name, data, prior=prior, seed=4, method="exact", draws=5000).draws(variable)
    assert exact.std(axis=0).max() > 90
    for probability in (0.1, 0.5, 0.9):
        place = np.quantile(exact, probability, axis=0)
        below = (nuts.posterior["posterior"][variable].to_numpy() < place).astype(float)
        assert np.all(np.abs(below.mean(axis=(0, 1)) - probability) < 5 * np.hypot(mcse_mean(below), 0.003))


def test_nuts_gives_the_interval_of_the_text_from_its_prior(toolchain: Toolchain) -> None:
    found = fit("beta_binomial", {"count": [500], "total": [20_000_000]}, seed=1, cores=2)
    low, high = np.quantile(found.draws("theta"), [0.025, 0.975])
    assert [low, high] == pytest.approx([2.29e-5, 2.72e-5], abs=0.02e-5)


@pytest.mark.parametrize("method", ["pathfinder", "laplace", "advi"])
def test_an_approximation_reports_its_k_hat(method: str, toolchain: Toolchain) -> None:
    data = {"count": [150, 25, 40, 60, 225]}
    found = fit("dirichlet_multinomial", data, method=method, seed=2)
    k = found.diagnostics["pareto_k"]
    assert math.isfinite(k)
    assert f"{k:.2f}" in found.verdict.findings[0].text
    assert "lp_approximation" in found.posterior["sample_stats"]
    # close to normal in the coordinates of the simplex; within a posterior sd, for ADVI's optimum is noisy
    assert found.draws("theta").mean(axis=0) == pytest.approx(
        np.array([152.5, 27.5, 42.5, 62.5, 227.5]) / 512.5, abs=0.022
    )


def test_a_poor_approximation_is_called_one(toolchain: Toolchain) -> None:
    # weights of components of which most are not needed: their posterior is piled up at zero, no normal comes near
    rng = np.random.default_rng(3)
    data = {"estimate": rng.normal(0, 1, 300), "standard_error": np.ones(300), "scale": [0.1, 0.2, 0.5, 4.0, 8.0, 16.0]}
    found = fit("adaptive_shrinkage", data, prior={"weight": Dirichlet(0.05, 0.05)}, method="advi", seed=2)
    assert found.diagnostics["pareto_k"] > 0.7
    assert not found.verdict.passed


def coverage(found: Fit, truth: dict[str, Any], names: tuple[str, ...]) -> tuple[int, int]:
    """How many true values lie in their 90 % intervals, of how many."""
    inside = total = 0
    for name in names:
        low, high = np.quantile(found.draws(name), [0.05, 0.95], axis=0)
        hits = (low <= truth[name]) & (truth[name] <= high)
        inside, total = inside + int(hits.sum()), total + hits.size
    return inside, total


RECOVERY = [
    (
        "hierarchical_expression",
        {},
        {"samples": 4, "genes": 60},
        ("log_expression", "mu_0", "sigma_mu", "log_f", "tau"),
    ),
    ("zero_inflated_negative_binomial", {"dispersion": "effects"}, None, ("alpha", "beta", "logit_pi", "pi_beta")),
    ("gaussian_linear", {"errors": "student_t"}, None, ("intercept", "effect", "sigma")),
    ("variance_components", {}, None, ("mu", "technical_sd", "shape", "scale", "total_variance")),
    ("adaptive_shrinkage", {}, None, ("weight",)),
]


@pytest.mark.parametrize(("name", "options", "scenario", "names"), RECOVERY, ids=[r[0] for r in RECOVERY])
def test_parameters_are_recovered(
    name: str, options: dict[str, str], scenario: dict[str, Any] | None, names: tuple[str, ...], toolchain: Toolchain
) -> None:
    # seed 21, one study from the prior: 90 % intervals hold 90 % of the truth, within three binomial errors
    # (counted as if independent, plus one)
    model = registry.get(name)(options=options)
    truth, data = model.simulate(scenario or model.SCENARIO, np.random.default_rng(21))
    found = fit(name, data, options=options, seed=5, cores=2, warmup=400, draws=400)
    assert found.diagnostics["divergences"] <= 8  # half a per cent of the draws
    assert found.diagnostics["max_rhat"] < 1.06
    inside, total = coverage(found, truth, names)
    assert inside >= 0.9 * total - 3 * (0.09 * total) ** 0.5 - 1, (inside, total)


def test_shrinkage_pulls_an_unusual_gene_towards_the_others(toolchain: Toolchain) -> None:
    # one gene of 40 with a lone count of 1 in one sample against typical genes of 100
    rng = np.random.default_rng(6)
    count = rng.poisson(100, (1, 40))
    count[0, 0] = 1
    found = fit(
        "hierarchical_expression",
        {"count": count},
        options={"likelihood": "poisson", "size_factors": "fixed"},
        seed=1,
        cores=2,
        warmup=500,
        draws=500,
    )
    gene = np.exp(found.draws("log_expression")[:, 0]).mean()
    assert 1.0 < gene < 60.0
    predicted = found.add("posterior_predictive", "log_likelihood", seed=2).posterior
    assert predicted["posterior_predictive"]["counts"].shape == (4, 500, 1, 40)
    ranks = (predicted["posterior_predictive"]["counts"].to_numpy() <= count).mean(axis=(0, 1))
    assert 0.05 < np.median(ranks) < 0.95
    assert np.isfinite(predicted["log_likelihood"]["counts"].to_numpy()).all()
