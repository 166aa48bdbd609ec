"""A Poisson-lognormal with an effect of each observation: plain importance sampling fails, the integral does not.

Every observation has its own parameter, so that leaving it out moves that parameter back to its prior. All posteriors
here are exact, by quadrature; the truth is the predictive density of the posterior without the observation.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, logsumexp

from bayesexpr.empirical_bayes.leave_one_out import leave_out
from bayesexpr.posterior.importance import reliable_k
from bayesexpr.posterior.leave_one_out import leave_one_out

N, DRAWS, NODES = 200, 1000, 241
MU, SIGMA = np.linspace(2.0, 4.0, 61), np.exp(np.linspace(np.log(0.6), np.log(1.6), 25))
Z = np.linspace(-8, 8, NODES)


def log_mass(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    return np.asarray(y * eta - np.exp(eta) - gammaln(y + 1.0))


def on_grid(y: np.ndarray) -> np.ndarray:
    """Log of each count's mass with its effect integrated out, [mu, sigma, N]."""
    log_prior = -0.5 * Z**2 + np.log(Z[1] - Z[0]) - 0.5 * np.log(2 * np.pi)
    eta = MU[:, None, None] + SIGMA[None, :, None] * Z
    return np.stack([logsumexp(log_mass(one, eta) + log_prior, axis=-1) for one in y], axis=-1)


def hyper_log_density(marginal: np.ndarray) -> np.ndarray:
    """Log posterior [mu, sigma] up to a constant: flat in mu and in log sigma on the grid."""
    return np.asarray(marginal.sum(axis=-1))


def test_integrated_leave_one_out_equals_a_refit_where_plain_fails() -> None:
    """Seed 1, 200 counts, 1,000 exact draws: plain flags at least a fifth, integrated none; 50 agree within 0.1 nat."""
    rng = np.random.default_rng(1)
    y = rng.poisson(np.exp(rng.normal(3.0, 1.0, N)))
    marginal = on_grid(y)
    log_post = hyper_log_density(marginal)
    weight = np.exp(log_post - log_post.max()).ravel()
    pick = np.unravel_index(rng.choice(weight.size, DRAWS, p=weight / weight.sum()), log_post.shape)
    mu, sigma = MU[pick[0]], SIGMA[pick[1]]

    # draws of the observations' own effects, given the hyperparameters: the joint posterior's draws
    eta = mu[:, None] + sigma[:, None] * Z
    log_lik = np.empty((DRAWS, N))
    for i, count in enumerate(y):
        log_z = log_mass(count, eta) - 0.5 * Z**2
        reach = np.cumsum(np.exp(log_z - log_z.max(axis=1, keepdims=True)), axis=1)
        place = (reach < rng.random((DRAWS, 1)) * reach[:, -1:]).sum(axis=1)
        log_lik[:, i] = log_mass(count, eta[np.arange(DRAWS), place])
    plain = leave_one_out(log_lik)
    assert np.mean(plain.pareto_k > reliable_k(DRAWS)) >= 0.2

    # the effect integrated by quadrature under 100 of those draws: nodes are the points, priors over them the weights
    few = slice(0, 100)
    mass = np.stack([log_mass(count, eta[few]) for count in y], axis=-1)
    log_weight = mass - 0.5 * Z[None, :, None] ** 2
    log_weight = log_weight - logsumexp(log_weight, axis=1, keepdims=True)
    elpd, k, _ = leave_out(log_weight, mass)
    assert (k <= reliable_k(100)).all()

    # refits without each of 50 counts
    exact = np.empty(50)
    for i in range(50):
        without = log_post - marginal[..., i]
        exact[i] = logsumexp(without + marginal[..., i]) - logsumexp(without)
    assert np.abs(elpd[:50] - exact).max() < 0.1
    # negative control: what was never left out looks better predicted
    not_left_out = logsumexp(log_lik, axis=0) - np.log(DRAWS)
    assert np.abs(not_left_out[:50] - exact).max() > 0.5
