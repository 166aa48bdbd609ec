r"""How a gene's likelihood and mode move with the hyperparameters.

There is a size factor for each sample, so that differences in them one by one would take the square of the number of
samples. They need none: with r = phi (y - mu) / (phi + mu), the derivative of a count's log likelihood in its linear
predictor, all samples' derivatives follow from one pass over the counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayesexpr.distributions import Float, sum_to_zero_basis
from bayesexpr.empirical_bayes.laplace import (
    GenePosterior,
    Study,
    coordinate_weights,
    covariance,
    gene_gradient,
    predictor,
)


def size_factor_scores(study: Study, hyper: Mapping[str, Float], component: int, found: GenePosterior) -> Float:
    """Return the derivative [G, S - 1] of each gene's log marginal likelihood in the size factors' coordinates.

    By Fisher's identity it is the posterior mean of r, here over points on both sides of the mean in every direction
    (Arasaratnam and Haykin 2009, IEEE Trans Autom Control 54:1254). Laplace's approximation knows the mode only: r is
    taken there, since what skewness adds and what curvature takes nearly cancel.
    """
    places = [found.mode]
    if not np.array_equal(found.mean, found.mode):
        axes = np.sqrt(study.at.P) * np.linalg.cholesky(covariance(study, found))
        places = [found.mean + sign * axes[:, :, p] for p in range(study.at.P) for sign in (1, -1)]
    residual = np.mean([_residual(study, hyper, component, psi) for psi in places], axis=0)
    return np.asarray(residual.T @ sum_to_zero_basis(study.at.S))


def _residual(study: Study, hyper: Mapping[str, Float], component: int, psi: Float) -> Float:
    """Return r [S, G]."""
    eta, log_phi = predictor(study, hyper, component, psi)
    mu, phi = np.exp(eta), np.exp(log_phi)
    return np.asarray((study.full["count"] - mu) * phi / (phi + mu))


def follow_mode(study: Study, theta: Float, component: int, found: GenePosterior, difference: float) -> Float:
    """Return the derivative [G, P, H] of the mode in the hyperparameters: curvature^-1 d gradient.

    Parameters
    ----------
    difference
        Step of the central differences, which all hyperparameters but the size factors are moved by.
    """
    at, size_factor = study.at, study.full["log_size_factor"]
    out = np.empty((*found.mode.shape, theta.size))
    for h in range(at.v.start):
        gradients = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[h] += sign * difference
            gradients.append(gene_gradient(study, at.hyper(moved, size_factor), component, found.mode))
        out[:, :, h] = (gradients[0] - gradients[1]) / (2 * difference)
    if at.estimated:
        slopes = _slopes_in_size_factors(study, at.hyper(theta, size_factor), component, found.mode)
        out[:, :, at.v] = slopes @ sum_to_zero_basis(at.S)
    return np.asarray(np.linalg.solve(found.precision, out))


def _slopes_in_size_factors(study: Study, hyper: Mapping[str, Float], component: int, psi: Float) -> Float:
    """Return the derivative [G, P, S] of the log density's gradient in each sample's log size factor."""
    eta, log_phi = predictor(study, hyper, component, psi)
    y, mu, phi = study.full["count"], np.exp(eta), np.exp(log_phi)
    design, drive = coordinate_weights(study, hyper, component, psi)
    weight = mu * phi / (phi + mu)
    bend, of_phi = -weight * (phi + y) / (phi + mu), weight * (y - mu) / (phi + mu)
    return np.asarray(np.einsum("sp,sg->gps", design, bend) + drive[:, :, None] * of_phi.T[:, None])
