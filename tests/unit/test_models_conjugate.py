"""beta_binomial, gamma_poisson and dirichlet_multinomial: the numbers of the text, simulators, bad input."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bayesexpr.errors import InputError, OptionError
from bayesexpr.models import registry
from bayesexpr.models.adaptive_shrinkage import AdaptiveShrinkage
from bayesexpr.models.beta_binomial import BetaBinomial
from bayesexpr.models.dirichlet_multinomial import DirichletMultinomial
from bayesexpr.models.gamma_poisson import GammaPoisson
from bayesexpr.models.priors import Beta, Dirichlet, Gamma

DRAWS = 200_000  # Monte Carlo error of a quantile: about 0.4 % of the posterior sd
TEXT_BETA = {"count": [500], "total": [20_000_000]}
TEXT_GAMMA = {"count": [500], "effective_length": [700], "total": 2e7, "transcriptome_length": 1e7}
TEXT_DIRICHLET = {"count": [150, 25, 40, 60, 225]}


def interval(values: Any) -> Any:
    return np.quantile(values, [0.025, 0.975], axis=0)


def test_beta_binomial_gives_the_interval_of_the_text() -> None:
    theta = BetaBinomial().exact(TEXT_BETA, DRAWS, np.random.default_rng(1))["theta"][:, 0]
    assert theta.mean() == pytest.approx(2.5e-5, rel=1e-3)
    assert interval(theta) == pytest.approx([2.29e-5, 2.72e-5], abs=0.006e-5)  # printed with two decimals


def test_gamma_poisson_gives_the_interval_of_the_text() -> None:
    p = GammaPoisson().exact(TEXT_GAMMA, DRAWS, np.random.default_rng(2))
    count, share = p["expected_count"][:, 0], p["proportion"][:, 0]
    assert count.mean() == pytest.approx(500, abs=0.2)
    assert interval(count) == pytest.approx([457.13, 544.77], abs=0.35)  # sd 22.4, 2.7 errors of a quantile
    assert interval(share) == pytest.approx([2.28e-5, 2.72e-5], abs=0.006e-5)


def test_gamma_poisson_prior_expects_1400_fragments() -> None:
    prior = GammaPoisson().prior("relative")
    assert prior.frozen().mean() * 700 * 2e7 / 1e7 == pytest.approx(1400)
    assert prior.frozen().sf(100) == pytest.approx(0.002, rel=2e-3)  # 1 % of all of 10^4 genes; four digits of shape


def test_dirichlet_multinomial_gives_the_intervals_of_the_text() -> None:
    theta = DirichletMultinomial().exact(TEXT_DIRICHLET, DRAWS, np.random.default_rng(3))["theta"]
    assert theta[:, 0].mean() == pytest.approx(0.30, abs=0.005)
    assert theta[:, 4].mean() == pytest.approx(0.44, abs=0.005)
    low, high = interval(theta)
    assert [low[0], high[0], low[4], high[4]] == pytest.approx([0.26, 0.34, 0.40, 0.49], abs=0.005)


def test_dirichlet_prior_is_rarely_over_twice_the_share() -> None:
    alpha = DirichletMultinomial().prior("theta").concentration(5)
    marginal = stats.beta(alpha[0], alpha[1:].sum())
    assert marginal.mean() == pytest.approx(0.2)
    assert marginal.sf(0.4) == pytest.approx(0.05, abs=0.005)  # the text rounds 2.595 to 2.5


def test_a_prior_moves_the_posterior() -> None:
    strong = replace(BetaBinomial(), priors={"theta": Beta(1e6, 1e8)})
    theta = strong.exact(TEXT_BETA, 1000, np.random.default_rng(1))["theta"]
    assert theta.mean() == pytest.approx(1e6 / 1.01e8 * 1.01 / 1.21, rel=0.01)


@pytest.mark.parametrize("shape", [1e-3, 0.01, 1.0, 1e4, 1e8])
def test_exact_draws_stay_finite_at_extreme_shapes(shape: float) -> None:
    model = BetaBinomial(priors={"theta": Beta(shape, shape)})
    p = model.exact({"count": [0, 10], "total": [10, 10]}, 1000, np.random.default_rng(1))
    assert np.isfinite(p["logit_theta"]).all()
    assert ((p["theta"] >= 0) & (p["theta"] <= 1)).all()
    assert np.isfinite(model.log_density({"logit_theta": p["logit_theta"][0]}, {"count": [0, 10], "total": [10, 10]}))


def test_simulators_have_the_moments_of_the_prior_predictive() -> None:
    # 20,000 simulations; tolerance five standard errors
    rng = np.random.default_rng(4)
    a, b, n = 2.0, 6.0, 50
    model = BetaBinomial(priors={"theta": Beta(a, b)})
    count = model.simulate({"total": [n] * 20_000}, rng)[1]["count"]
    expected = stats.betabinom(n, a, b)
    assert count.mean() == pytest.approx(expected.mean(), abs=5 * expected.std() / 20_000**0.5)
    assert count.std() == pytest.approx(expected.std(), rel=0.03)

    shape, rate, length = 3.0, 0.5, [100.0] * 20_000
    gamma = GammaPoisson(priors={"relative": Gamma(shape, rate)})
    data = {"effective_length": length, "total": 1e4, "transcriptome_length": 1e6}
    count = gamma.simulate(data, rng)[1]["count"]
    expected = stats.nbinom(shape, rate / (rate + 1.0))
    assert count.mean() == pytest.approx(expected.mean(), abs=5 * expected.std() / 20_000**0.5)
    assert (count == 0).mean() == pytest.approx(expected.pmf(0), abs=0.01)

    dirichlet = DirichletMultinomial(priors={"theta": Dirichlet(4.0, 1.0)})
    counts = np.stack([dirichlet.simulate({"genes": 3, "total": 30}, rng)[1]["count"] for _ in range(4000)])
    assert (counts.sum(axis=1) == 30).all()
    assert counts.mean(axis=0) == pytest.approx([20, 5, 5], abs=0.5)


def test_multinomial_becomes_independent_poissons_for_small_proportions() -> None:
    model, count = DirichletMultinomial(), np.array([3, 0, 5, 999_992])
    theta = np.array([3e-6, 1e-6, 4e-6, 1 - 8e-6])
    independent = stats.poisson.logpmf(count[:3], 1e6 * theta[:3]).sum()
    assert float(model.log_lik({"theta": theta}, {"count": count})) == pytest.approx(independent, abs=1e-4)


BAD = [
    ("beta_binomial", {"count": [3, 11], "total": [10, 10]}, r"count\[1\] is 11 of total\[1\] = 10"),
    ("beta_binomial", {"count": [1, -2], "total": [10, 10]}, r"count\[1\] is -2"),
    ("beta_binomial", {"count": [1, 2.5], "total": [10, 10]}, r"count\[1\] is 2.5"),
    ("beta_binomial", {"count": [1, float("nan")], "total": [10, 10]}, r"count\[1\] is nan"),
    ("beta_binomial", {"count": [float("inf")], "total": [10]}, r"count\[0\] is inf"),
    ("beta_binomial", {"count": [2**31], "total": [2**31]}, r"count\[0\] is 2147483648"),
    ("beta_binomial", {"count": [10**400], "total": [1]}, r"count\[0\] is a number of 401 digits"),
    ("beta_binomial", {"count": [1, 2], "total": [10]}, r"total is \[2\]; it was given \[1\]"),
    ("beta_binomial", {"count": [[1]], "total": [10]}, r"count is \[N\]; it was given \[1\]\[1\]"),
    ("beta_binomial", {"count": [], "total": []}, "no axis empty"),
    ("beta_binomial", {"count": ["3"], "total": [10]}, r"count\[0\] is '3'"),
    ("beta_binomial", {"count": [True], "total": [10]}, r"count\[0\] is True"),
    ("beta_binomial", {"count": [None], "total": [10]}, r"count\[0\] is None"),
    ("beta_binomial", {"count": [[[[[1]]]]], "total": [10]}, "nested list"),
    ("beta_binomial", {"count": [[1, 2], [3]], "total": [10]}, r"count\[1\] has \(1,\)"),
    ("beta_binomial", {"count": [1]}, "needs total"),
    ("beta_binomial", {"count": [1], "total": [2], "size": 3}, "does not know data 'size'"),
    ("beta_binomial", [1, 2], "map names to values"),
    ("gamma_poisson", {**TEXT_GAMMA, "effective_length": [-1]}, r"effective_length\[0\] is -1"),
    ("gamma_poisson", {**TEXT_GAMMA, "effective_length": [0]}, r"above 0; effective_length\[0\] is 0"),
    ("gamma_poisson", {**TEXT_GAMMA, "total": [1]}, "total is one number"),
    ("dirichlet_multinomial", {"count": [4]}, "at least two genes"),
    ("dirichlet_multinomial", {"count": [2**31 - 1, 2**31 - 1]}, "their sum is 4294967294"),
]


@pytest.mark.parametrize(("name", "data", "message"), BAD)
def test_bad_data_get_one_sentence_with_the_index(name: str, data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        registry.get(name)().stan_data(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("theta", "message"),
    [
        ([0.5, 0.2, 0.2], r"its 3 parts sum to 0.9, of which the largest, theta\[0\], is 0.5"),
        ([0.5, -0.1, 0.6], r"theta\[1\] is -0.1"),
        ([0.5, float("nan"), 0.5], r"theta\[1\] is nan"),
    ],
)
def test_a_simplex_that_is_none_is_refused_with_the_index(theta: list[float], message: str) -> None:
    model, data = DirichletMultinomial(), {"count": [1, 2, 3]}
    assert math.isfinite(model.log_density({"theta": [0.5, 0.2, 0.3]}, data))
    with pytest.raises(InputError, match=message):
        model.log_density({"theta": theta}, data)
    grid = {"estimate": [1.0], "standard_error": [1.0], "scale": [1.0, 2.0]}
    with pytest.raises(InputError, match=message.replace("theta", "weight")):
        AdaptiveShrinkage().log_density({"weight": theta}, grid)


def test_good_data_are_not_refused() -> None:
    for name, data in (
        ("beta_binomial", TEXT_BETA),
        ("beta_binomial", {"count": np.array([0, 5.0]), "total": (5, 5)}),
        ("gamma_poisson", TEXT_GAMMA),
        ("dirichlet_multinomial", TEXT_DIRICHLET),
    ):
        assert registry.get(name)().stan_data(data)["prior_only"] == 0


@pytest.mark.parametrize("name", registry.names())
def test_the_registry_describes_every_program(name: str) -> None:
    told = registry.describe(name)
    assert told["name"] == name
    assert told["outcome"] in told["data"]
    assert told["summary"]
    assert all(prior["statement"] for prior in told["priors"].values())
    assert set(registry.get(name).DIMS) <= {*told["data"], *told["parameters"]}


def test_an_unknown_program_is_answered_with_the_list() -> None:
    with pytest.raises(OptionError, match="there are: beta_binomial, gamma_poisson"):
        registry.get("beta_binomal")
