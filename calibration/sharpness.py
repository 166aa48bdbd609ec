"""Beside uniform ranks: how much the data taught (contraction) and how far off estimates are (z-score).

A posterior that equals the prior has uniform ranks of every parameter; contraction near zero is how that shows
(Betancourt 2018, arXiv:1803.08393; Schad, Betancourt and Vasishth 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .table import RankTable

IGNORED = 0.05
"""Contraction below which data taught nothing worth the name."""


@dataclass(frozen=True)
class Sharpness:
    """Contraction and z-scores of one quantity.

    Attributes
    ----------
    contraction
        1 - mean posterior variance / variance of the truth; 0: nothing was learnt, 1: everything.
    z_mean, z_sd
        Of (posterior mean - truth) / posterior sd over the simulations: 0 and about 1 where calibrated.
    """

    contraction: float
    z_mean: float
    z_sd: float


def sharpness(truth: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> Sharpness:
    """Summarise one quantity over simulations; arguments are [simulation]."""
    t, m, s = (np.asarray(a, dtype=np.float64) for a in (truth, mean, sd))
    variance = float(np.var(t, ddof=1)) if t.size > 1 else 0.0
    contraction = 1.0 - float(np.mean(s**2)) / variance if variance > 0 else float("nan")
    some = s > 0
    z = (m[some] - t[some]) / s[some]
    if z.size < 2:
        return Sharpness(contraction, float("nan"), float("nan"))
    return Sharpness(contraction, float(z.mean()), float(z.std(ddof=1)))


def data_ignored(table: RankTable) -> bool:
    """Whether no parameter learns from the data: the posterior is the prior.

    A parameter counts as learnt where its posterior mean follows the truth, R² above `IGNORED` and beyond chance.
    """
    if table.mean is None or table.truth is None or table.finished < 10:
        return False
    beyond_chance = 9.0 / table.finished  # R² of unrelated columns is about chi²(1) / N
    for place, uses_data in enumerate(table.uses_data):
        if uses_data:
            continue
        t, m = table.truth[:, place], table.mean[:, place]
        if np.std(t) == 0 or np.std(m) == 0:
            continue
        if np.corrcoef(t, m)[0, 1] ** 2 > max(IGNORED, beyond_chance):
            return False
    return any(not u for u in table.uses_data)
