"""Genes whose importance weights cannot be used, sampled by Markov chains given the draws of the hyperparameters.

Each draw of the hyperparameters has a chain of its own, whose last state is the draw that is kept. The chains move by
differences between others (ter Braak 2006, Differential evolution Markov chain, Stat Comput 16:239), which know the
posterior's shape without being told, by steps of a whole difference, which jump between modes, and by proposals from
the mixture that importance sampling used. Half of the chains start from the resampled draws and half from the raw
proposals, which are wider than the posterior: where the two halves end alike, the start is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.noise import stream_keys
from bayesexpr.empirical_bayes.proposal import Proposal
from bayesexpr.empirical_bayes.target import HyperDraws, Target
from bayesexpr.posterior.diagnostics import convergence, rhat_limit

STREAM = 5
"""First number of the seeds of chains."""

ROUND = 100
"""Steps between two looks at the chains."""

ROUNDS = 8
"""Looks at most."""

GROUPS = 4
"""Groups of chains that are compared, two from each kind of start; each moves by differences within itself."""

JITTER = 0.02
"""Random part of a step, in standard deviations of the proposal."""


@dataclass(frozen=True)
class ChainSample:
    """Where the chains ended.

    Attributes
    ----------
    psi
        [gene, P, draw] coordinates before they are moved for the hyperparameters of their draw.
    rhat, ess_bulk, ess_tail
        [gene] over the groups of chains, of the worst coordinate.
    """

    psi: Float
    rhat: Float
    ess_bulk: Float
    ess_tail: Float


def sample_by_chains(
    study: Study, genes: NDArray[np.int64], proposal: Proposal, start: Float, hyper: HyperDraws, seed: int
) -> ChainSample:
    """Run a chain for every gene and draw until all genes' chains agree, or for 800 steps.

    Parameters
    ----------
    start
        [gene, P, draw] resampled draws.
    """
    draws = start.shape[2]
    group = np.arange(draws) % GROUPS
    fresh, _ = proposal.sample(stream_keys((seed, STREAM), genes), draws, study.library)
    psi = np.where(group % 2 == 0, start, fresh)
    streams = [np.random.default_rng([seed, STREAM + 1, int(g)]) for g in genes]
    moving = np.arange(len(genes))
    rhat, bulk, tail = (np.full(len(genes), np.nan) for _ in range(3))
    for _ in range(ROUNDS):
        one = _Population(study.subset(moving), proposal.of(moving), hyper, [streams[k] for k in moving], group)
        psi[moving] = one.run(psi[moving], ROUND)
        found = [_compare(psi[k], group) for k in moving]
        rhat[moving], bulk[moving], tail[moving] = (np.array(v) for v in zip(*found, strict=True))
        limit = rhat_limit(study.at.P, GROUPS, float(draws))
        moving = moving[~(rhat[moving] <= limit)]
        if not moving.size:
            break
    return ChainSample(psi, rhat, bulk, tail)


class _Population:
    """Chains of some genes, all moved together."""

    def __init__(
        self,
        study: Study,
        proposal: Proposal,
        hyper: HyperDraws,
        streams: list[np.random.Generator],
        group: NDArray[np.int64],
    ) -> None:
        self.target, self.proposal, self.streams = Target(study), proposal, streams
        halves = [(group == g) & (np.arange(len(group)) // GROUPS % 2 == h) for h in (0, 1) for g in range(GROUPS)]
        # the chains of one half move at once, each by differences between chains of its group in the other half
        self.halves = [np.flatnonzero(np.any(halves[h * GROUPS : (h + 1) * GROUPS], axis=0)) for h in (0, 1)]
        self.partners = [
            _table([np.flatnonzero(halves[(1 - h) * GROUPS + group[chain]]) for chain in self.halves[h]])
            for h in (0, 1)
        ]
        self.hyper = [HyperDraws.of(study, hyper.theta[half]) for half in self.halves]
        self.moved = [proposal.moved(hyper.theta[half]) for half in self.halves]
        self.sd = np.sqrt(np.einsum("gpq,gpq->gp", proposal.root[0], proposal.root[0]))

    def run(self, psi: Float, steps: int) -> Float:
        """Move every chain `steps` times from psi [gene, P, draw]."""
        heights = [self._height(h, psi[:, :, half]) for h, half in enumerate(self.halves)]
        for step in range(steps):
            for h, half in enumerate(self.halves):
                here = psi[:, :, half]
                if step % 5 == 4:
                    trial, balance = self._afresh(here)
                else:
                    trial, balance = self._difference(h, psi, here, whole=step % 5 == 2), np.zeros(here[:, 0].shape)
                height = self._height(h, trial)
                luck = np.log(np.stack([stream.random(len(half)) for stream in self.streams]))
                accept = luck < height - heights[h] + balance
                psi[:, :, half] = np.where(accept[:, None], trial, here)
                heights[h] = np.where(accept, height, heights[h])
        return psi

    def _height(self, h: int, psi: Float) -> Float:
        return self.target.evaluate(psi + self.moved[h], self.hyper[h]).log_density

    def _difference(self, h: int, psi: Float, here: Float, *, whole: bool) -> Float:
        """Move each chain by a difference of two others, scaled for its dimension unless `whole`."""
        P, count = here.shape[1:]
        size = 1.0 if whole else 2.38 / np.sqrt(2 * P)
        pool = self.partners[h]
        trial = np.empty_like(here)
        for k, stream in enumerate(self.streams):
            first = stream.integers(pool.shape[1], size=count)
            second = (first + stream.integers(1, pool.shape[1], size=count)) % pool.shape[1]
            rows = np.arange(count)
            apart = psi[k][:, pool[rows, first]] - psi[k][:, pool[rows, second]]
            trial[k] = here[k] + size * apart + JITTER * self.sd[k][:, None] * stream.normal(size=(P, count))
        return trial

    def _afresh(self, here: Float) -> tuple[Float, Float]:
        """Propose from the mixture; also the log ratio of its densities, here over there."""
        keys = np.array([stream.integers(2**64, dtype=np.uint64) for stream in self.streams])
        trial, there = self.proposal.sample(keys, here.shape[2], self.target.study.library)
        return trial, self.proposal.log_density(here) - there


def _table(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Stack rows, cut to the shortest."""
    size = min(row.size for row in rows)
    return np.stack([row[:size] for row in rows])


def _compare(psi: Float, group: NDArray[np.int64]) -> tuple[float, float, float]:
    """Worst R-hat and effective draws of one gene's coordinates [P, draw] over the groups of chains."""
    size = min(np.bincount(group))
    chains = np.stack([psi[:, group == g][:, :size].T for g in range(GROUPS)])
    found = convergence(chains)
    return float(found.rhat.max()), float(found.ess_bulk.min()), float(found.ess_tail.min())
