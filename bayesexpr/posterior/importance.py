"""How far an approximation is from the posterior: Pareto smoothed importance sampling.

Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto Smoothed Importance Sampling, J Mach Learn Res 25:1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]

RELIABLE_K = 0.7
"""Shape above which importance weights have no usable variance, so the approximation cannot be trusted or mended."""


def pareto_k(log_ratios: ArrayLike) -> float:
    """Shape k-hat of the tail of importance ratios.

    Parameters
    ----------
    log_ratios
        Log posterior density minus log density of the approximation, of each draw, up to a constant.

    Returns
    -------
    float
        Infinite where a draw lies outside the posterior's support, or there are fewer than 25 draws to judge by; zero
        where all ratios are alike: the approximation is the posterior.
    """
    from arviz_stats.base.array import array_stats

    ratios = np.ravel(np.asarray(log_ratios, dtype=float))
    if ratios.size < 25 or not np.isfinite(ratios).all():
        return float("inf")
    if np.ptp(ratios) < 1e-10:
        return 0.0
    # arviz takes log likelihoods of leave-one-out, which are minus the log ratios
    return float(array_stats.psislw(-ratios)[1])  # type: ignore[no-untyped-call]


def reliable_k(draws: int) -> float:
    """Largest k-hat at which the weights of so many draws can be used: min(1 - 1 / log10 S, 0.7) (same source)."""
    return min(1.0 - 1.0 / float(np.log10(max(draws, 11))), RELIABLE_K)


def smoothed_weights(log_ratios: ArrayLike) -> tuple[Float, Float]:
    """Smooth the tails of many sets of importance ratios at once.

    The largest ratios of a set are replaced by the expected order statistics of the generalised Pareto distribution
    fitted to them (Zhang and Stephens 2009, Technometrics 51:316, with the weak prior of the source above), and none
    exceeds the largest raw one.

    Parameters
    ----------
    log_ratios
        [set, draw] log target density minus log proposal density, up to a constant of each set; at least 25 draws.

    Returns
    -------
    weight, k
        [set, draw], each set summing to one, and [set] k-hat. A set with a ratio that is not a number or plus infinity
        has weights and a k-hat of NaN; a draw outside the target's support (minus infinity) has weight zero.
    """
    logs = np.asarray(log_ratios, dtype=np.float64)
    draws = logs.shape[1]
    highest = logs.max(axis=1, keepdims=True)
    sound = np.isfinite(highest[:, 0])
    logs = np.where(sound[:, None], logs - np.where(sound[:, None], highest, 0.0), 0.0)
    tail = int(3 * np.sqrt(draws)) if draws > 225 else draws // 5
    rows = np.arange(len(logs))[:, None]
    top = np.argpartition(logs, draws - tail - 1, axis=1)[:, draws - tail - 1 :]
    top = top[rows, np.argsort(logs[rows, top], axis=1)]
    weight = np.exp(logs)
    cut = weight[rows, top[:, :1]]
    excess = weight[rows, top[:, 1:]] - cut
    spread = excess[:, -1] - excess[:, 0] > 1e-10  # ratios that are all alike have no tail to fit
    shape, scale = _pareto_fit(np.where(spread[:, None], np.maximum(excess, 1e-300), np.arange(1.0, tail + 1)))
    middle = (np.arange(tail) + 0.5) / tail
    k = shape[:, None]
    flat = np.abs(k) < 1e-8
    quantile = np.where(
        flat, -np.log1p(-middle), np.expm1(np.minimum(-k * np.log1p(-middle), 600.0)) / np.where(flat, 1.0, k)
    )
    smooth = np.minimum(cut + scale[:, None] * quantile, 1.0)
    weight[rows, top[:, 1:]] = np.where(spread[:, None], smooth, weight[rows, top[:, 1:]])
    weight /= weight.sum(axis=1, keepdims=True)
    weight[~sound] = np.nan
    return weight, np.where(sound, np.where(spread, shape, 0.0), np.nan)


def _pareto_fit(excess: Float) -> tuple[Float, Float]:
    """Shape and scale [set] of generalised Pareto distributions, given sorted exceedances [set, n]."""
    n = excess.shape[1]
    grid = 30 + int(np.sqrt(n))
    b = 1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    b = b / (3.0 * excess[:, [int(n / 4 + 0.5) - 1]]) + 1.0 / excess[:, -1:]
    shape = np.log1p(-b[:, :, None] * excess[:, None, :]).mean(axis=2)
    height = n * (np.log(-b / shape) - shape - 1.0)
    weight = np.exp(height - height.max(axis=1, keepdims=True))
    b_mean = np.sum(b * weight, axis=1) / weight.sum(axis=1)
    k = np.log1p(-b_mean[:, None] * excess).mean(axis=1)
    return (n * k + 10 * 0.5) / (n + 10), -k / b_mean
