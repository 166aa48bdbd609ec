"""Whether the chains agree on every gene: its intercept, dispersion and tested effect, as far as they can matter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.posterior.diagnostics import Convergence, convergence, ess_folded
from bayesexpr.posterior.verdict import Limits

EFFECT_RESOLUTION = 1e-4
"""Effects (natural log) are told apart down to this. A gene that is all but surely unchanged has an average effect of
1e-10 in one draw and of 1e-30 in the next, which is the same to everybody but to ranks: R-hat would judge how far out
the chain is in the tail of the slab, where it means nothing."""


def gene_convergence(alpha: NDArray[Any], effect: NDArray[Any], log_phi: NDArray[Any] | None = None) -> Convergence:
    """R-hat and effective draws of every gene, the worst of its quantities.

    Parameters
    ----------
    alpha
        [chain, draw, gene] intercepts.
    effect
        [chain, draw, gene, K] tested effects, averaged over the components of each draw; natural log.
    log_phi
        [chain, draw, gene] log precisions, where every gene has its own.

    Returns
    -------
    Convergence
        Each ``[gene]``. Where R-hat is above what it would have to be in a single quantity, the effective draws of the
        tails are also those of the distance from the median: R-hat's folded form is to be held against them.
    """
    rounded = np.round(effect / EFFECT_RESOLUTION) * EFFECT_RESOLUTION
    parts = [alpha[..., None], rounded] + ([] if log_phi is None else [log_phi[..., None]])
    watched = np.concatenate(parts, axis=-1)
    flat = watched.reshape(*watched.shape[:2], -1)
    each = convergence(flat)
    tail, doubtful = each.ess_tail, each.rhat > Limits().rhat
    if doubtful.any():
        tail[doubtful] = np.fmin(tail[doubtful], ess_folded(flat[..., doubtful]))
    rhat, bulk, tail = (values.reshape(watched.shape[2:]) for values in (each.rhat, each.ess_bulk, tail))
    return Convergence(rhat.max(axis=1), bulk.min(axis=1), tail.min(axis=1))
