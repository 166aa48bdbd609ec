"""Whether an empirical-Bayes fit can be trusted: what importance weights and short chains say, in the words of both.

There are no long chains here, so that nothing is said of R-hat but for the genes that were sampled by chains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesexpr.posterior.diagnostics import rhat_limit
from bayesexpr.posterior.verdict import LEVELS, Finding, Limits, Verdict

FEW_GENES = 500
"""Genes below which the hyperparameters' posterior, on which all genes bear, is too far from a normal one."""

BROAD = 0.7
"""Posterior standard deviation of a hyperparameter, on the log scale, above which a normal distribution is in doubt."""

NEAR_ZERO, BROAD_NEAR_ZERO = 0.05, 0.2
"""Scale of the effects of other terms below which a standard deviation (of its logarithm) above the second is broad:
below what the counts can tell from nothing, the posterior has a long tail on the left that a normal one lacks."""

LONG_STEP = 1.0
"""Last step to the hyperparameters' mean, in posterior standard deviations, above which it may not have been reached;
four times as long, and it has not. Proposals alone make steps of up to 0.8."""

FAR_STEP = 3.0
"""The same of the hyperparameter that is furthest off, in its own posterior standard deviations: largest of many."""


def approximation_status(
    *,
    all_zero: ArrayLike,
    k: ArrayLike,
    moved: ArrayLike,
    rhat: ArrayLike,
    ess_bulk: ArrayLike,
    ess_tail: ArrayLike,
    n_draws: int,
    outlier: ArrayLike,
    limits: Limits | None = None,
) -> NDArray[np.object_]:
    """Status of every gene, from the keys of ``bayesexpr.posterior.verdict.STATUS_WORDS``.

    Parameters
    ----------
    all_zero : array [gene] of bool
        Genes without a count; their diagnostics may hold anything.
    k : array [gene]
        k-hat of the importance weights.
    moved : array [gene] of bool
        Genes sampled by chains.
    rhat : array [gene]
        Of those chains; NaN for the other genes.
    ess_bulk, ess_tail : arrays [gene]
    n_draws : int
        Draws kept of each gene.
    outlier : array [gene] of bool
        Genes with an outlying count.
    """
    limits = limits or Limits()
    zero, chained = np.asarray(all_zero, dtype=bool), np.asarray(moved, dtype=bool)
    fewest = np.minimum(np.asarray(ess_bulk, dtype=float), np.asarray(ess_tail, dtype=float))
    status = np.full(zero.shape, "ok", dtype=object)
    status[np.asarray(outlier, dtype=bool)] = "outlier"
    with np.errstate(invalid="ignore"):
        status[fewest < limits.ess_per_chain] = "low_ess"
        largest = np.maximum(limits.rhat, rhat_limit(max(int(chained.sum()), 1), 4, float(n_draws)))
        status[chained & ~(np.asarray(rhat, dtype=float) <= largest)] = "high_rhat"
    status[~np.isfinite(fewest) | (np.isnan(np.asarray(k, dtype=float)) & ~chained)] = "not_finite"
    status[zero] = "all_zero"
    return status


def judge_approximation(
    *,
    status: ArrayLike,
    k: ArrayLike,
    moved: ArrayLike,
    k_limit: float,
    steps: Sequence[float],
    largest: Sequence[float],
    hyperparameters: Mapping[str, Mapping[str, float]],
    limits: Limits | None = None,
) -> Verdict:
    """Verdict on an empirical-Bayes fit.

    Parameters
    ----------
    status : array [gene] of str
    k, moved : arrays [gene]
        As in :func:`approximation_status`; of genes without a count they may hold anything.
    k_limit : float
        k-hat above which genes were sampled by chains.
    steps : sequence of float
        Lengths of the steps to the hyperparameters' mean, in posterior standard deviations.
    largest : sequence of float
        How far each step moved the hyperparameter that it moved most, in that one's posterior standard deviations.
    hyperparameters : mapping
        Of each by its name, ``mean`` and ``sd`` on the real line.
    """
    limits = limits or Limits()
    words = np.asarray(status, dtype=str)
    answered = words != "all_zero"
    findings = [
        Finding(
            0,
            "An empirical-Bayes approximation: the posterior of the hyperparameters is taken as normal about the mean "
            "that their marginal likelihood gives, and genes are sampled given draws from it.",
        ),
        _steps(steps[-1], largest[-1], len(steps)),
        _spread(hyperparameters),
        _weights(np.asarray(k, dtype=float)[answered], np.asarray(moved, dtype=bool)[answered], k_limit),
        _genes(words[answered], limits),
    ]
    if answered.sum() < FEW_GENES:
        findings.append(
            Finding(
                1,
                f"Only {answered.sum()} genes with counts: the hyperparameters' posterior may be far from normal. "
                "Method nuts takes no time for so few.",
            )
        )
    findings.sort(key=lambda finding: -finding.severity)
    names, counts = np.unique(words, return_counts=True)
    return Verdict(
        level=LEVELS[findings[0].severity],
        findings=tuple(findings),
        status_counts={str(name): int(count) for name, count in zip(names, counts, strict=True)},
    )


