"""The posterior of the hyperparameters by marginal likelihood, with their uncertainty.

The warm start's marginal likelihood is Laplace's, which is a little wrong for every gene, and twenty thousand genes add
that up. Here the score of each gene is its posterior mean under importance sampling, with no such error but noise that
is independent between genes; Newton's steps with the observed information climb. The posterior is taken as normal on
the real line, for it rests on all genes at once. Its mean is where the slope of the log posterior, averaged over that
normal distribution, is zero: the mean of the closest normal distribution (Opper and Archambeau 2009, Neural Comput
21:786), which a skewed posterior has elsewhere than its mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.blocks import gene_ranges, in_threads
from bayesexpr.empirical_bayes.complete import observed_information, prior_scores
from bayesexpr.empirical_bayes.hyper import prior_derivatives
from bayesexpr.empirical_bayes.importance import weigh
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.proposal import Proposal, propose
from bayesexpr.empirical_bayes.target import HyperDraws

STREAM = 7
"""First number of the seeds of this stage."""

CLIMB_GENES = 4000
"""Genes from which the steps are made that come near; a random choice where there are more."""

CLIMB_DRAWS, CLIMBS = 200, 12
"""Proposals for each of those genes, and steps at most."""

DRAWS, PASSES = 400, 4
"""Proposals for each gene in the passes over all genes, and passes at most; a first pass after a climb by some genes
makes do with those of the climb."""

GENES_PER_TASK = 512
"""Genes whose modes are looked for together."""

KEPT_BYTES = 2**28
"""What the proposals of all genes may take of the memory for them to be kept from one pass to the next; while they are
put together, for a moment, it is twice that."""

INFORMATION_CELLS = 2**20
"""Elements of the largest array of the information, in each thread: some ten of them are held at a time."""

NEAR = 1.0
"""Length of a step for each hyperparameter, in the posterior standard deviations of a study of the genes at hand, below
which the mode is near."""

SHORT = 0.75
"""The same, in those of the whole study, below which what is left is mostly the noise of the proposals: the mean is
found."""

FAR = 2.5
"""Step of any one hyperparameter, in its own posterior standard deviations, above which the mean is not found: among
two hundred, ten standard deviations of one do not show in the mean. The noise of a step is half a standard deviation or
so of each, which makes the largest of as many 1.5."""

LONG = 3.0
"""Longest step, in the unit of `NEAR`: how far a quadratic holds does not depend on how many genes there are."""

LARGEST = 1.0
"""Largest change of a hyperparameter in one step: all are logarithms or locations of order one."""

FLATTEST, FLATTEST_AFAR = 0.002, 0.5
"""Least curvature in any direction, as a share of that by the scores' outer products, near the mean and for the first
step: far from it the observed information says little of what lies between, and takes directions for flat that are not.
With every step on the way it is halved, for genes that differ more than the model says have outer products of any size,
and a climb that went by them would stand still. Near the mean the information is what counts, and the share only keeps
from zero and below what is not known to be above."""

INFORMATION_COUNTS, INFORMATION_GENES = 2**14, 512
"""The information is computed from so many counts, and genes at least: a choice of genes stands for all where there are
more; on the way up so many genes do. Of each, all draws are used: what the data leave missing is most of it, and what
is known a small difference."""

STEADY = 0.5
"""k-hat below which the weights of scores are not smoothed: smoothing takes from the tails, a little from every gene,
which adds up to two posterior standard deviations of the spread of donors in a study of 33,000 genes."""

PRIOR_PAIRS = 8
"""Draws of the hyperparameters, and as many mirror images, over which the prior's slope is averaged."""


