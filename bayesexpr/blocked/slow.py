"""Genes that mix slowly: found in the warm-up, and moved further in every iteration after that.

A gene's trajectory takes steps that fit its narrowest coordinate, and ends within a few approximate standard deviations
of its widest. Where the approximation is far narrower than the posterior, it crosses that but slowly: where all samples
on one side of the tested effect have no counts, say, their mean may be anywhere below, and the effect anywhere above.
Such genes are few. They make a second, longer trajectory in each iteration, side by side in blocks of their own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bayesexpr.blocked.target import Target
from bayesexpr.distributions import Float

BATCH = 20
"""Iterations of which a batch mean is taken: several times as many as nearly all genes need to forget."""

LEAST_BATCHES = 5
"""Batches below which their means say nothing about a gene."""

SLOW = 4.0
"""Iterations worth one independent draw, above which a gene is slow; half of all genes need less than 1.5."""

AT_MOST = 0.05
"""Largest share of the genes that are moved further: what bounds the cost, a tenth of an iteration."""


STILL = 1e-12
"""Variance, as a share of the mean square, below which a coordinate has not moved: it is rounding."""


class Mixing:
    """How slowly each gene mixes, from the means of batches of iterations; memory does not grow with these.

    With independent draws the variance of the means of batches is that of the draws divided by the batch's length;
    what it is more is the number of iterations that are worth one independent draw (batch means; Geyer 1992, Practical
    Markov chain Monte Carlo, Statistical Science 7:473).
    """

    def __init__(self) -> None:
        self._count = self._batches = 0
        self._all: list[Float] = []
        self._batch: Float = np.zeros(())
        self._means: list[Float] = []

    def add(self, z: Float) -> None:
        """Take in the coordinates [G, P] of one iteration."""
        if not self._count:
            self._all, self._means = [np.zeros(z.shape) for _ in "12"], [np.zeros(z.shape) for _ in "12"]
        if self._count % BATCH == 0:
            self._batch = np.zeros(z.shape)
        self._batch += z
        self._count += 1
        _add(self._all, z)
        if self._count % BATCH == 0:
            _add(self._means, self._batch / BATCH)
            self._batches += 1

    @classmethod
    def together(cls, chains: list[Mixing]) -> Mixing:
        """Take all chains' iterations together: what one chain happened not to see in the warm-up, another one did."""
        out = cls()
        for one in chains:
            if not one._count:
                continue
            out._count += one._count
            out._batches += one._batches
            pairs = zip((out._all, out._means), (one._all, one._means), strict=True)
            for sums, more in pairs:
                sums[:] = [a + b for a, b in zip(sums, more, strict=True)] if sums else list(more)
        return out

    def iterations_per_draw(self) -> Float:
        """Return the iterations [G] worth one independent draw of a gene's slowest coordinate; 0 if few are seen."""
        if self._batches < LEAST_BATCHES:
            return np.zeros(len(self._all[0]) if self._all else 0)
        draws, means = _variance(self._all, self._count), _variance(self._means, self._batches)
        moved = draws > STILL * self._all[1] / self._count
        ratio = np.divide(BATCH * means, draws, out=np.full_like(draws, float(BATCH)), where=moved)
        return np.asarray(ratio.max(axis=1))

    def slow(self) -> NDArray[np.int64]:
        """Return the slow genes, in their order; the slowest ones if there are too many."""
        needed = self.iterations_per_draw()
        slowest = np.argsort(-needed, kind="stable")[: math.ceil(AT_MOST * len(needed))]
        return np.sort(slowest[needed[slowest] > SLOW])


class Further:
    """Further moves of some genes.

    Parameters
    ----------
    target
        The posterior of all genes.
    genes
        Those to be moved.
    """

    def __init__(self, target: Target, genes: NDArray[np.int64]) -> None:
        self.genes, self._target = genes, target.subset(genes)

    def move(self, zeta: Float, z: Float, step: Float, leaps: int, rng: np.random.Generator) -> Float:
        """Move these genes in `z` [G, P], which is changed, given the hyperparameters.

        Parameters
        ----------
        step
            [genes] step sizes.

        Returns
        -------
        array
            [genes] acceptance probability of each trajectory.
        """
        some = np.asfortranarray(z[self.genes])
        accepted = self._target.move_genes(zeta, some, step, leaps, rng)[0]
        z[self.genes] = some
        return accepted


def _add(sums: list[Float], x: Float) -> None:
    sums[0] += x
    sums[1] += x * x


def _variance(sums: list[Float], count: int) -> Float:
    mean = sums[0] / count
    return np.asarray(np.maximum(sums[1] / count - mean * mean, 0.0) * count / (count - 1))
