"""The posterior of the hyperparameters by marginal likelihood, with their uncertainty.

The warm start's marginal likelihood is Laplace's, which is a little wrong for every gene, and twenty thousand genes add
that up. Here the score of each gene is its posterior mean under importance sampling, with no such error but noise that
is independent between genes; Newton's steps with the scores' outer products as information (Berndt, Hall, Hall and
Hausman 1974) climb. The posterior is taken as normal on the real line, for it rests on all genes at once. Its mean is
where the slope of the log posterior, averaged over that normal distribution, is zero: the mean of the closest normal
distribution (Opper and Archambeau 2009, Neural Comput 21:786), which a skewed posterior has elsewhere than its mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.blocks import gene_ranges, in_threads
from bayesexpr.empirical_bayes.hyper import prior_derivatives
from bayesexpr.empirical_bayes.importance import weigh
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.proposal import propose
from bayesexpr.empirical_bayes.target import HyperDraws

STREAM = 7
"""First number of the seeds of this stage."""

CLIMB_GENES = 4000
"""Genes from which the steps are made that come near; a random choice where there are more."""

CLIMB_DRAWS, CLIMBS = 200, 12
"""Proposals for each of those genes, and steps at most."""

DRAWS, DRAWS_OF_MANY, PASSES = 400, 200, 4
"""Proposals for each gene in the passes over all genes (of more genes than those), and passes at most."""

GENES_PER_TASK = 512
"""Genes whose modes are looked for together."""

NEAR = 1.0
"""Length of a step for each hyperparameter, in posterior standard deviations, below which the mode is near."""

SHORT = 0.4
"""The same, below which it is found."""

LONG = 3.0
"""Longest step, in the same unit."""

PRIOR_DRAWS = 16
"""Draws of the hyperparameters over which the prior's slope is averaged."""


@dataclass(frozen=True)
class HyperPosterior:
    """A normal distribution of the hyperparameters on the real line.

    Attributes
    ----------
    center, covariance
        [H] and [H, H].
    score
        [G, H] derivative of each gene's log marginal likelihood, averaged over the distribution.
    steps
        Length of each step that led to the center: root mean square over the hyperparameters, in posterior standard
        deviations.
    """

    center: Float
    covariance: Float
    score: Float
    steps: tuple[float, ...]

    def draw(self, number: int, rng: np.random.Generator) -> Float:
        """Draw `number` sets of hyperparameters [draw, H]."""
        root = np.linalg.cholesky(self.covariance)
        return np.asarray(self.center + rng.normal(size=(number, self.center.size)) @ root.T)


def learn(
    study: Study, theta: Float, log_prior: Callable[[Float], float], seed: int, threads: int = 1
) -> HyperPosterior:
    """Climb from `theta` [H] to the marginal posterior.

    Parameters
    ----------
    log_prior
        Log prior of theta, Jacobians included.
    threads
        Blocks of genes worked on at once.
    """
    G = study.full["G"]
    genes = np.arange(G)
    if G > CLIMB_GENES:
        genes = np.sort(np.random.default_rng([seed, STREAM]).choice(G, CLIMB_GENES, replace=False))
    lengths: list[float] = []
    for number in range(CLIMBS):
        score = _scores(study, genes, theta, None, CLIMB_DRAWS, (seed, STREAM, number), threads)
        theta, covariance, length = _step(score, G / len(genes), log_prior, theta, None)
        lengths.append(length)
        if length < NEAR:
            break
    every = np.arange(G)
    if len(genes) < G:  # the first look at the others, without an average that would need their scores
        score = _scores(study, every, theta, None, CLIMB_DRAWS, (seed, STREAM, CLIMBS), threads)
        theta, covariance, length = _step(score, 1.0, log_prior, theta, None)
        lengths.append(length)
    draws = DRAWS if len(genes) == G else DRAWS_OF_MANY
    for number in range(PASSES):
        about = np.random.default_rng([seed, STREAM, 1, number]).multivariate_normal(theta, covariance, draws)
        seeds = (seed, STREAM, CLIMBS + 1 + number)
        score = _scores(study, every, theta, (about, score), draws, seeds, threads)
        theta, covariance, length = _step(score, 1.0, log_prior, theta, about)
        lengths.append(length)
        if length < SHORT:
            break
    return HyperPosterior(theta, covariance, score, tuple(lengths))


def _step(
    score: Float, scale: float, log_prior: Callable[[Float], float], theta: Float, about: Float | None
) -> tuple[Float, Float, float]:
    """One step of scoring: the new place, the inverse information, and the step's length."""
    places = theta[None] if about is None else about[:PRIOR_DRAWS]
    slopes, curvatures = zip(*(prior_derivatives(log_prior, place) for place in places), strict=True)
    total = scale * (score.T @ score) + np.diag(np.mean(curvatures, axis=0))
    step = np.linalg.solve(total, scale * score.sum(axis=0) + np.mean(slopes, axis=0))
    length = float(np.sqrt(step @ total @ step / step.size))
    return theta + step * min(1.0, LONG / length), np.asarray(np.linalg.inv(total), dtype=float), length


def _scores(
    study: Study,
    genes: NDArray[np.int64],
    theta: Float,
    spread: tuple[Float, Float] | None,
    draws: int,
    seed: tuple[int, ...],
    threads: int,
) -> Float:
    """Score [gene, H] of some genes at `theta`, or averaged over draws about it.

    Parameters
    ----------
    spread
        Draws [draw, H] of the hyperparameters, and the genes' scores at their mean.
    """
    about = np.broadcast_to(theta, (draws, theta.size)) if spread is None else spread[0]
    hyper = HyperDraws.of(study, about)
    known = np.zeros((study.full["G"], theta.size)) if spread is None else spread[1]

    def work(many: NDArray[np.int64]) -> Float:
        proposal = propose(study.subset(genes[many]), theta)
        out = np.empty((len(many), theta.size))
        for few in gene_ranges(len(many)):
            here = genes[many[few]]
            drawn = weigh(study.subset(here), here, proposal.of(few), hyper, seed, known[here])
            psi = drawn.psi + drawn.proposal.moved(about)
            out[few] = drawn.target.scores(psi, drawn.found, drawn.weight, hyper)
        return out

    return np.concatenate(list(in_threads(work, gene_ranges(len(genes), GENES_PER_TASK), threads)))
