"""Every gene's posterior by importance sampling, given draws of the hyperparameters.

A proposal is made for each gene at its modes and weighed against the posterior density; the weights' tail is smoothed
and its shape, k-hat, says whether they can be used. Draws of equal weight are then taken by systematic resampling in
the order of the effect, which adds next to no noise to what is asked of an effect.

Draw number j of every gene belongs to draw j of the hyperparameters, as in a joint posterior: proposals are made at
the hyperparameters of their own draw, and a resampled one is moved along the gene's response to the hyperparameters to
those of its new place.

What a gene gets depends on its counts, the hyperparameters and its place in the study alone, not on the genes it is
computed with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.blocks import gene_ranges
from bayesexpr.empirical_bayes.chains import sample_by_chains
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.noise import one_uniform, stream_keys
from bayesexpr.empirical_bayes.proposal import Proposal, propose
from bayesexpr.empirical_bayes.target import Evaluation, HyperDraws, Target
from bayesexpr.posterior.de_draws import GeneBlock
from bayesexpr.posterior.importance import reliable_k, smoothed_weights

STREAM = 3
"""First number of the seeds of proposals, which keeps them apart from those of everything else in a fit."""

MORE = 4
"""Proposals for each draw kept of a gene that one for each does not suffice for."""

ENOUGH = 0.25
"""Effective draws, as a share of those kept, below which it does not: resampling leaves half at most."""

SCARCE = 0.1
"""The same, below which, after more proposals, the gene is sampled by chains."""

TAIL_SD = 1.645
"""The 5 % and 95 % quantiles of an effect, in standard deviations of a normal."""


@dataclass(frozen=True)
class GeneTask:
    """Some consecutive genes and what they need to be sampled anywhere.

    Attributes
    ----------
    study
        Those genes only.
    genes
        Their places in the whole study.
    center
        [H] hyperparameters at the mode.
    theta
        [draw, H] draws of the hyperparameters.
    score
        [gene, H] derivative of each gene's log marginal likelihood at `center`.
    seed
        Of the fit.
    proposal
        What to propose from, made at hyperparameters near `center`; made there unless given.
    """

    study: Study
    genes: NDArray[np.int64]
    center: Float
    theta: Float
    score: Float
    seed: int
    proposal: Proposal | None = None


@dataclass(frozen=True)
class Weighted:
    """Weighted draws of some genes.

    Attributes
    ----------
    target
        What was sampled.
    psi
        [gene, P, draw] coordinates before they are moved for the hyperparameters of their draw.
    place
        [gene, P, draw] the same, moved.
    found
        The genes there.
    weight, raw
        [gene, draw], each gene's summing to one, with the tail smoothed and as it is.
    k
        [gene] k-hat.
    """

    target: Target
    psi: Float
    place: Float
    found: Evaluation
    weight: Float
    raw: Float
    k: Float


def weigh(
    study: Study, genes: NDArray[np.int64], proposal: Proposal, hyper: HyperDraws, seed: tuple[int, ...], score: Float
) -> Weighted:
    """Propose and weigh a draw of each gene for every draw of the hyperparameters.

    Parameters
    ----------
    score
        [gene, H]: draws of the hyperparameters have seen the gene's counts already; dividing by the gene's marginal
        likelihood, to first order about the mode, keeps these from being counted twice.
    """
    target = Target(study)
    psi, log_proposal = proposal.sample(stream_keys(seed, genes), len(hyper.theta), study.library)
    place = psi + proposal.moved(hyper.theta)
    found = target.evaluate(place, hyper)
    seen = (score[:, None] @ (hyper.theta - proposal.theta).T)[:, 0]  # gene by gene: too small for BLAS's own threads
    logs = found.log_density - log_proposal - seen
    weight, k = smoothed_weights(logs)
    with np.errstate(invalid="ignore"):  # a gene with a ratio that is no number has a k-hat that is none
        raw = np.exp(logs - logs.max(axis=1, keepdims=True))
        raw /= raw.sum(axis=1, keepdims=True)
    return Weighted(target, psi, place, found, weight, raw, k)


@dataclass(frozen=True)
class GeneSample:
    """Draws of equal weight of some genes.

    Attributes
    ----------
    block
        The draws, as one chain, as they are kept.
    k
        [gene] k-hat of the importance weights.
    ess_bulk, ess_tail, rhat
        [gene] effective draws of the least certain of intercept, dispersion and effect; R-hat, NaN where there are no
        chains to compare.
    moved
        [gene] whether the gene was sampled by Markov chains, its weights being unusable or too uneven.
    """

    block: GeneBlock
    k: Float
    ess_bulk: Float
    ess_tail: Float
    rhat: Float
    moved: NDArray[np.bool_]


def sample_genes(task: GeneTask) -> GeneSample:
    """Sample some genes: by importance where the weights can be used, else by Markov chains.

    Genes whose weights are uneven get more proposals first.
    """
    G, draws = len(task.genes), len(task.theta)
    proposal = task.proposal or propose(task.study, task.center)
    found = _Found(np.empty((G, task.study.at.P, draws)), *(np.full(G, np.nan) for _ in range(4)))
    _sample(task, np.arange(G), proposal, 1, found)
    poor = ~(np.minimum(found.bulk, found.tail) >= ENOUGH * draws) | ~(found.k <= reliable_k(draws))
    if poor.any():
        _sample(task, np.flatnonzero(poor), proposal, MORE, found)
    bad = ~(found.k <= reliable_k(draws)) | ~(np.minimum(found.bulk, found.tail) >= SCARCE * draws)
    kept = HyperDraws.of(task.study, task.theta)
    if bad.any():
        which = np.flatnonzero(bad)
        chains = sample_by_chains(
            task.study.subset(which), task.genes[which], proposal.of(which), found.psi[which], kept, task.seed
        )
        found.psi[which], found.rhat[which] = chains.psi, chains.rhat
        found.bulk[which], found.tail[which] = chains.ess_bulk, chains.ess_tail
    return GeneSample(_as_block(task, found.psi, proposal, kept), found.k, found.bulk, found.tail, found.rhat, bad)


@dataclass(frozen=True)
class _Found:
    """What :func:`_sample` fills: coordinates [gene, P, draw], k-hat, effective draws and R-hat [gene]."""

    psi: Float
    k: Float
    bulk: Float
    tail: Float
    rhat: Float


def _sample(task: GeneTask, which: NDArray[np.int64], proposal: Proposal, times: int, found: _Found) -> None:
    """Sample the genes at the places `which` by importance, from `times` proposals for each draw that is kept."""
    draws = len(task.theta)
    every = HyperDraws.of(task.study, np.tile(task.theta, (times, 1)))
    for block in gene_ranges(len(which)):
        few = which[block]
        some, genes = task.study.subset(few), task.genes[few]
        drawn = weigh(some, genes, proposal.of(few), every, (task.seed, STREAM, times), task.score[few])
        watched = watched_quantities(some, drawn.found)
        found.k[few] = drawn.k
        found.bulk[few], found.tail[few] = effective_draws(watched, drawn.weight, draws)
        chosen = resample(drawn.weight, watched[:, -1], draws, (task.seed, STREAM + 1), genes)
        found.psi[few] = np.take_along_axis(drawn.psi, chosen[:, None], axis=2)


def _as_block(task: GeneTask, psi: Float, proposal: Proposal, hyper: HyperDraws) -> GeneBlock:
    """Move draws to the hyperparameters of their places, and put them as they are kept: [1, draw, gene, ...]."""
    at, G, draws = task.study.at, len(task.genes), len(task.theta)
    tails = {"alpha": (), "log_phi": (), "beta": (at.K,), "gamma": (at.R,), "probability": (at.C,)}
    out = {name: np.empty((1, draws, G, *tail), dtype=np.float32) for name, tail in tails.items()}
    for few in gene_ranges(G):
        found = Target(task.study.subset(few)).evaluate(psi[few] + proposal.of(few).moved(task.theta), hyper)
        for name, array in out.items():
            array[0, :, few[0] : few[-1] + 1] = np.moveaxis(getattr(found, name), -1, 0)
    first = int(task.genes[0])
    return GeneBlock(slice(first, first + G), **out)


def watched_quantities(study: Study, found: Evaluation) -> Float:
    """Quantities [gene, quantity, draw] that a gene is judged by: intercept, dispersion, and the effect comes last."""
    component = study.full["component"]
    effect = np.einsum("gcs,ckl,gls->gks", found.probability, component, found.beta, optimize=True)
    own = [found.alpha, found.log_phi] if study.at.trend else [found.alpha]
    return np.concatenate([np.stack(own, axis=1), effect], axis=1)


def effective_draws(values: Float, weight: Float, draws: int) -> tuple[Float, Float]:
    """Effective draws [gene] of the means and of the tails of the least certain quantity.

    The variance of a weighted mean is sum w^2 (x - mean)^2 (Owen 2013, Monte Carlo theory, methods and examples,
    equation 9.13), and that of `draws` draws resampled from it adds the posterior variance over their number.
    The tails are those beyond 1.645 posterior standard deviations, which stand for the 5 % and 95 % quantiles.
    """
    one = weight[:, :, None]
    centred = values - values @ one
    sd = np.sqrt((centred * centred) @ one)
    squared = one * one

    def least(x: Float, of: Float) -> Float:
        with np.errstate(divide="ignore", invalid="ignore"):
            count = of / ((x * x) @ squared)[:, :, 0]
        return np.asarray(np.where(of > 0, count, np.inf).min(axis=1))

    bulk = least(centred, sd[:, :, 0] ** 2)
    tails = []
    for sign in (1, -1):
        beyond = (sign * centred > TAIL_SD * sd).astype(float)
        share = beyond @ one
        tails.append(least(beyond - share, (share * (1 - share))[:, :, 0]))
    tail = np.minimum(*tails)
    return 1 / (1 / bulk + 1 / draws), 1 / (1 / tail + 1 / draws)


def resample(
    weight: Float, order_by: Float, draws: int, seed: tuple[int, ...], genes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Choose `draws` draws [gene, draw] with probability proportional to their weights.

    Systematic resampling (Kitagawa 1996, J Comput Graph Stat 5:1) in the order of `order_by` [gene, draw]; those
    chosen are put back into the order in which they were proposed, modulo `draws`, so that their order has nothing to
    do with `order_by`.
    """
    size = weight.shape[1]
    order = np.argsort(order_by, axis=1)
    start = one_uniform(stream_keys(seed, genes))
    until = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    below = np.ceil(until / until[:, -1:] * draws - start[:, None]).astype(np.int64)
    below[:, -1] = draws
    copies = np.asarray(np.diff(np.clip(below, 0, draws), axis=1, prepend=0), dtype=np.int64)
    number = np.empty_like(copies)
    np.put_along_axis(number, order, copies, axis=1)
    # proposals of one draw of the hyperparameters, which are `draws` apart, side by side
    place = np.arange(size).reshape(-1, draws).T.ravel()
    return np.repeat(np.tile(place, len(weight)), number[:, place].ravel()).reshape(len(weight), draws)
