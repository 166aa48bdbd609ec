"""The simultaneous test of rank ECDFs for chains that share one distribution.

All draws are ranked together; under convergence the ranks that fall to one chain are a random subset, so the number of
a chain's ranks among the first m of all is hypergeometric. The statistic is the most extreme pointwise probability
over places and over chains, the smallest of all chains (Säilynoja, Bürkner and Vehtari 2022, section 4); its null
distribution is simulated by dealing ranks to the chains at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bayesexpr.errors import InputError

from .ranks import Floats, Ints

SIMULATIONS = 2000
_PLACES = 100


@dataclass(frozen=True)
class ChainTest:
    """Outcome: the statistic, its p-value from `SIMULATIONS` simulated deals, and the chain farthest from the rest."""

    gamma: float
    pvalue: float
    chain: int


def chain_test(draws: ArrayLike, *, rng: np.random.Generator, simulations: int = SIMULATIONS) -> ChainTest:
    """Test whether the chains of one quantity come from one distribution.

    Parameters
    ----------
    draws
        [chain, draw], at least two chains of nearly independent draws.
    rng
        Breaks ties.

    Raises
    ------
    InputError
        If there are fewer than two chains or a draw is not finite.
    """
    array = np.asarray(draws, dtype=np.float64)
    if array.ndim != 2 or len(array) < 2 or not np.isfinite(array).all():
        raise InputError(
            f"chains are compared by finite draws [chain, draw] of two or more; the shape is {array.shape}."
        )
    chains, n = array.shape
    order = np.lexsort((rng.random(array.size), array.ravel()))
    owner = np.repeat(np.arange(chains), n)[order]
    per_chain = _gammas(owner[None], chains)[0]
    gamma = float(per_chain.min())
    null = null_gammas(chains, n, simulations)
    pvalue = (1 + np.count_nonzero(null <= gamma * (1 + 1e-9))) / (1 + simulations)
    return ChainTest(gamma, float(pvalue), int(per_chain.argmin()))


def chain_threshold(alpha: float, *, chains: int, draws: int, simulations: int = SIMULATIONS) -> float:
    """Value of the statistic that sound chains stay above with probability 1 - alpha."""
    ordered = np.sort(null_gammas(chains, draws, simulations))
    return float(ordered[max(0, int(np.floor(alpha * (simulations + 1))) - 1)])


@lru_cache(maxsize=32)
def null_gammas(chains: int, draws: int, simulations: int) -> Floats:
    """Simulate the statistic of sound chains [simulations]; the seed follows from the sizes."""
    rng = np.random.default_rng([chains, draws, simulations])
    owners = np.repeat(np.arange(chains), draws)
    out = np.empty(simulations)
    batch = max(1, 2_000_000 // owners.size)
    for start in range(0, simulations, batch):
        size = min(batch, simulations - start)
        dealt = rng.permuted(np.tile(owners, (size, 1)), axis=1)
        out[start : start + size] = _gammas(dealt, chains).min(axis=1)
    return out


def _gammas(owner: NDArray[np.int64], chains: int) -> Floats:
    """Most extreme pointwise probability [deal, chain]; `owner` [deal, place] is the chain that each rank fell to."""
    total = owner.shape[1]
    places = np.unique(np.arange(1, _PLACES) * total // _PLACES)
    places = places[places > 0]
    tail = _tails(total, total // chains, tuple(places.tolist()))
    out = np.empty((len(owner), chains))
    for c in range(chains):
        below = np.cumsum(owner == c, axis=1)[:, places - 1]
        out[:, c] = tail[np.arange(places.size), below].min(axis=1)
    return out


@lru_cache(maxsize=32)
def _tails(total: int, marked: int, places: tuple[int, ...]) -> Floats:
    """Twice the smaller hypergeometric tail [place, count]."""
    count: Ints = np.arange(marked + 1)
    m = np.asarray(places)[:, None]
    low = stats.hypergeom.cdf(count, total, marked, m)
    high = stats.hypergeom.sf(count - 1, total, marked, m)
    return np.asarray(np.minimum(2 * np.minimum(low, high), 1.0))
