r"""Hyperparameters by maximum marginal likelihood, and how every gene's posterior follows them.

The marginal likelihood of a gene is the sum over components of weight times integral. Its derivatives in the
hyperparameters are central differences, but for the size factors, of which there are many (:mod:`.following`); the
information matrix is the sum of outer products of the genes' scores (Berndt, Hall, Hall and Hausman 1974), to which the
priors add theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.following import follow_mode, size_factor_scores
from bayesexpr.empirical_bayes.laplace import GenePosterior, Study, gene_posterior, integrate_dispersion

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
        return np.asarray(sum(self.responsibility[:, [c]] * part.mean for c, part in enumerate(self.components)))

    def sd(self) -> Float:
        """Posterior standard deviation [G, P] of the coordinates, over components."""
        mean, second = self.mean(), np.zeros_like(self.components[0].mean)
        for c, part in enumerate(self.components):
            second += self.responsibility[:, [c]] * (part.variance + (part.mean - mean) ** 2)
        return np.asarray(np.sqrt(second))


def marginal(study: Study, theta: Float, modes: list[Float], *, nodes: int = 1, steps: int = 25) -> Marginal:
    """Integrate every gene out at one set of hyperparameters.

    Parameters
    ----------
    modes
        [G, P] for each component: where to start looking for the mode.
    nodes
        Points of the quadrature over the dispersion; one is Laplace's approximation.
    steps
        Newton steps at most.
    """
    hyper = study.at.hyper(theta, study.full["log_size_factor"])
    parts = [gene_posterior(study, hyper, c, modes[c], steps=steps) for c in range(study.at.C)]
    if nodes > 1 and study.at.trend:
        parts = [integrate_dispersion(study, hyper, c, part, nodes) for c, part in enumerate(parts)]
    log_weight = np.log(hyper["weight"]) if study.at.C > 1 else np.zeros(1)
    joint = log_weight + np.stack([part.log_marginal for part in parts], axis=1)
    total = special.logsumexp(joint, axis=1)
    return Marginal(tuple(parts), np.exp(joint - total[:, None]), np.asarray(total))


def scores(study: Study, theta: Float, base: Marginal, nodes: int) -> Float:
    """Return the derivative [G, H] of each gene's log marginal likelihood.

    Central differences, but in the size factors. The modes move little, and the integral is flat in them: one Newton
    step follows.
    """
    at = study.at
    modes = [part.mode for part in base.components]
    score = np.empty((study.full["G"], at.H))
    for h in range(at.v.start):
        step = np.zeros(at.H)
        step[h] = DIFFERENCE
        up, down = (marginal(study, theta + sign * step, modes, nodes=nodes, steps=1) for sign in (1, -1))
        score[:, h] = (up.log_marginal - down.log_marginal) / (2 * DIFFERENCE)
    if at.estimated:
        hyper = at.hyper(theta, study.full["log_size_factor"])
        parts = (size_factor_scores(study, hyper, c, part) for c, part in enumerate(base.components))
        score[:, at.v] = sum(base.responsibility[:, [c]] * part for c, part in enumerate(parts))
    return score


def follow(study: Study, theta: Float, base: Marginal) -> Float:
    """Return the derivative [G, P, H] of every gene's coordinates in the hyperparameters, averaged over components."""
    out = np.zeros((study.full["G"], study.at.P, study.at.H))
    for c, part in enumerate(base.components):
        out += base.responsibility[:, c, None, None] * follow_mode(study, theta, c, part, DIFFERENCE)
    return out


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
    study: Study,
    theta: Float,
    modes: list[Float],
    log_prior: Callable[[Float], float],
    *,
    nodes: int = 1,
    sweeps: int = 30,
    enough: float = 0.1,
) -> tuple[Float, Marginal]:
    """Climb the marginal posterior of the hyperparameters from `theta` by damped scoring steps.

    Parameters
    ----------
    enough
        Gain in log density that a step must promise for another to follow.

    Returns
    -------
    theta, marginal
        The mode [H] and the genes there.
    """
    here = marginal(study, theta, modes, nodes=nodes)
    value = here.log_marginal.sum() + log_prior(theta)
    for _ in range(sweeps):
        gradient, information = _curvature(scores(study, theta, here, nodes), log_prior, theta)
        step = np.linalg.solve(information, gradient)
        promised = float(step @ gradient)
        step *= min(1.0, 1.0 / np.abs(step).max())
        for _ in range(5):
            trial = marginal(study, theta + step, [part.mode for part in here.components], nodes=nodes, steps=6)
            gained = trial.log_marginal.sum() + log_prior(theta + step) - value
            if gained > 0:
                break
            step /= 4
        else:
            break
        theta, here, value = theta + step, trial, value + gained
        if promised < enough:
            break
    return theta, here


def _curvature(score: Float, log_prior: Callable[[Float], float], theta: Float) -> tuple[Float, Float]:
    prior_gradient, prior_information = prior_derivatives(log_prior, theta)
    return score.sum(axis=0) + prior_gradient, score.T @ score + np.diag(prior_information)


def information_matrix(
    score: Float, log_prior: Callable[[Float], float], theta: Float, genes: int | None = None
) -> Float:
    """Information [H, H] of the marginal posterior of the hyperparameters of a study of `genes` genes.

    Parameters
    ----------
    score
        [g, H] of those genes, or of a random choice of them.
    """
    scale = 1.0 if genes is None else genes / len(score)
    return scale * (score.T @ score) + np.diag(prior_derivatives(log_prior, theta)[1])
