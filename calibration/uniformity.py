r"""The simultaneous test of the ECDF of ranks for uniformity, computed exactly.

Säilynoja, Bürkner and Vehtari (2022), Statistics and Computing 32:32: of N ranks on 0..L, let :math:`c_i` be the number
below :math:`i`, for :math:`i = 1 \ldots L`. Under uniformity :math:`c_i \sim \mathrm{Binomial}(N, i/(L+1))`, and the
test statistic is the most extreme pointwise probability,

.. math:: \gamma = 2 \min_i \min\{P(\mathrm{Bin} \le c_i), P(\mathrm{Bin} \ge c_i)\}.

Its null distribution is not simulated here. Counts of N uniform values in L + 1 cells are independent Poisson counts
given that they sum to N, so the probability that :math:`c` stays between two boundaries follows from L convolutions.
Cells are counted with integers; a band is a pair of integer boundaries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesexpr.errors import InputError

from .ranks import Floats, Ints, check_ranks

_RESOLUTION = 1.0005  # ratio of two thresholds that are told apart
_SLACK = 1e-9  # relative: values of gamma that differ by rounding only are the same value


@dataclass(frozen=True)
class UniformityTest:
    """Outcome of the simultaneous test.

    Attributes
    ----------
    N, L
        Number of ranks; number of draws ranked among.
    gamma
        The statistic.
    pvalue
        Exact probability, under uniformity, of a statistic at most this large.
    difference
        [L] exact difference of ECDF and uniform CDF below each i = 1..L.
    """

    N: int
    L: int
    gamma: float
    pvalue: float
    difference: Floats


@dataclass(frozen=True)
class Band:
    """Integer boundaries of the counts below i = 1..L: c leaves the band if c < lower or c > upper.

    Attributes
    ----------
    lower, upper
        [L].
    gamma
        Pointwise two-sided probability; a statistic at most this large leaves the band.
    alpha
        Exact probability that uniform ranks leave it.
    """

    N: int
    L: int
    lower: Ints
    upper: Ints
    gamma: float
    alpha: float

    def difference(self) -> tuple[Floats, Floats]:
        """Boundaries as differences between ECDF and uniform CDF, for plots."""
        middle = _middle(self.N, self.L)
        scale = self.N * (self.L + 1)
        return (self.lower * (self.L + 1) - middle) / scale, (self.upper * (self.L + 1) - middle) / scale


def counts_below(ranks: ArrayLike, *, L: int) -> Ints:
    """Numbers of ranks below i = 1..L."""
    cells = np.bincount(check_ranks(ranks, L), minlength=L + 1)
    return np.asarray(np.cumsum(cells)[:-1], dtype=np.int64)


def ecdf_difference(ranks: ArrayLike, *, L: int) -> Floats:
    """ECDF minus uniform CDF below i = 1..L; integers are divided last, so even ranks give exact zeros."""
    below = counts_below(ranks, L=L)
    N = np.size(ranks)
    return np.asarray((below * (L + 1) - _middle(N, L)) / (N * (L + 1)))


def uniformity_test(ranks: ArrayLike, *, L: int) -> UniformityTest:
    """Test ranks on 0..L for uniformity.

    Parameters
    ----------
    ranks
        Whole numbers from 0 to L.
    L
        Number of draws that were ranked among; never guessed from the ranks.

    Raises
    ------
    InputError
        If a rank is not a whole number from 0 to L.
    """
    below = counts_below(ranks, L=L)
    N = int(np.size(ranks))
    gamma = float(gamma_statistic(below, N=N, L=L))
    return UniformityTest(N, L, gamma, gamma_pvalue(gamma, N=N, L=L), ecdf_difference(ranks, L=L))


def gamma_statistic(below: NDArray[np.int64], *, N: int, L: int) -> Floats:
    """Most extreme pointwise probability of counts below [..., L]."""
    z = np.arange(1, L + 1) / (L + 1)
    least = np.minimum(at_most(below, N, z), at_least(below, N, z))
    return np.asarray(np.minimum(2.0 * least.min(axis=-1), 1.0))


def at_most(count: ArrayLike, N: int, z: ArrayLike) -> Floats:
    """P(Binomial(N, z) <= count); 1 at count = N and 0 below zero, where library routines may give NaN."""
    c = np.asarray(count)
    inner = np.clip(c, 0, N - 1)
    p = special.betainc(N - inner, inner + 1.0, 1.0 - np.asarray(z))
    return np.asarray(np.where(c >= N, 1.0, np.where(c < 0, 0.0, p)))


def at_least(count: ArrayLike, N: int, z: ArrayLike) -> Floats:
    """P(Binomial(N, z) >= count); 1 at count = 0."""
    c = np.asarray(count)
    inner = np.clip(c, 1, N)
    p = special.betainc(inner, N - inner + 1.0, np.asarray(z))
    return np.asarray(np.where(c <= 0, 1.0, np.where(c > N, 0.0, p)))


def gamma_pvalue(gamma: float, *, N: int, L: int) -> float:
    """Exact P(statistic <= gamma) of N uniform ranks on 0..L.

    Below about 1e-15 it is bounded from below by the pointwise probability gamma / 2.
    """
    if gamma >= 1.0:
        return 1.0
    if gamma <= 0.0:
        return 0.0
    lower, upper = _boundaries(gamma, N, L)
    return float(min(1.0, max(_leaves(lower, upper, N), gamma / 2.0)))


@lru_cache(maxsize=256)
def gamma_threshold(alpha: float, *, N: int, L: int) -> float:
    """Largest attainable value of the statistic whose exact false alarm rate is at most `alpha`.

    Found to 0.05 %: the test "statistic <= threshold" and the test "p-value <= alpha" may differ for statistics nearer
    than that to the threshold.
    """
    if not 0.0 < alpha < 1.0:
        raise InputError(f"alpha is between 0 and 1; it is {alpha}.")
    low, high = alpha / (4.0 * L), min(1.0, alpha * 1.000001)
    below, above = (np.log(gamma_pvalue(g, N=N, L=L)) for g in (low, high))
    while high > _RESOLUTION * low:
        # The size is close to a power of gamma; a share of each half keeps both ends of the bracket moving.
        slope = (np.log(alpha) - below) / (above - below) if above > below else 0.5
        middle = low * (high / low) ** float(np.clip(slope, 0.1, 0.9))
        size = np.log(max(gamma_pvalue(middle, N=N, L=L), 1e-300))
        if size <= np.log(alpha):
            low, below = middle, size
        else:
            high, above = middle, size
    lower, upper = _boundaries(low, N, L)
    z = np.arange(1, L + 1) / (L + 1)
    outside = np.concatenate([at_most(lower - 1, N, z), at_least(upper + 1, N, z)])
    return float(2.0 * outside.max()) or low


@lru_cache(maxsize=256)
def band(alpha: float, *, N: int, L: int) -> Band:
    """Simultaneous band: uniform ranks leave it with exact probability at most `alpha`."""
    gamma = gamma_threshold(alpha, N=N, L=L)
    lower, upper = _boundaries(gamma, N, L)
    return Band(N, L, lower, upper, gamma, _leaves(lower, upper, N))


def _middle(N: int, L: int) -> Ints:
    """Return expected counts below i = 1..L, times L + 1."""
    return np.asarray(N * np.arange(1, L + 1), dtype=np.int64)


def _boundaries(gamma: float, N: int, L: int) -> tuple[Ints, Ints]:
    """Least and largest counts whose tails are both above gamma / 2."""
    z = np.arange(1, L + 1) / (L + 1)
    limit = 0.5 * gamma * (1.0 + _SLACK)
    lower = _first(lambda c: np.asarray(at_most(c, N, z) > limit), N, L)
    upper = _first(lambda c: np.asarray(at_least(c, N, z) <= limit), N + 1, L) - 1
    return lower, upper


def _first(holds: Callable[[Ints], NDArray[np.bool_]], last: int, size: int) -> Ints:
    """Bisect for the least count in 0..last at which a condition, false and then true, holds; true at `last`."""
    low, high = np.zeros(size, dtype=np.int64), np.full(size, last, dtype=np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        true = holds(middle)
        high = np.where(true, middle, high)
        low = np.where(true, low, np.minimum(middle + 1, high))
    return low


def _leaves(lower: Ints, upper: Ints, N: int) -> float:
    """Probability that counts of N uniform ranks leave the band: the sum of the probabilities of leaving first at i."""
    cells = lower.size + 1
    rate = N / cells
    longest = int(rate + 14.0 * np.sqrt(rate + 14.0) + 30.0)
    k = np.arange(min(N, longest) + 1)
    step = np.exp(special.xlogy(k, rate) - rate - special.gammaln(k + 1.0))
    log_total = N * np.log(N) - N - special.gammaln(N + 1.0)
    state, start, outside = np.ones(1), 0, 0.0
    for i in range(cells - 1):
        spread = np.convolve(state, step)
        count = start + np.arange(spread.size)
        inside = (count >= lower[i]) & (count <= upper[i])
        out = ~inside & (count <= N)
        if out.any():
            rest = (cells - 1 - i) * rate
            left = N - count[out]
            log_finish = special.xlogy(left, rest) - rest - special.gammaln(left + 1.0)
            outside += float(np.sum(spread[out] * np.exp(log_finish - log_total)))
        if not inside.any():
            break
        state, start = spread[inside], int(count[inside][0])
    return outside
