"""Whether the posterior of a program of the ladder can be trusted, in words."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayesexpr.posterior.diagnostics import rhat_limit
from bayesexpr.posterior.importance import RELIABLE_K
from bayesexpr.posterior.verdict import LEVELS, Finding, Limits, Verdict


def judge_approximation(method: str, k: float) -> Verdict:
    """Judge pathfinder, laplace or advi by the Pareto k-hat of its importance ratios."""
    shown = f"{k:.2f}" if math.isfinite(k) else "infinite"
    text = f"Pareto k-hat of {method} is {shown}"
    if k <= RELIABLE_K / 1.4:
        return _verdict([Finding(0, f"{text}: close to the posterior.")])
    if k <= RELIABLE_K:
        return _verdict([Finding(1, f"{text}: near the limit {RELIABLE_K}; compare with NUTS.")])
    return _verdict([Finding(2, f"{text}, above {RELIABLE_K}: this is not the posterior. Use NUTS.")])


def judge_exact() -> Verdict:
    """Judge independent draws of a closed-form posterior."""
    return _verdict([Finding(0, "Independent draws of the closed-form posterior.")])


def judge_parameters(
    table: pd.DataFrame,
    *,
    divergences: int,
    ebfmi: ArrayLike,
    n_chains: int,
    n_draws: int,
    limits: Limits | None = None,
) -> Verdict:
    """Judge a NUTS fit by all its parameters.

    Parameters
    ----------
    table
        Indexed by name, with columns ``rhat``, ``ess_bulk`` and ``ess_tail``.
    divergences
        Kept draws that diverged.
    ebfmi
        [chain].
    n_chains, n_draws
        Chains, and kept draws in each.
    """
    limits = limits or Limits()
    findings = [_mixing(table, n_chains, n_draws, limits), _divergent(divergences, n_chains * n_draws, limits)]
    findings.append(_energy(np.atleast_1d(np.asarray(ebfmi, dtype=float)), limits))
    if n_chains < 4:
        findings.append(Finding(1, f"Chains: {n_chains}. With fewer than 4, their disagreement is easily missed."))
    return _verdict(findings)


def _verdict(findings: list[Finding]) -> Verdict:
    ordered = sorted(findings, key=lambda finding: -finding.severity)
    return Verdict(level=LEVELS[ordered[0].severity], findings=tuple(ordered))


def _mixing(table: pd.DataFrame, n_chains: int, n_draws: int, limits: Limits) -> Finding:
    rhat = table["rhat"].to_numpy(float)
    ess = np.fmin(table["ess_bulk"].to_numpy(float), table["ess_tail"].to_numpy(float))
    broken = ~np.isfinite(rhat) | ~np.isfinite(ess)
    if broken.any():
        return Finding(2, f"{table.index[int(np.argmax(broken))]} has draws that are not finite, or too few of them.")
    fewest = limits.ess_per_chain * n_chains
    usable = np.clip(ess, min(fewest, n_chains * n_draws), n_chains * n_draws)
    limit = np.maximum(limits.rhat, rhat_limit(len(table), n_chains, usable))
    worst, scarce = int(np.argmax(rhat / limit)), int(np.argmin(ess))
    text = (
        f"Of {len(table)} quantities, {table.index[worst]} mixes worst by R-hat ({rhat[worst]:.3f}, limit "
        f"{limit[worst]:.3f}); {table.index[scarce]} has the fewest effective draws ({ess[scarce]:.0f}, limit "
        f"{fewest:.0f})."
    )
    if rhat[worst] > 1.0 + 3.0 * (limit[worst] - 1.0) or ess[scarce] < fewest / 4:
        return Finding(2, text)
    return Finding(int(rhat[worst] > limit[worst] or ess[scarce] < fewest), text)


def _divergent(count: int, total: int, limits: Limits) -> Finding:
    if not count:
        return Finding(0, f"None of the {total} draws diverged.")
    text = (
        f"{count} of {total} draws diverged: a part of the posterior may not have been visited. "
        "A higher adapt_delta is the usual remedy."
    )
    return Finding(2 if count > limits.divergent_share * total else 1, text)


def _energy(ebfmi: NDArray[np.float64], limits: Limits) -> Finding:
    if not np.isfinite(ebfmi).all():
        return Finding(1, "E-BFMI could not be computed.")
    lowest = float(ebfmi.min())
    if lowest >= limits.ebfmi:
        return Finding(0, f"The lowest E-BFMI of the chains is {lowest:.2f} (limit {limits.ebfmi:g}).")
    text = f"The E-BFMI of a chain is {lowest:.2f}, below {limits.ebfmi:g}: the posterior's tails are explored slowly."
    return Finding(2 if lowest < limits.ebfmi_worst else 1, text)
