"""Pareto k-hat of many sets of importance weights at once.

The estimator is that of Zhang and Stephens (2009, Technometrics 51:316) with the prior and the tail sizes of Vehtari,
Simpson, Gelman, Yao and Gabry (2024, J Mach Learn Res 25:1), as ArviZ has it for one set at a time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_PRIOR_SCALE, _PRIOR_SIZE, _PRIOR_K = 3.0, 10.0, 0.5
_LEAST_TAIL = 5


def k_threshold(draws: int) -> float:
    """Largest k-hat with which so many draws give a usable estimate: min(1 - 1 / log10 S, 0.7)."""
    return min(1.0 - 1.0 / math.log10(draws), 0.7) if draws > 10 else -math.inf


def pareto_k(weight: ArrayLike) -> Floats:
    """Shape of the right tail of each column of weights.

    Parameters
    ----------
    weight
        [draw, ...] importance weights, not logarithms, up to a factor of each column.

    Returns
    -------
    array
        [...]: infinite where a weight is not finite or there are too few draws; zero where the tail's weights are all
        alike.
    """
    values = np.asarray(weight, dtype=np.float64)
    size = len(values)
    tail_size = int(3 * math.sqrt(size)) if size > 225 else size // 5
    flat = values.reshape(size, -1)
    out = np.full(flat.shape[1], np.inf)
    if tail_size < _LEAST_TAIL:
        return out.reshape(values.shape[1:])
    good = np.isfinite(flat).all(axis=0)
    ordered = np.partition(flat[:, good], size - tail_size - 1, axis=0)
    top = ordered.max(axis=0)
    cutoff = ordered[size - tail_size - 1]
    tail = np.sort(ordered[size - tail_size :], axis=0)
    varied = tail[-1] - tail[0] > 1e-10 * np.abs(top)
    k = np.zeros(len(top))
    # a weight equal to the cutoff would put the grid of scales at infinity
    excess = np.maximum((tail[:, varied] - cutoff[varied]) / top[varied], np.finfo(np.float64).tiny)
    k[varied] = _shape(excess)
    out[good] = k
    return out.reshape(values.shape[1:])


def _shape(excess: Floats) -> Floats:
    """Fit generalised Pareto distributions to sorted excesses [tail, column]."""
    n = len(excess)
    grid = np.arange(1, 31 + int(math.sqrt(n))) - 0.5
    quartile = excess[int(n / 4 + 0.5) - 1]
    b = (1 - np.sqrt(len(grid) / grid))[:, None] / (_PRIOR_SCALE * quartile) + 1 / excess[-1]
    k = np.empty_like(b)
    for row, scale in enumerate(b):
        k[row] = np.log1p(-scale * excess).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_profile = n * (np.log(-b / k) - k - 1)
    log_profile = np.where(np.isfinite(log_profile), log_profile, -np.inf)
    weight = np.exp(log_profile - log_profile.max(axis=0))
    mean_b = (b * weight).sum(axis=0) / weight.sum(axis=0)
    found = np.log1p(-mean_b * excess).mean(axis=0)
    return np.asarray((n * found + _PRIOR_SIZE * _PRIOR_K) / (n + _PRIOR_SIZE))