@dataclass(frozen=True)
class HyperPosterior:
    """A normal distribution of the hyperparameters on the real line.

    Attributes
    ----------
    center, covariance
        [H] and [H, H].
    score
        [G, H] derivative of each gene's log marginal likelihood, averaged over the distribution.
    proposal
        What draws of all genes were proposed from near by; None where it would fill the memory.
    steps
        Length of each step that led to the center: root mean square over the hyperparameters, in posterior standard
        deviations.
    largest
        The same of the hyperparameter that was moved most, each in its own posterior standard deviations.
    """

    center: Float
    covariance: Float
    score: Float
    proposal: Proposal | None
    steps: tuple[float, ...]
    largest: tuple[float, ...]

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
    lengths: list[tuple[float, float]] = []
    for number in range(CLIMBS):
        slopes = _slopes(study, genes, theta, np.tile(theta, (CLIMB_DRAWS, 1)), (seed, STREAM, number), threads)
        theta, covariance, length = _step(G, slopes, log_prior, theta, None, FLATTEST_AFAR / 2**number)
        lengths.append(length)
        if length[0] < NEAR * np.sqrt(G / len(genes)):
            break
    every = np.arange(G)
    # the scores of a choice of genes are not at hand for all: the first pass does without, and another one follows
    known = slopes.score if len(genes) == G else np.zeros((G, theta.size))
    proposal = None
    for number in range(PASSES):
        draws = CLIMB_DRAWS if number == 0 and len(genes) < G else DRAWS
        about = _about(theta, covariance, draws, np.random.default_rng([seed, STREAM, 1, number]))
        key = seed, STREAM, CLIMBS + number
        slopes = _slopes(study, every, theta, about, key, threads, known=known, proposal=proposal)
        theta, covariance, length = _step(G, slopes, log_prior, theta, about, FLATTEST)
        lengths.append(length)
        known, proposal = slopes.score, slopes.proposal
        if length[0] < SHORT and length[1] < FAR and draws == DRAWS:
            break
    steps, largest = zip(*lengths, strict=True)
    return HyperPosterior(theta, covariance, slopes.score, slopes.proposal, steps, largest)


@dataclass(frozen=True)
class _Slopes:
    """Score [gene, H] of each gene, the information [H, H] of all of them, and what was drawn from if it is kept."""

    score: Float
    information: Float
    proposal: Proposal | None


