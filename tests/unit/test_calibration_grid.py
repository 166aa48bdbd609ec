"""The grid posterior behind the negative controls, against an independent integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from bayesexpr.calibration.controls import TwoGroupScenario
from bayesexpr.calibration.grid import TwoGroups, laplace, solve
from bayesexpr.distributions import nb2_logpmf

RIGHT = TwoGroups()


def reference(count: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and sd of (alpha, beta, log phi) of one gene, by brute force with SciPy's arithmetic."""
    alpha = np.linspace(0.5, 7.5, 181)[:, None, None]
    beta = np.linspace(-2.5, 2.5, 161)[None, :, None]
    log_phi = np.linspace(np.log(5) - 3.6, np.log(5) + 3.6, 61)[None, None, :]
    lp = -0.5 * ((alpha - 4) ** 2 + (beta / 0.7) ** 2 + ((log_phi - np.log(5)) / 0.8) ** 2)
    for s, sign in enumerate((1, 1, 1, -1, -1, -1)):
        lp = lp + nb2_logpmf(count[s], np.exp(alpha + sign * beta + offset[s]), np.exp(log_phi))
    p = np.exp(lp - logsumexp(lp))
    values = [np.broadcast_to(a, p.shape) for a in (alpha, beta, log_phi)]
    mean = np.array([(p * a).sum() for a in values])
    return mean, np.sqrt([(p * (a - m) ** 2).sum() for a, m in zip(values, mean, strict=True)])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_draws_have_the_moments_of_the_posterior(seed: int) -> None:
    """20 000 draws: mean within four standard errors and 1 % of the sd, sd within 2 %."""
    rng = np.random.default_rng(seed)
    _, data = TwoGroupScenario().simulate(rng)
    mean, sd = reference(data["count"][:, 0], data["offset"])
    eta = solve(RIGHT, data["count"], data["offset"]).draw(20_000, rng)[:, 0]
    alpha, beta = RIGHT.coefficients(eta[:, 0], eta[:, 1])
    draws = np.stack([alpha, beta, eta[:, 2]], axis=1)
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=float((0.01 + 4 / np.sqrt(20_000)) * sd.max()))
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=0.02)


def test_the_grid_finds_very_narrow_posteriors() -> None:
    """60 000 counts under a Poisson likelihood: sd of the log mean .0024."""
    count = np.full((6, 1), 60_000)
    poisson = TwoGroups(likelihood="poisson")
    eta = solve(poisson, count, np.zeros(6)).draw(4000, np.random.default_rng(1))[:, 0]
    assert eta[:, 0].mean() == pytest.approx(np.log(6e4), abs=1e-3)
    assert eta[:, 0].std() == pytest.approx(1 / np.sqrt(1.8e5), rel=0.1)


def test_laplace_is_the_mode_and_its_curvature() -> None:
    """Poisson likelihood, no information on phi: the modes solve the score equation, precisions are known."""
    count = np.array([[90], [110], [100], [30], [25], [35]])
    mode, precision = laplace(TwoGroups(likelihood="poisson"), count, np.zeros(6))
    alpha, beta, log_phi = mode[0]
    mu = np.exp(alpha + np.array([1, 1, 1, -1, -1, -1]) * beta)
    sign = np.array([1, 1, 1, -1, -1, -1])
    assert (count[:, 0] - mu).sum() - (alpha - 4) == pytest.approx(0, abs=1e-4)
    assert (sign * (count[:, 0] - mu)).sum() - beta / 0.49 == pytest.approx(0, abs=1e-4)
    assert log_phi == pytest.approx(np.log(5), abs=1e-6)
    expected = np.array([[mu.sum() + 1, (sign * mu).sum()], [(sign * mu).sum(), mu.sum() + 1 / 0.49]])
    np.testing.assert_allclose(precision[0][:2, :2], expected, rtol=1e-3)
    assert precision[0][2, 2] == pytest.approx(1 / 0.64, rel=1e-3)
