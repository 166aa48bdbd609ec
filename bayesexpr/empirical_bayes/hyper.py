r"""Hyperparameters by maximum marginal likelihood, and how every gene's posterior follows them.

The marginal likelihood of a gene is the sum over components of weight times Laplace's integral. Its derivatives in the
hyperparameters are central differences; the information matrix is the sum of outer products of the genes' scores
(Berndt, Hall, Hall and Hausman 1974), to which the priors add theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.laplace import GenePosterior, Study, gene_posterior

DIFFERENCE = 0.02
"""Step of the central differences: every hyperparameter is a logarithm or a location of order one."""


@dataclass(frozen=True)
class Marginal:
    """All genes at one set of hyperparameters.

    Attributes
    ----------
    components
        Posterior of every gene in each component.
    responsibility
        [G, C] posterior probability of each component.
    log_marginal
        [G] log marginal likelihood.
    """

    components: tuple[GenePosterior, ...]
    responsibility: Float
    log_marginal: Float

    def mean(self) -> Float:
        """Posterior mean [G, P] of the coordinates, over components."""
        return np.asarray(sum(self.responsibility[:, [c]] * part.mode for c, part in enumerate(self.components)))

    def sd(self) -> Float:
        """Posterior standard deviation [G, P] of the coordinates, over components."""
        mean, second = self.mean(), np.zeros_like(self.components[0].mode)
        for c, part in enumerate(self.components):
            variance = np.linalg.inv(part.precision).diagonal(axis1=1, axis2=2)
            second += self.responsibility[:, [c]] * (variance + (part.mode - mean) ** 2)
        return np.asarray(np.sqrt(second))


def marginal(study: Study, theta: Float, modes: list[Float], *, steps: int = 25) -> Marginal:
    """Integrate every gene out at one set of hyperparameters; `modes` [G, P] for each component is where to start."""
    hyper = study.at.hyper(theta, study.full["log_size_factor"])
    parts = tuple(gene_posterior(study, hyper, c, modes[c], steps=steps) for c in range(study.at.C))
    log_weight = np.log(hyper["weight"]) if study.at.C > 1 else np.zeros(1)
    joint = log_weight + np.stack([part.log_marginal for part in parts], axis=1)
    total = special.logsumexp(joint, axis=1)
    return Marginal(parts, np.exp(joint - total[:, None]), np.asarray(total))


@dataclass(frozen=True)
class Response:
    """How the genes answer to small changes of the hyperparameters.

    Attributes
    ----------
    score
        [G, H] derivative of each gene's log marginal likelihood.
    follow
        [G, P, H] derivative of each gene's posterior mean.
    """

    score: Float
    follow: Float


def response(study: Study, theta: Float, base: Marginal) -> Response:
    """Differentiate by central differences; the modes move little, so two Newton steps follow them."""
    modes = [part.mode for part in base.components]
    score = np.empty((study.full["G"], study.at.H))
    follow = np.empty((study.full["G"], study.at.P, study.at.H))
    for h in range(study.at.H):
        step = np.zeros(study.at.H)
        step[h] = DIFFERENCE
        up, down = (marginal(study, theta + sign * step, modes, steps=2) for sign in (1, -1))
        score[:, h] = (up.log_marginal - down.log_marginal) / (2 * DIFFERENCE)
        follow[:, :, h] = (up.mean() - down.mean()) / (2 * DIFFERENCE)
    return Response(score, follow)


def prior_derivatives(log_prior: Callable[[Float], float], theta: Float) -> tuple[Float, Float]:
    """Gradient [H] and diagonal of the information [H] of the hyperparameters' log prior, by central differences."""
    gradient, information = np.empty_like(theta), np.empty_like(theta)
    here = log_prior(theta)
    for h in range(theta.size):
        step = np.zeros_like(theta)
        step[h] = DIFFERENCE
        up, down = log_prior(theta + step), log_prior(theta - step)
        gradient[h] = (up - down) / (2 * DIFFERENCE)
        information[h] = max((2 * here - up - down) / DIFFERENCE**2, 1e-3)
    return gradient, information


def fit_hyper(
    study: Study, theta: Float, modes: list[Float], log_prior: Callable[[Float], float], *, sweeps: int = 30
) -> tuple[Float, Marginal]:
    """Climb the marginal posterior of the hyperparameters from `theta` by damped scoring steps.

    Returns
    -------
    theta, marginal
        The mode [H] and the genes there.
    """
    here = marginal(study, theta, modes)
    value = here.log_marginal.sum() + log_prior(theta)
    for _ in range(sweeps):
        gradient, information = _curvature(response(study, theta, here).score, log_prior, theta)
        step = np.linalg.solve(information, gradient)
        promised = float(step @ gradient)
        step *= min(1.0, 0.7 / np.abs(step).max())
        for _ in range(5):
            trial = marginal(study, theta + step, [part.mode for part in here.components], steps=6)
            gained = trial.log_marginal.sum() + log_prior(theta + step) - value
            if gained > 0:
                break
            step /= 4
        else:
            break
        theta, here, value = theta + step, trial, value + gained
        if promised < 0.05:
            break
    return theta, here


def _curvature(score: Float, log_prior: Callable[[Float], float], theta: Float) -> tuple[Float, Float]:
    prior_gradient, prior_information = prior_derivatives(log_prior, theta)
    return score.sum(axis=0) + prior_gradient, score.T @ score + np.diag(prior_information)


def information_matrix(score: Float, log_prior: Callable[[Float], float], theta: Float) -> Float:
    """Information [H, H] of the marginal posterior of the hyperparameters."""
    return _curvature(score, log_prior, theta)[1]
