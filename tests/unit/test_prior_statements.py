"""Priors from statements: every worked prior of the text, round trips, and statements that nothing meets."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from bayesexpr import priors
from bayesexpr.errors import OptionError
from bayesexpr.priors import from_statement


def test_exponential_of_the_dispersion() -> None:
    found = from_statement("P(tau > 1) = 0.01", family="exponential")
    assert isinstance(found, priors.Exponential)
    assert found.rate == pytest.approx(4.605, abs=5e-4)
    assert found.rate == pytest.approx(math.log(100), rel=1e-12)


def test_normal_of_the_typical_gene() -> None:
    # 95 % within one order of magnitude of the centre
    ten = math.log(10)
    for statements in (
        [f"E(mu) = {ten}", f"P(0 < mu < {2 * ten}) = 0.95"],
        [f"P(mu > {2 * ten}) = 2.5 %", "P(mu < 0) = 0.025"],
        [f"median(mu) = {ten}", f"P(mu > {2 * ten}) = 1/40"],
    ):
        found = from_statement(statements, family="normal")
        assert isinstance(found, priors.Normal)
        assert found.mean == pytest.approx(ten)
        assert found.sd == pytest.approx(1.17, abs=0.006)  # ln(10) / 1.96, printed with two decimals


def test_half_normal_of_the_spread_of_genes() -> None:
    found = from_statement("P(sigma > 2.35) = 0.01", family="half-normal")
    assert isinstance(found, priors.HalfNormal)
    assert found.sd == pytest.approx(0.912, abs=5e-4)


def test_half_normal_of_the_effects() -> None:
    found = from_statement("P(sigma_beta > 1.96) = 0.05", family="half_normal")
    assert found.numbers() == pytest.approx([1.0], abs=1e-4)


def test_dirichlet_of_five_genes() -> None:
    found = from_statement(["E(theta) = 0.2", "P(theta > 0.4) = 0.05"], family="dirichlet")
    assert isinstance(found, priors.Dirichlet)
    assert found.first == found.others
    assert found.first == pytest.approx(2.5, abs=0.1)  # the text rounds 2.595
    assert stats.beta(found.first, 4 * found.first).sf(0.4) == pytest.approx(0.05, rel=1e-6)
    assert from_statement("P(theta > 0.4) = 0.05", family="dirichlet", size=5) == found


def test_gamma_of_the_fragments_of_a_gene() -> None:
    # 1400 fragments expected; 0.2 % probability of over 1 % of the total of 10^4 such genes
    found = from_statement(["E(k) = 1400", "P(k > 140000) = 0.002"], family="gamma")
    assert isinstance(found, priors.Gamma)
    x = found.frozen()
    assert x.mean() == pytest.approx(1400, rel=1e-6)
    assert x.sf(140_000) == pytest.approx(0.002, rel=1e-6)
    # two gammas meet the statements; the other one, of shape 0.0012, is more extreme
    assert found.shape == pytest.approx(0.01149, abs=1e-5)


def test_beta_of_one_gene() -> None:
    tail = stats.beta(0.01, 99.99).sf(0.01)
    assert tail == pytest.approx(0.002, abs=3e-4)
    found = from_statement(["E(theta) = 1/10000", f"P(theta > 0.01) = {tail}"], family="beta")
    assert found.numbers() == pytest.approx([0.01, 99.99], rel=1e-6)


@pytest.mark.parametrize(
    ("prior", "low", "high"),
    [
        (priors.Normal(-3.0, 0.2), -3.4, -2.9),
        (priors.LogNormal(2.0, 0.7), 3.0, 20.0),
        (priors.Gamma(7.0, 0.1), 40.0, 100.0),
        (priors.InverseGamma(4.0, 3.0), 0.4, 2.0),
        (priors.Beta(0.7, 3.0), 0.05, 0.5),
    ],
)
def test_a_prior_comes_back_from_its_own_tails(prior: priors.Prior, low: float, high: float) -> None:
    x = prior.frozen()
    tails = [f"P(x < {low}) = {float(x.cdf(low))}", f"P(x > {high}) = {float(x.sf(high))}"]
    found = from_statement(tails, family=prior.family)
    assert found.numbers()[:2] == pytest.approx(prior.numbers()[:2], rel=1e-5)
    moments = [f"E(x) = {float(x.mean())}", f"sd(x) = {float(x.std())}"]
    assert from_statement(moments, family=prior.family).numbers()[:2] == pytest.approx(prior.numbers()[:2], rel=1e-5)


@pytest.mark.parametrize(
    ("statements", "family", "message"),
    [
        (["E(x) = 1", "P(x > 100) = 0.02"], "gamma", "at most 0.01.*Markov"),
        (["E(x) = 1", "P(x > 100) = 0.004"], "gamma", "no gamma meets.*the nearest found"),
        (["P(x > 1) = 0.5", "P(x > 2) = 0.6"], "gamma", "contradict each other"),
        (["P(x > 1) = 0.5", "P(x > 1) = 0.6"], "normal", "contradict each other"),
        (["E(x) = 0.3", "sd(x) = 0.6"], "beta", "no beta meets"),
        ("P(x < -1) = 0.2", "exponential", "lie between 0 and inf"),
        (["E(x) = 1.5", "P(x > 0.9) = 0.1"], "beta", "lie between 0 and 1"),
        ("E(x) = 1", "gamma", "2 numbers and takes as many statements; there is 1"),
        (["E(x) = 1", "median(x) = 1"], "exponential", "1 number and takes as many statements; there are 2"),
        (["E(x) = 1", "sd(y) = 2"], "normal", "about one quantity"),
        ("P(x > 1) = 1.5", "exponential", "between 0 and 1"),
        ("P(x > 1) = 1", "exponential", "between 0 and 1"),
        (["P(3 < x < 2) = 0.5", "E(x) = 1"], "normal", "goes from 3 to 2"),
        (["E(x) = 1", "sd(x) = 0"], "normal", "above zero"),
        ("E(x) = 1/0", "exponential", "divides by zero"),
        ("E(x) = 1", "cauchy", "there is no family 'cauchy'"),
        ("__import__('os').system('true')", "normal", "is no statement"),
        ("P(x > 1e) = 0.1", "exponential", "is no statement"),
        (["E(theta) = 0.3", "P(theta > 0.4) = 0.05"], "dirichlet", "mean 1 / size"),
        ("P(theta > 0.4) = 0.05", "dirichlet", "takes its size"),
    ],
)
def test_what_nothing_meets_is_refused_with_the_reason(statements: str | list[str], family: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        from_statement(statements, family=family)


def test_a_prior_is_read_back_from_its_text() -> None:
    for prior in (priors.Beta(0.01, 99.99), priors.LogNormal(1 / 3, 0.7), priors.Dirichlet(2.5, 1.0)):
        assert priors.parse_prior(prior.text()) == prior
    for wrong in ("beta(nan, 1)", "beta(1, inf)", "normal(inf, 1)", "beta(1)", "beta(-1, 2)", "exponential(0)"):
        with pytest.raises(OptionError):
            priors.parse_prior(wrong)
