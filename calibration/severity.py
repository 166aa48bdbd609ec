"""What a campaign of this size would have caught: the smallest errors found with 80 % power.

A verdict "PASS" is worth as much as the errors it excludes. For a normal posterior whose centre is off by a share of
its sd, or whose sd is off by a factor, ranks are simulated and both tests of the verdict are applied at the level that
Holm's first step gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from .coverage import binomial_pvalues, interval_of_ranks
from .ranks import Ints
from .uniformity import band

POWER = 0.8
_REPEATS = 400
_LARGEST = 500  # beyond this many simulations the smallest error shrinks like 1 / sqrt(N)


@dataclass(frozen=True)
class Severity:
    """Smallest errors of one quantity found with 80 % power.

    Attributes
    ----------
    bias
        In posterior sds; infinite where none of up to 4 is found.
    narrow, wide
        Factors on the posterior sd, below and above 1; 0 and infinite where none is found.
    level
        Of each single test: what Holm's first step gives it.
    """

    N: int
    L: int
    level: float
    bias: float
    narrow: float
    wide: float

    def __str__(self) -> str:
        errors = []
        if np.isfinite(self.bias):
            errors.append(f"a bias of {self.bias:.2f} posterior sd")
        if self.narrow > 0:
            errors.append(f"a posterior sd too small by the factor {self.narrow:.2f}")
        if np.isfinite(self.wide):
            errors.append(f"one too large by the factor {self.wide:.2f}")
        return f"would have caught, with 80 % power, in any one quantity: {', or '.join(errors) or 'nothing'}"


def power(
    N: int, L: int, level: float, *, bias: float = 0.0, sd: float = 1.0, repeats: int = 2000, seed: int = 1
) -> dict[str, float]:
    """Power of the tests against a normal posterior that is wrong.

    Parameters
    ----------
    N, L
        Simulations; draws ranked among.
    level
        Of each test.
    bias
        Offset of the posterior's centre, in sds.
    sd
        Factor on its sd.

    Returns
    -------
    dict
        Of ``ecdf``, ``coverage`` and ``either``.
    """
    ranks = planted_ranks(N, L, bias=bias, sd=sd, repeats=repeats, rng=np.random.default_rng(seed))
    ecdf, covered = alarms(ranks, L, level)
    return {"ecdf": ecdf.mean(), "coverage": covered.mean(), "either": (ecdf | covered).mean()}


def planted_ranks(N: int, L: int, *, bias: float, sd: float, repeats: int, rng: np.random.Generator) -> Ints:
    """Ranks [repeat, simulation] of standard normal truths among L draws of normal(bias, sd)."""
    truth = rng.standard_normal((repeats, N))
    return np.asarray(rng.binomial(L, special.ndtr((truth - bias) / sd)), dtype=np.int64)


def alarms(ranks: Ints, L: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Whether the ECDF test and that of the central 90 % interval alarm [repeat], for ranks [repeat, simulation]."""
    repeats, N = ranks.shape
    flat = (ranks + np.arange(repeats)[:, None] * (L + 1)).ravel()
    cells = np.bincount(flat, minlength=repeats * (L + 1)).reshape(repeats, L + 1)
    below = np.cumsum(cells, axis=1)[:, :-1]
    limits = band(level, N=N, L=L)
    ecdf = np.asarray(((below < limits.lower) | (below > limits.upper)).any(axis=1))
    low, high = interval_of_ranks(L, 0.9)
    hits = np.asarray(((ranks >= low) & (ranks <= high)).sum(axis=1))
    return ecdf, np.asarray(binomial_pvalues(N, (high - low + 1) / (L + 1))[hits] <= level)


@lru_cache(maxsize=64)
def severity(N: int, L: int, level: float) -> Severity:
    """Smallest bias and errors of width found with 80 % power, to about 5 % of themselves."""
    size = min(N, _LARGEST)
    scale = float(np.sqrt(size / N))

    def found(**error: float) -> bool:
        return power(size, L, level, repeats=_REPEATS, seed=7, **error)["either"] >= POWER

    bias = _smallest(lambda x: found(bias=x), 4.0) * scale
    narrow = _smallest(lambda x: found(sd=float(np.exp(-x))), 4.0) * scale
    wide = _smallest(lambda x: found(sd=float(np.exp(x))), 4.0) * scale
    return Severity(N, L, level, bias, float(np.exp(-narrow)), float(np.exp(wide)))


def _smallest(found: Callable[[float], bool], largest: float) -> float:
    low, high = 0.0, largest
    while high - low > 0.05 * high and high > 1e-3:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if found(middle) else (middle, high)
    return high if high < largest else float("inf")