def _steps(last: float, largest: float, number: int) -> Finding:
    text = (
        f"The last of {number} steps to the hyperparameters' mean was {last:.2g} posterior standard deviations long "
        f"(limit {LONG_STEP:g}), and that of the hyperparameter furthest off {largest:.2g} of its own (limit "
        f"{FAR_STEP:g})."
    )
    parts = last / LONG_STEP, largest / FAR_STEP
    if all(part <= 1 for part in parts):
        return Finding(0, text)
    return Finding(1 if all(part <= 4 for part in parts) else 2, text)


def little_known(hyperparameters: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Names of the hyperparameters whose posterior may be far from a normal one: broad, or scales near zero."""

    def limit(name: str, mean: float) -> float:
        return BROAD_NEAR_ZERO if name.startswith("log_tau") and mean < np.log(NEAR_ZERO) else BROAD

    # sigma_phi at its bound is broad on the real line and sharp where it matters
    return [
        name
        for name, one in hyperparameters.items()
        if not one["sd"] <= limit(name, one["mean"]) and name != "logit_sigma_phi"
    ]


def _spread(hyperparameters: Mapping[str, Mapping[str, float]]) -> Finding:
    broad = little_known(hyperparameters)
    if not broad:
        return Finding(
            0,
            f"No hyperparameter is known worse than within {BROAD:g} (posterior sd, logarithms; sigma_phi, which is "
            f"bounded, aside), nor a scale of other terms' effects below {NEAR_ZERO:g} than within "
            f"{BROAD_NEAR_ZERO:g}.",
        )
    return Finding(
        1,
        f"Little is known of {', '.join(broad)} (posterior sd above {BROAD:g} on the log scale, or a scale near 0): "
        "a normal distribution may be far from the posterior, and effects that it governs too sure. Methods nuts and "
        "blocked make no such assumption.",
    )


def _weights(k: NDArray[np.float64], moved: NDArray[np.bool_], limit: float) -> Finding:
    usable = k[~moved]
    text = f"The importance weights of {usable.size} genes are used (k-hat up to {limit:.2f} can be"
    text += f"; the largest is {usable.max():.2f})" if usable.size else ")"
    number = int(moved.sum())
    sampled = "1 gene with unusable ones was" if number == 1 else f"{number} genes with unusable ones were"
    text += f"; {sampled} sampled by Markov chains." if number else "."
    return Finding(0, text)


def _genes(status: NDArray[np.str_], limits: Limits) -> Finding:
    if not status.size:
        return Finding(2, "No gene has a count: there is nothing to estimate.")
    failed = {name: int(np.count_nonzero(status == name)) for name in ("high_rhat", "low_ess", "not_finite")}
    share = sum(failed.values()) / status.size
    parts = [f"{count} {name}" for name, count in failed.items() if count]
    text = f"{100 * (1 - share):.4g} % of the {status.size} genes with counts have enough effective draws"
    text += f" ({', '.join(parts)})." if parts else "."
    outlying = int(np.count_nonzero(status == "outlier"))
    if outlying:
        text += f" {outlying} {'has' if outlying == 1 else 'have'} a count far outside what the model predicts."
    return Finding(2 if share > limits.failed_worst else int(share > limits.failed_care), text)
