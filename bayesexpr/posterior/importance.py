"""How far an approximation is from the posterior: Pareto smoothed importance sampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

RELIABLE_K = 0.7
"""Shape above which importance weights have no usable variance, so the approximation cannot be trusted or mended."""


def pareto_k(log_ratios: ArrayLike) -> float:
    """Shape k-hat of the tail of importance ratios.

    Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto Smoothed Importance Sampling, J Mach Learn Res 25:1.

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
