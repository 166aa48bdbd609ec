"""From local error rates to lists of genes.

`svalue` and `qvalue` are the posterior expected error rates of the list of all genes that are at least as sure as
this one: of wrong signs, and of genes without a material change (Stephens 2017, Biostatistics 18:275; Newton,
Noueiry, Sarkar and Ahlquist 2004, Biostatistics 5:155). The second is what a false discovery rate is to a reader of
p-values; the first says nothing of genes that do not change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

WITHOUT_ANSWER = frozenset({"all_zero", "not_finite"})
"""Statuses of genes for which the posterior says nothing: all their effect columns are missing."""


@dataclass(frozen=True)
class Calls:
    """The genes said to be changed.

    Attributes
    ----------
    called : array [gene] of bool
    rule : str
        The rule in words.
    expected_false : float
        Posterior expected number of called genes without a material change.
    warning : str
        Empty, or why another rule should be thought of.
    """

    called: NDArray[np.bool_]
    rule: str
    expected_false: float
    warning: str = ""

    @property
    def count(self) -> int:
        """Number of genes called."""
        return int(np.count_nonzero(self.called))


def svalue(lfsr: ArrayLike) -> Floats:
    """Mean local false sign rate of all genes whose own is no larger ``[gene]``; missing stays missing."""
    return _running_mean(lfsr)


def qvalue(lfdr: ArrayLike) -> Floats:
    """Mean probability of no material change of all genes whose own is no larger ``[gene]``; missing stays missing."""
    return _running_mean(lfdr)


def calls(lfdr: ArrayLike, *, level: float = 0.05, rule: str = "qvalue", unchanged: float | None = None) -> Calls:
    """Decide which genes are changed.

    Parameters
    ----------
    lfdr : array [gene]
        Posterior probability of no material change; NaN for genes without an answer.
    level : float
        Largest error rate.
    rule : {"qvalue", "lfdr"}
        ``"qvalue"``: the longest list whose mean `lfdr` is below the level. ``"lfdr"``: every gene whose own `lfdr` is
        below the level, a stricter list.
    unchanged : float, optional
        Posterior mean share of unchanged genes (pi0). Below one half, the mean over a list leans on the sureness of
        many genes and lets doubtful ones in: a warning then names the stricter rule.

    Returns
    -------
    Calls
    """
    rate = np.asarray(lfdr, dtype=np.float64)
    if rule == "qvalue":
        statistic = qvalue(rate)
        words = (
            f"q-value below {level:g}: on average at most {100 * level:g} % of the listed genes have no material change"
        )
    elif rule == "lfdr":
        statistic = rate
        words = f"lfdr below {level:g}: each listed gene has at most a {100 * level:g} % chance of no material change"
    else:
        raise ValueError(f'the rule is "qvalue" or "lfdr", not {rule!r}')
    called = np.less(statistic, level, where=np.isfinite(statistic), out=np.zeros(rate.shape, dtype=bool))
    warning = ""
    if unchanged is not None and unchanged < 0.5 and rule == "qvalue":
        warning = (
            f"Only {100 * unchanged:.0f} % of the genes are estimated to be unchanged. The mean over a list this long "
            "leans on its surest genes and may let doubtful ones in; "
            f"the cut at lfdr < {level:g} for each gene is stricter."
        )
    return Calls(called=called, rule=words, expected_false=float(rate[called].sum()), warning=warning)


def _running_mean(rate: ArrayLike) -> Floats:
    """Mean of all values no larger than each one: equal values get equal means, whatever the order of the genes."""
    values = np.asarray(rate, dtype=np.float64)
    out = np.full(values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    if known.size == 0:
        return out
    ordered = np.sort(values[known])
    means = np.cumsum(ordered) / np.arange(1, known.size + 1)
    out[known] = means[np.searchsorted(ordered, values[known], side="right") - 1]
    return out
