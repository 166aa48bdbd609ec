"""Leave-one-out comparison of two fits, gene by gene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LeaveOneOut:
    """Expected log predictive density of each observation when it is left out, and whether it can be trusted.

    Attributes
    ----------
    elpd
        In the shape of the outcome.
    pareto_k
        In the same shape: above 0.7 the estimate of that observation is not reliable.
    """

    elpd: Floats
    pareto_k: Floats


def leave_one_out(log_lik: ArrayLike) -> LeaveOneOut:
    """Estimate the leave-one-out density by Pareto smoothed importance sampling.

    Vehtari, Gelman and Gabry (2017), Statistics and Computing 27:1413.

    Parameters
    ----------
    log_lik
        [draw, ...]: log likelihood of every observation in every draw.
    """
    from arviz_stats.base.array import array_stats
    from scipy.special import logsumexp

    values = np.asarray(log_lik, dtype=float)
    flat = values.reshape(len(values), -1)
    elpd, k = np.empty(flat.shape[1]), np.zeros(flat.shape[1])
    for i, column in enumerate(flat.T):
        if np.ptp(column) < 1e-10:  # every draw says the same: nothing to reweight
            elpd[i] = column[0]
            continue
        log_weight, k[i] = array_stats.psislw(column)  # type: ignore[no-untyped-call]
        elpd[i] = logsumexp(log_weight + column) - logsumexp(log_weight)
    return LeaveOneOut(elpd.reshape(values.shape[1:]), k.reshape(values.shape[1:]))
