"""Predictive checks of a negative-binomial fit, a chunk of genes at a time.

Arrays of a chunk: counts ``[sample, gene]``; ``mu [draw, sample, gene, component]``, the mean count under each
component of the tested effect; ``phi [draw, gene]``; ``probability [draw, gene, component]``, the conditional posterior
probability of the component in that draw. A few hundred draws are enough for everything but the log-likelihood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, logsumexp

from bayesexpr.distributions import nb2_logpmf, nb2_rng

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


EXACT_BELOW = 1e-3
"""Upper tail probability below which it is computed for itself instead of from the lower one, which takes as long."""


@dataclass(frozen=True)
class LogLikelihood:
    """Log-likelihood with the components summed out.

    Attributes
    ----------
    gene : array [draw, gene]
        log p(all counts of the gene | draw): what the sampler saw.
    cell : array [draw, sample, gene]
        log p(count | the gene's other counts, draw). Because the component is summed out, the counts of a gene depend
        on each other given the draw; this conditional is the one whose inverse weighs draws for leaving the cell out,
        and its sum over samples is not ``gene``.
    probability : array [draw, gene, component]
        Conditional posterior probability of each component.
    """

    gene: Floats
    cell: Floats
    probability: Floats


def log_likelihood(counts: ArrayLike, mu: ArrayLike, phi: ArrayLike, log_weight: ArrayLike) -> LogLikelihood:
    """Log-likelihood of every gene and every cell in every draw.

    Parameters
    ----------
    counts : array [sample, gene]
    mu : array [draw, sample, gene, component]
        Mean counts, natural scale.
    phi : array [draw, gene]
        Negative-binomial precision, 1 / dispersion.
    log_weight : array [draw, component]
        Log prior weights of the components.
    """
    terms = _cell_terms(counts, mu, phi)
    log_weights = np.asarray(log_weight, dtype=np.float64)[:, None, :]
    joint = terms.sum(axis=1) + log_weights
    gene = logsumexp(joint, axis=-1)
    others = joint[:, None] - terms
    return LogLikelihood(
        gene=np.asarray(gene),
        cell=np.asarray(gene[:, None] - logsumexp(others, axis=-1)),
        probability=np.exp(joint - gene[..., None]),
    )


def replicate_counts(mu: ArrayLike, phi: ArrayLike, probability: ArrayLike, rng: np.random.Generator) -> Ints:
    """Draw new counts ``[draw, sample, gene]`` of the same samples, one component per draw and gene."""
    weights = np.asarray(probability, dtype=np.float64)
    below = np.cumsum(weights, axis=-1)[..., :-1]
    component = (rng.random(weights.shape[:2])[..., None] > below).sum(axis=-1)
    mean = np.take_along_axis(np.asarray(mu, dtype=np.float64), component[:, None, :, None], axis=-1)[..., 0]
    return nb2_rng(mean, np.asarray(phi, dtype=np.float64)[:, None, :], rng)


def tail_probability(
    counts: ArrayLike, mu: ArrayLike, phi: ArrayLike, probability: ArrayLike, *, leave_out: bool = True
) -> Floats:
    """Two-sided predictive tail probability ``[sample, gene]`` of every count.

    Twice the smaller of P(new count <= count) and P(new count >= count), at most 1; from the distribution function, not
    from replicates, so that one in a million is told from one in a thousand.

    Parameters
    ----------
    counts, mu, phi, probability
        As in the module's description.
    leave_out : bool
        Predict each count from the others of its gene: every pair of draw and component gets the weight 1 / p(count),
        truncated at the mean weight times the square root of the number of draws (Ionides 2008, J Comput Graph Stat
        17:295). Otherwise an outlying count widens the prediction that it is held against.
    """
    y = np.asarray(counts)
    mean = np.asarray(mu, dtype=np.float64)
    precision = np.asarray(phi, dtype=np.float64)[:, None, :, None]
    n_draws = len(mean)
    weight = np.broadcast_to(np.asarray(probability, dtype=np.float64)[:, None], mean.shape) / n_draws
    log_mass = _cell_terms(y, mean, phi)
    if leave_out:
        # a component that is impossible in a draw predicts nothing, however badly
        log_ratio = np.where(weight > 0, -log_mass, -np.inf)
        log_ratio -= log_ratio.max(axis=(0, 3), keepdims=True)
        ratio = np.exp(log_ratio)
        largest = (weight * ratio).sum(axis=(0, 3), keepdims=True) * np.sqrt(n_draws)
        weight = weight * np.minimum(ratio, largest)
    weight = weight / weight.sum(axis=(0, 3), keepdims=True)
    observed = y.astype(np.float64)[None, :, :, None]
    success = precision / (precision + mean)
    at_most = betainc(precision, observed + 1.0, success)
    at_least = 1.0 - at_most + np.exp(log_mass)
    lost = at_least < EXACT_BELOW
    if lost.any():  # the difference would lose digits; P(new >= y) = I_{mu / (mu + phi)}(y, phi), and y is not 0 here
        given = (np.broadcast_to(of, mean.shape)[lost] for of in (observed, precision, 1.0 - success))
        at_least[lost] = betainc(*given)
    low, high = ((weight * tail).sum(axis=(0, 3)) for tail in (at_most, at_least))
    return np.asarray(np.minimum(2.0 * np.minimum(low, high), 1.0))


def holm(probability: ArrayLike) -> Floats:
    """Tail probabilities adjusted for their number by Holm's (1979) step-down; missing stays missing."""
    values = np.asarray(probability, dtype=np.float64)
    flat = values.ravel()
    out = np.full(flat.shape, np.nan)
    known = np.flatnonzero(~np.isnan(flat))
    order = known[np.argsort(flat[known], kind="stable")]
    scaled = flat[order] * np.arange(order.size, 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return out.reshape(values.shape)


@dataclass(frozen=True)
class TestQuantities:
    """Sums over genes that describe a count table, each ``[..., sample]``; add those of chunks with `+`."""

    __test__ = False  # pytest: not a class of tests

    genes: int
    zeros: Floats
    total: Floats
    squares: Floats
    largest: Floats

    @classmethod
    def of(cls, counts: ArrayLike) -> TestQuantities:
        """Sum over the genes of counts ``[..., sample, gene]``."""
        y = np.asarray(counts, dtype=np.float64)
        return cls(
            genes=y.shape[-1],
            zeros=np.count_nonzero(y == 0, axis=-1).astype(np.float64),
            total=y.sum(axis=-1),
            squares=(y**2).sum(axis=-1),
            largest=y.max(axis=-1, initial=0.0),
        )

    def __add__(self, other: TestQuantities) -> TestQuantities:
        return TestQuantities(
            genes=self.genes + other.genes,
            zeros=self.zeros + other.zeros,
            total=self.total + other.total,
            squares=self.squares + other.squares,
            largest=np.maximum(self.largest, other.largest),
        )

    def items(self) -> Iterator[tuple[str, Floats]]:
        """Name and value of each: share of zeros, mean count, standard deviation, largest count."""
        mean = self.total / self.genes
        yield "share of zeros", self.zeros / self.genes
        yield "mean count", mean
        yield "standard deviation", np.sqrt(np.maximum(self.squares / self.genes - mean**2, 0.0))
        yield "largest count", self.largest


def predictive_p_values(observed: TestQuantities, replicated: TestQuantities) -> dict[str, Floats]:
    """Two-sided posterior predictive probability ``[sample]`` of each quantity; `replicated` has a leading draw axis.

    The data are used twice, so values near zero are rarer than under a correct model: a small one is a real misfit, a
    large one is no proof of fit.
    """
    out = {}
    for (name, value), (_, drawn) in zip(observed.items(), replicated.items(), strict=True):
        n_draws = len(drawn)
        low = (np.count_nonzero(drawn <= value, axis=0) + 0.5) / (n_draws + 1.0)
        high = (np.count_nonzero(drawn >= value, axis=0) + 0.5) / (n_draws + 1.0)
        out[name] = np.minimum(2.0 * np.minimum(low, high), 1.0)
    return out


def _cell_terms(counts: ArrayLike, mu: ArrayLike, phi: ArrayLike) -> Floats:
    """Evaluate log NB2 of every cell under every component, [draw, sample, gene, component]."""
    y = np.asarray(counts)[None, :, :, None]
    return nb2_logpmf(y, np.asarray(mu, dtype=np.float64), np.asarray(phi, dtype=np.float64)[:, None, :, None])