def _about(theta: Float, covariance: Float, draws: int, rng: np.random.Generator) -> Float:
    """Draws [draw, H] about `theta`, each with its mirror image: their mean is exactly that."""
    apart = rng.multivariate_normal(np.zeros_like(theta), covariance, draws // 2)
    return np.asarray(theta + np.concatenate([apart, -apart]))


def _some_pairs(about: Float) -> Float:
    """Keep some of the draws of :func:`_about`, with their mirror images: a slope has no error by where they lie."""
    half = len(about) // 2
    return np.concatenate([about[:half][:PRIOR_PAIRS], about[half:][:PRIOR_PAIRS]])


def _step(
    genes: int,
    slopes: _Slopes,
    log_prior: Callable[[Float], float],
    theta: Float,
    about: Float | None,
    flattest: float,
) -> tuple[Float, Float, tuple[float, float]]:
    """One Newton step of a study of `genes` genes, by the slopes of all of them or of some that stand for all.

    Parameters
    ----------
    about
        Draws [draw, H] over which the scores were averaged.
    flattest
        Least curvature, as a share of that by the scores' outer products.

    Returns
    -------
    theta, covariance, length
        The new place, the inverse information, and how long the step is that it calls for: over all hyperparameters,
        and that of the one that is furthest off.
    """
    scale = genes / len(slopes.score)
    places = theta[None] if about is None else _some_pairs(about)
    slope, curvature = (
        np.mean(v, axis=0) for v in zip(*(prior_derivatives(log_prior, p) for p in places), strict=True)
    )
    information = scale * slopes.information + np.diag(curvature)
    # far from the mode it may not be positive definite: the scores' outer products always are
    value, vector = np.linalg.eigh(information)
    outer = scale * (slopes.score.T @ slopes.score) + np.diag(curvature)
    of_outer = np.einsum("hk,hi,ik->k", vector, outer, vector, optimize=True)
    # in a direction of which nothing is known, a step goes no further than one from afar
    steep = np.maximum(value, np.where(value > FLATTEST * of_outer, flattest, FLATTEST_AFAR) * of_outer)
    value = np.maximum(value, FLATTEST * of_outer)
    slope = (scale * slopes.score.sum(axis=0) + slope) @ vector
    covariance = np.asarray((vector / value) @ vector.T)
    largest = np.abs(vector @ (slope / value)) / np.sqrt(np.diag(covariance))
    length = float(np.sqrt(np.mean(slope**2 / value))), float(largest.max())
    step = vector @ (slope / steep)
    made = float(np.sqrt(np.mean(slope**2 / steep)))
    step *= min(1.0, LONG * np.sqrt(scale) / made, LARGEST / np.abs(step).max())
    return theta + step, covariance, length


def _without_bias(weight: Float) -> Float:
    """Change weights [gene, draw] so that means by them have no bias of the order of one over the draws.

    That of a mean by normalised weights is -sum w^2 (x - mean), a small thing for a gene; all genes add it up.
    """
    return np.asarray(weight * (1 + weight - np.einsum("gs,gs->g", weight, weight)[:, None]))


def _slopes(
    study: Study,
    genes: NDArray[np.int64],
    theta: Float,
    about: Float,
    seed: tuple[int, ...],
    threads: int,
    *,
    known: Float | None = None,
    proposal: Proposal | None = None,
) -> _Slopes:
    """Scores and information of some genes, averaged over draws of the hyperparameters.

    Parameters
    ----------
    about
        Draws [draw, H] about `theta`, or as many copies of it.
    known
        [G, H] scores of all genes at `theta`.
    proposal
        What to draw from, as an earlier pass over the same genes made it near by; made anew unless given.
    """
    hyper = HyperDraws.of(study, about)
    enough = INFORMATION_GENES if known is None else max(INFORMATION_GENES, INFORMATION_COUNTS // study.full["S"])
    apart = max(1, len(genes) // enough)
    seen = np.zeros((study.full["G"], theta.size)) if known is None else known

    def work(many: NDArray[np.int64]) -> _Slopes:
        own = proposal.of(many) if proposal is not None else propose(study.subset(genes[many]), theta)
        score, information = np.zeros((len(many), theta.size)), np.zeros((theta.size, theta.size))
        for few in gene_ranges(len(many)):
            here = genes[many[few]]
            some = study.subset(here)
            drawn = weigh(some, here, own.of(few), hyper, seed, seen[here])
            inner = prior_scores(some, drawn.place, drawn.found, hyper)
            even = _without_bias(np.where((drawn.k < STEADY)[:, None], drawn.raw, drawn.weight))
            outer, others = drawn.target.other_scores(drawn.place, drawn.found, even, hyper)
            score[np.ix_(few, inner.places)], score[np.ix_(few, outer)] = inner.average(even), others
            part = np.arange(0, len(few), apart)
            size = max(1, INFORMATION_CELLS // (max(study.full["S"], theta.size) * len(about)))
            for places in gene_ranges(len(part), size):
                piece = part[places]
                kept = drawn.place[piece], drawn.found.of(piece), drawn.weight[piece], hyper
                information += len(few) / len(part) * observed_information(some.subset(piece), *kept)
        kept_too = proposal is None and known is not None and own.bytes * len(genes) <= KEPT_BYTES * len(many)
        return _Slopes(score, information, own if kept_too else None)

    parts = list(in_threads(work, gene_ranges(len(genes), GENES_PER_TASK), threads))
    made = [p.proposal for p in parts if p.proposal is not None]
    return _Slopes(
        np.concatenate([p.score for p in parts]),
        np.sum([p.information for p in parts], axis=0),
        Proposal.join(made) if made else proposal,
    )
