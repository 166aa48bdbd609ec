"""Convergence diagnostics of many quantities at once.

Rank-normalised split R-hat, bulk and tail effective sample size after Vehtari, Gelman, Simpson, Carpenter and
Bürkner (2021), Bayesian Analysis 16:667; Geyer's (1992) initial monotone sequence for the autocorrelation time;
E-BFMI after Betancourt (2016). A transcriptome has tens of thousands of quantities, so each step works on a block of
quantities rather than on one.

Draws are ``[chain, draw, quantity]``. A quantity that never changes, in any chain, has R-hat 1 and as many effective
draws as its half-chains hold: there is nothing in it that could fail to mix. A quantity with a value that is not
finite has NaN everywhere.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri
from scipy.stats import f as f_distribution

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_BLOCK_VALUES = 400_000  # values of a block: its temporaries stay near the processor and far below 100 MB
_TAIL = (0.05, 0.95)
_MIN_DRAWS = 4


@dataclass(frozen=True)
class Convergence:
    """R-hat and effective sample sizes, each ``[quantity]``."""

    rhat: Floats
    ess_bulk: Floats
    ess_tail: Floats


def convergence(draws: ArrayLike, threads: int = 1) -> Convergence:
    """R-hat, bulk ESS and tail ESS of every quantity, sharing the sorting between them.

    Parameters
    ----------
    draws : array [chain, draw, quantity]
        float32 or float64; at least 4 draws in a chain. An array ``[chain, draw]`` is one quantity.
    threads : int
        Blocks of quantities worked on at the same time.

    Returns
    -------
    Convergence
        NaN for a quantity that has a value which is not finite, or when chains have fewer than 4 draws.
    """
    rows = _run(draws, ("rhat", "bulk", "tail"), threads)
    return Convergence(rhat=rows[0], ess_bulk=rows[1], ess_tail=rows[2])


def rhat(draws: ArrayLike, threads: int = 1) -> Floats:
    """Rank-normalised split R-hat ``[quantity]``: the larger of its bulk and folded forms.

    One chain is split too, so that it has an R-hat of its halves.
    """
    return _run(draws, ("rhat",), threads)[0]


def ess_bulk(draws: ArrayLike, threads: int = 1) -> Floats:
    """Effective sample size ``[quantity]`` of the rank-normalised split chains."""
    return _run(draws, ("bulk",), threads)[0]


def ess_tail(draws: ArrayLike, threads: int = 1) -> Floats:
    """Smaller of the effective sample sizes ``[quantity]`` of the 5 % and 95 % quantiles."""
    return _run(draws, ("tail",), threads)[0]


def ess_folded(draws: ArrayLike) -> Floats:
    """Effective sample size ``[quantity]`` of the rank-normalised distance from the median.

    The folded form of R-hat is that of these distances, so it is these draws that tell how large it may be by chance:
    where the spread mixes slower than the place, there are fewer of them than of bulk and tails.
    """
    array = _as_draws(draws).astype(np.float64, copy=False)
    middle = np.median(_split(array.transpose(2, 0, 1)), axis=(1, 2))
    return ess_bulk(np.abs(array - middle))


def ess_mean(draws: ArrayLike, threads: int = 1) -> Floats:
    """Effective sample size ``[quantity]`` of the split chains as they are: that of the posterior mean."""
    return _run(draws, ("mean",), threads)[0]


def mcse_mean(draws: ArrayLike, threads: int = 1) -> Floats:
    """Monte Carlo standard error of the posterior mean ``[quantity]``: sd / sqrt(ESS of the mean)."""
    array = _as_draws(draws)
    sd = np.asarray(array.std(axis=(0, 1), ddof=1, dtype=np.float64))
    return sd / np.sqrt(ess_mean(array, threads))


def ebfmi(energy: ArrayLike) -> Floats:
    """Estimate the Bayesian fraction of missing information ``[chain]`` from energies ``[chain, draw]``; low is bad."""
    array = np.atleast_2d(np.asarray(energy, dtype=np.float64))
    step = np.mean(np.diff(array, axis=1) ** 2, axis=1)
    spread = np.var(array, axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(step / spread)


def count_divergences(divergent: ArrayLike) -> int:
    """Return the number of kept draws whose trajectory diverged, of flags ``[chain, draw]``."""
    return int(np.count_nonzero(np.asarray(divergent)))


def count_saturated(tree_depth: ArrayLike, max_depth: int) -> int:
    """Return the number of kept draws that ran to the largest tree allowed: a matter of speed, not of correctness."""
    return int(np.count_nonzero(np.asarray(tree_depth) >= max_depth))


def rhat_limit(n_quantities: int, n_chains: int, ess: ArrayLike, probability: float = 0.99) -> Floats:
    """Value that the largest R-hat of sound chains stays below with the given probability.

    For M = 2 ``n_chains`` half-chains of N effective draws that share one distribution, R-hat² = (F + N - 1) / N,
    where F, between over within variance, follows the F distribution with M - 1 and M (N - 1) degrees of freedom.
    R-hat is the larger of two such values, and there are ``n_quantities`` of them: the limit is the quantile at
    1 - (1 - probability) / (2 n_quantities). At the least acceptable ESS, 100 per chain, the standard deviation of
    R-hat is 0.005 and one sound quantity in twenty exceeds 1.01: no fixed limit can serve many quantities.

    Parameters
    ----------
    n_quantities : int
        Number of quantities whose R-hat is looked at together.
    n_chains : int
        Chains, before they are split.
    ess : float or array
        Effective number of draws in all chains together; ``n_chains * n_draws`` for independent draws.
    probability : float
        That none of the quantities exceeds the limit.

    Returns
    -------
    array
        Of the shape of ``ess``.
    """
    halves = 2 * n_chains
    effective = np.maximum(np.asarray(ess, dtype=np.float64) / halves, 2.0)
    tail = (1.0 - probability) / (2.0 * max(n_quantities, 1))
    between = f_distribution.isf(tail, halves - 1, halves * (effective - 1.0))
    return np.asarray(np.sqrt((between + effective - 1.0) / effective))


def expected_max_rhat(n_quantities: int, n_chains: int, n_draws: int) -> float:
    """Limit (99 %) for the largest R-hat of independent draws, ``n_draws`` in each chain; see `rhat_limit`."""
    return float(rhat_limit(n_quantities, n_chains, float(n_chains * n_draws)))


def _as_draws(draws: ArrayLike) -> NDArray[np.floating]:
    array = np.asarray(draws)
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3:
        raise ValueError(f"draws have the dimensions [chain, draw, quantity]; the array given has {array.ndim}")
    return array


def _run(draws: ArrayLike, wanted: tuple[str, ...], threads: int) -> list[Floats]:
    array = _as_draws(draws)
    n_chains, n_draws, n_quantities = array.shape
    out = [np.full(n_quantities, np.nan) for _ in wanted]
    if n_draws < _MIN_DRAWS or n_chains < 1:
        return out
    size = max(1, _BLOCK_VALUES // (n_chains * n_draws))
    starts = range(0, n_quantities, size)

    def work(start: int) -> None:
        block = np.ascontiguousarray(array[:, :, start : start + size].transpose(2, 0, 1), dtype=np.float64)
        for row, values in zip(out, _block(block, wanted), strict=True):
            row[start : start + size] = values

    if threads > 1 and n_quantities > size:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))
    else:
        for start in starts:
            work(start)
    return out


def _block(block: Floats, wanted: tuple[str, ...]) -> list[Floats]:
    """Diagnostics of one block ``[quantity, chain, draw]``, in the order of ``wanted``."""
    flat = block.reshape(len(block), -1)
    finite: Bools = np.asarray(np.isfinite(flat).all(axis=1))
    if not finite.all():
        block = np.where(finite[:, None, None], block, 0.0)
        flat = block.reshape(len(block), -1)
    constant = np.ptp(flat, axis=1) == 0
    split = _split(block)
    results: dict[str, Floats] = {}
    if "rhat" in wanted or "bulk" in wanted:
        scores = _normal_scores(split)
        if "bulk" in wanted:
            results["bulk"] = _ess(scores)
        if "rhat" in wanted:
            middle = np.median(split.reshape(len(split), -1), axis=1)
            folded = _normal_scores(np.abs(split - middle[:, None, None]))
            results["rhat"] = np.where(constant, 1.0, np.fmax(_split_rhat(scores), _split_rhat(folded)))
    if "mean" in wanted:
        results["mean"] = _ess(split)
    if "tail" in wanted:
        low, high = (_ess(_split((block <= _quantile(flat, p)[:, None, None]).astype(np.float64))) for p in _TAIL)
        results["tail"] = np.minimum(low, high)
    return [np.where(finite, results[name], np.nan) for name in wanted]


def _split(block: NDArray[np.float64]) -> Floats:
    """Half-chains: the draw in the middle of an odd number is left out."""
    half = block.shape[2] // 2
    return np.concatenate((block[:, :, :half], block[:, :, -half:]), axis=1)


def _quantile(flat: Floats, probability: float) -> Floats:
    """Quantile of each row, interpolated linearly between order statistics."""
    position = (flat.shape[1] - 1) * probability
    below = int(np.floor(position))
    above = min(below + 1, flat.shape[1] - 1)
    ordered = np.partition(flat, (below, above), axis=1)
    low, high = ordered[:, below], ordered[:, above]
    share = position - below
    step = high - low
    return np.asarray(high - step * (1.0 - share) if share >= 0.5 else low + step * share)


def _normal_scores(split: Floats) -> Floats:
    """Turn ranks over all half-chains into normal scores (Blom's 3/8 offset); ties share their mean rank."""
    flat = split.reshape(len(split), -1)
    size = flat.shape[1]
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    twice = np.tile(2 * np.arange(1, size + 1), (len(flat), 1))  # twice the rank: the mean rank of a tie may be a half
    new = np.ones(flat.shape, dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=new[:, 1:])
    tied = np.flatnonzero(~new.all(axis=1))
    if tied.size:
        begins = new[tied]
        ends = np.ones_like(begins)
        ends[:, :-1] = begins[:, 1:]
        index = np.arange(size)
        first = np.maximum.accumulate(np.where(begins, index, 0), axis=1)
        last = np.minimum.accumulate(np.where(ends, index, size)[:, ::-1], axis=1)[:, ::-1]
        twice[tied] = first + last + 2
    scores = ndtri(
        (np.arange(2 * size + 1) / 2 - 0.375) / (size + 0.25),
        where=np.arange(2 * size + 1) > 0,
        out=np.zeros(2 * size + 1),
    )
    out = np.empty_like(flat)
    np.put_along_axis(out, order, scores[twice], axis=1)
    return out.reshape(split.shape)


def _split_rhat(split: Floats) -> Floats:
    n_draws = split.shape[2]
    between = n_draws * split.mean(axis=2).var(axis=1, ddof=1)
    within = split.var(axis=2, ddof=1).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # 0 / 0 belongs to a folded quantity without spread (two values, equally far from the median): it says nothing
        return np.asarray(np.sqrt((between / within + n_draws - 1) / n_draws))


def _ess(split: Floats) -> Floats:
    """Effective sample size of each quantity of ``[quantity, half-chain, draw]``."""
    n_quantities, n_chains, n_draws = split.shape
    total = n_chains * n_draws
    flat = split.reshape(n_quantities, -1)
    constant = flat.max(axis=1) - flat.min(axis=1) < np.finfo(np.float64).resolution
    means = split.mean(axis=2)
    length = next_fast_len(2 * n_draws, real=True)
    spectrum = rfft(split - means[:, :, None], n=length, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    covariance = irfft(power, n=length, axis=1)[:, :n_draws] / n_draws  # mean over the half-chains
    mean_variance = covariance[:, 0] * (n_draws / (n_draws - 1.0))
    variance = mean_variance * ((n_draws - 1.0) / n_draws)
    if n_chains > 1:
        variance = variance + means.var(axis=1, ddof=1)
    variance = np.where(constant, 1.0, variance)
    correlation = 1.0 - (mean_variance[:, None] - covariance) / variance[:, None]
    correlation[:, 0] = 1.0
    # pairs (even, odd lag); pair k is looked at while 2 k < n_draws - 2 and all pairs before it are positive
    n_pairs = max(1, (n_draws - 1) // 2)
    even = correlation[:, 0 : 2 * n_pairs : 2]
    pair = even + correlation[:, 1 : 2 * n_pairs : 2]
    stops = pair <= 0
    stops[:, -1] = True
    last = np.argmax(stops, axis=1)
    summed = np.cumsum(np.minimum.accumulate(pair, axis=1), axis=1)
    rows = np.arange(n_quantities)
    before = np.where(last > 0, summed[rows, np.maximum(last - 1, 0)], 0.0)
    even_last, pair_last = even[rows, last], pair[rows, last]
    # the last even lag improves the estimate where it is positive, or belongs to a pair that is not negative
    closing = np.where((pair_last >= 0) | (even_last > 0), even_last, 0.0)
    tau = np.maximum(-1.0 + 2.0 * before + closing, 1.0 / np.log10(total))
    return np.where(constant, float(total), total / tau)
