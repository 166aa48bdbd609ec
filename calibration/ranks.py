"""Ranks of true values among posterior draws.

The rank of the truth among L exact draws is uniform on 0..L (Cook, Gelman and Rubin 2006; Talts, Betancourt, Simpson,
Vehtari and Gelman 2018). That needs draws which are nearly independent, L known rather than guessed from the largest
rank seen, and ties broken at random: each of the three is enforced here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesexpr.errors import InputError, SamplingError
from bayesexpr.posterior.diagnostics import convergence

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROUNDING = 1e-6  # relative: draws come in single precision

LEAST_ESS = 0.5
"""Least effective sample size of a test quantity, as a share of the draws it is ranked among."""


@dataclass(frozen=True)
class Ranking:
    """Ranks of several quantities of one fit, with what they rest on; all arrays are [quantity].

    Attributes
    ----------
    rank
        0..L; -1 where the quantity's draws are too dependent to be ranked among.
    L
        Number of draws ranked among.
    ess
        Smaller of the bulk and tail effective sample sizes, of all draws.
    rhat
        Rank-normalised split R-hat.
    mean, sd
        Of all draws.
    """

    rank: Ints
    L: int
    ess: Floats
    rhat: Floats
    mean: Floats
    sd: Floats

    @property
    def refused(self) -> NDArray[np.bool_]:
        """Quantities without a rank."""
        return np.asarray(self.rank < 0)


def rank_among(truth: float, draws: ArrayLike, rng: np.random.Generator) -> int:
    """Rank of one true value among independent draws, 0 to the number of draws, ties broken at random.

    Parameters
    ----------
    truth
        The true value.
    draws
        [draw].

    Raises
    ------
    SamplingError
        If a draw is NaN or infinite: the fit is invalid.
    InputError
        If the truth is not finite.
    """
    values = np.asarray(draws, dtype=np.float64).ravel()
    _check_finite(np.array([truth]), values[:, None], ("the quantity",))
    below = int(np.count_nonzero(values < truth))
    ties = int(np.count_nonzero(values == truth))
    return below + int(rng.integers(0, ties + 1))


def rank_quantities(
    truth: ArrayLike, draws: ArrayLike, *, L: int, rng: np.random.Generator, names: tuple[str, ...] | None = None
) -> Ranking:
    """Rank the truth of every quantity among L of its draws, evenly taken from all chains.

    Parameters
    ----------
    truth
        [quantity].
    draws
        [chain, draw, quantity]; at least L in all.
    L
        Number of draws to rank among; ranks are 0..L.
    rng
        Breaks ties.
    names
        Of the quantities, for messages.

    Raises
    ------
    SamplingError
        If a draw is NaN or infinite.
    InputError
        If a truth is not finite, or there are fewer than L draws.
    """
    true, array = np.asarray(truth, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if array.ndim != 3 or true.shape != array.shape[2:]:
        raise InputError(
            f"truth is [quantity] and draws are [chain, draw, quantity]; their shapes are {true.shape}, {array.shape}."
        )
    _check_finite(true, array.reshape(-1, true.size), names or tuple(f"quantity {i}" for i in range(true.size)))
    true, array = _flatten_rounding(true, array)
    found = convergence(array)
    kept = thin(array, L)
    below = np.count_nonzero(kept < true, axis=0)
    ties = np.count_nonzero(kept == true, axis=0)
    rank = below + rng.integers(0, ties + 1)
    ess = np.minimum(found.ess_bulk, found.ess_tail)
    flat = array.reshape(-1, true.size)
    return Ranking(
        rank=np.where(ess < LEAST_ESS * L, -1, rank).astype(np.int64),
        L=L,
        ess=np.asarray(ess),
        rhat=found.rhat,
        mean=flat.mean(axis=0),
        sd=flat.std(axis=0, ddof=1),
    )


def thin(draws: ArrayLike, L: int) -> Floats:
    """Take L draws at even distances [L, quantity] of [chain, draw, quantity].

    Chains are first put into the order of their first values, so that the result does not depend on the order in
    which they come.
    """
    array = np.asarray(draws, dtype=np.float64)
    total = array.shape[0] * array.shape[1]
    if L < 1 or total < L:
        raise InputError(f"a rank among {L} draws needs at least that many, and at least 1; there are {total}.")
    order = np.lexsort(array[:, 0, ::-1].T)
    flat = array[order].reshape(total, -1)
    places = (2 * np.arange(L) + 1) * total // (2 * L)
    return np.asarray(flat[places])


def check_ranks(ranks: ArrayLike, L: int) -> Ints:
    """Return ranks as integers.

    Raises
    ------
    InputError
        If one is not a whole number from 0 to L: nothing is ever rescaled to fit.
    """
    if isinstance(L, bool) or not isinstance(L, int | np.integer) or L < 1:
        raise InputError(f"L is the number of draws ranked among, a whole number above zero; it is {L!r}.")
    array = np.atleast_1d(np.asarray(ranks))
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"ranks are one list of at least one number; their shape is {array.shape}.")
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise InputError(f"ranks are whole numbers; their type is {array.dtype}.")
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(array) | (array < 0) | (array > L) | (array != np.floor(array))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"ranks are whole numbers from 0 to L = {L}; number {first} is {array[first]} ({bad.sum()} such entries)."
        )
    return array.astype(np.int64)


def _flatten_rounding(truth: Floats, draws: Floats) -> tuple[Floats, Floats]:
    """Make a quantity constant whose draws and truth differ by rounding only, as the sum of proportions does.

    Its ties are then broken at random; ranks of rounding errors would compare the arithmetic of two programs.
    """
    low = np.minimum(draws.min(axis=(0, 1)), truth)
    high = np.maximum(draws.max(axis=(0, 1)), truth)
    constant = high - low <= _ROUNDING * np.maximum(np.abs(low), np.abs(high))
    return np.where(constant, low, truth), np.where(constant, low, draws)


def _check_finite(truth: Floats, flat: Floats, names: tuple[str, ...]) -> None:
    if not np.isfinite(truth).all():
        q = int(np.flatnonzero(~np.isfinite(truth))[0])
        raise InputError(f"a true value must be finite; that of {names[q]} is {truth[q]}. Look at the simulator.")
    finite = np.isfinite(flat)
    if not finite.all():
        draw, q = np.argwhere(~finite)[0]
        raise SamplingError(
            f"draw {draw + 1} of {names[q]} is {flat[draw, q]} ({(~finite).sum()} such values): a fit with a draw that "
            "is not finite has no ranks."
        )
