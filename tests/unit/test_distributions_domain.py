"""Densities of the ladder on a wide grid, against 60-digit arithmetic: right to 1e-6, never positive log mass."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

from bayesexpr.distributions import (
    binomial_logit_logpmf,
    dirichlet_logpdf,
    log_gamma_variate,
    multinomial_logpmf,
    nb2_logpmf,
    poisson_logpmf,
    zinb_logpmf,
)

REL = 1e-6
COUNTS = [0, 1, 5, 100, 10**5, 2 * 10**7, 2**31 - 1]
MEANS = [1e-10, 1e-3, 1.0, 50.0, 1e3, 1e6, 1e8, 2e9]
PHIS = [1e-4, 1e-2, 0.5, 1.0, 99.0, 101.0, 1e4, 1e6, 1e10, 1e15]


def close(value: float, truth: mp.mpf) -> None:
    assert value <= 0
    assert abs(value - truth) <= REL * abs(truth) + mp.mpf(10) ** -300


@pytest.fixture(autouse=True)
def digits() -> None:
    mp.mp.dps = 60


def nb(y: int, mu: float, phi: float) -> mp.mpf:
    n, m, p = mp.mpf(y), mp.mpf(mu), mp.mpf(phi)
    return mp.loggamma(n + p) - mp.loggamma(p) - mp.loggamma(n + 1) + n * mp.log(m / (m + p)) + p * mp.log(p / (m + p))


@pytest.mark.parametrize("y", COUNTS)
def test_negative_binomial(y: int) -> None:
    for mu in [*MEANS, y + 0.5]:
        for phi in PHIS:
            close(float(nb2_logpmf(y, mu, phi)), nb(y, mu, phi))


@pytest.mark.parametrize("y", COUNTS)
def test_poisson(y: int) -> None:
    for mu in [*MEANS, y + 0.5]:
        close(float(poisson_logpmf(y, mu)), y * mp.log(mp.mpf(mu)) - mp.mpf(mu) - mp.loggamma(y + 1))


@pytest.mark.parametrize("n", [1, 2, 10, 100, 20_000_000, 2**31 - 1])
def test_binomial_at_log_odds(n: int) -> None:
    for k in sorted({0, 1, n // 3, n // 2, n - 1, n}):
        logits = [-800.0, -100.0, -10.0, 0.0, 1e-8, 5.0, 100.0, 900.0]
        logits += [math.log(k / (n - k)), math.log(k / (n - k)) * 1.0001] if 0 < k < n else []
        for x in logits:
            mp.mp.dps = 450  # 1 - p of p = 1 / (1 + exp(-900)) needs that many
            truth = (
                mp.loggamma(n + 1)
                - mp.loggamma(k + 1)
                - mp.loggamma(n - k + 1)
                - k * mp.log1p(mp.exp(-mp.mpf(x)))
                - (n - k) * mp.log1p(mp.exp(mp.mpf(x)))
            )
            close(float(binomial_logit_logpmf(k, n, x)), truth)


@pytest.mark.parametrize("y", [0, 1, 20])
def test_zero_inflated_negative_binomial(y: int) -> None:
    for mu in (1e-6, 0.1, 3.0, 1e4):
        for phi in (1e-3, 0.5, 100.0, 1e8):
            for logit in (-30.0, -2.0, 0.0, 4.0, 30.0):
                pi = 1 / (1 + mp.exp(-mp.mpf(logit)))
                truth = mp.log((1 - pi) * mp.exp(nb(y, mu, phi)) + (pi if y == 0 else 0))
                value = float(zinb_logpmf(y, math.log(mu), phi, logit))
                # log of a number near one: what counts is the absolute error
                assert value <= 0
                assert abs(value - truth) <= REL * abs(truth) + 1e-15


def test_limits() -> None:
    y = np.arange(50)
    poisson = poisson_logpmf(y, 7.0)
    gap = [np.abs(nb2_logpmf(y, 7.0, phi) - poisson).max() for phi in (1e3, 1e6, 1e9, 1e12)]
    assert gap[0] > 0.1  # the control: at phi = 1000 the two still differ
    assert gap[1] < 2e-3
    assert gap[2] < 2e-6
    assert gap[3] < 1e-8
    plain = nb2_logpmf(y, 7.0, 2.0)
    assert np.abs(zinb_logpmf(y, np.log(7.0), 2.0, -50.0) - plain).max() < 1e-12
    assert np.abs(zinb_logpmf(y, np.log(7.0), 2.0, -3.0) - plain).max() > 0.04


def test_moments_of_the_zero_inflated_negative_binomial() -> None:
    # by derivation from Var = E Var + Var E: (1 - pi) (mu + mu^2 / k) + pi (1 - pi) mu^2, which is the text's form
    mu, k, pi = 4.0, 0.7, 0.3
    y = np.arange(20_000)
    mass = np.exp(zinb_logpmf(y, np.log(mu), k, np.log(pi / (1 - pi))))
    mean = (mass * y).sum()
    assert mass.sum() == pytest.approx(1.0, abs=1e-10)
    assert mean == pytest.approx((1 - pi) * mu, rel=1e-9)
    variance = (1 - pi) * mu * (1 + pi * mu) + (1 - pi) * mu**2 / k
    assert (mass * y**2).sum() - mean**2 == pytest.approx(variance, rel=1e-8)


def test_dirichlet_and_multinomial_against_their_formulas() -> None:
    rng = np.random.default_rng(1)
    for alpha in ([0.1, 2.0, 3.0], [50.0, 1e3, 2e4]):
        theta = rng.dirichlet(alpha)
        a = [mp.mpf(v) for v in alpha]
        truth = mp.loggamma(sum(a)) - sum(mp.loggamma(v) for v in a)
        truth += sum((v - 1) * mp.log(mp.mpf(float(t))) for v, t in zip(a, theta, strict=True))
        assert float(dirichlet_logpdf(theta, alpha)) == pytest.approx(float(truth), rel=1e-9)
    theta = np.array([1e-6, 0.3, 0.699999])
    for k in ([0, 0, 5], [3, 1_000_000, 2_000_000]):
        truth = mp.loggamma(sum(k) + 1) - sum(mp.loggamma(v + 1) for v in k)
        truth += sum(v * mp.log(mp.mpf(float(t))) for v, t in zip(k, theta, strict=True))
        assert float(multinomial_logpmf(np.array(k), theta)) == pytest.approx(float(truth), rel=REL)


def test_log_gamma_variates_do_not_underflow() -> None:
    # 50,000 draws; E log G = digamma(shape), sd = sqrt(trigamma); tolerance five standard errors
    rng = np.random.default_rng(1)
    for shape in (1e-3, 0.01, 1.0, 1e4):
        x = log_gamma_variate(np.full(50_000, shape), rng)
        assert np.isfinite(x).all()
        error = float(mp.sqrt(mp.psi(1, shape))) / 50_000**0.5
        assert x.mean() == pytest.approx(float(mp.psi(0, shape)), abs=5 * error)
