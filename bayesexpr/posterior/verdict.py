"""Whether a fit can be trusted, gene by gene and as a whole, in words.

R-hat is held against what the largest of so many sound values would be at that effective sample size
(`bayesexpr.posterior.diagnostics.rhat_limit`), and never against less than 1.01; effective sample sizes against 100 per
chain. Divergences and E-BFMI belong to the whole fit: they say that a part of the posterior may not have been
visited. A tree depth at its limit costs time and is only noted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayesexpr.posterior.diagnostics import rhat_limit

Level = Literal["trustworthy", "use with care", "not trustworthy"]
LEVELS: tuple[Level, ...] = ("trustworthy", "use with care", "not trustworthy")

STATUS_WORDS = {
    "ok": "all diagnostics within their limits",
    "all_zero": "no count in any sample: nothing to estimate",
    "not_finite": "a draw of this gene is not a finite number",
    "high_rhat": "the chains disagree about this gene (R-hat above its limit)",
    "low_ess": "too few effective draws for this gene",
    "outlier": "one of its counts is far outside what the fitted model predicts",
}
"""Every status of a gene, in words; a gene has the first that holds, in the order all_zero to outlier."""


@dataclass(frozen=True)
class Limits:
    """Thresholds of the statuses and of the verdict.

    Attributes
    ----------
    rhat : float
        Least limit for R-hat; the limit grows with the number of quantities and as effective draws get fewer.
    ess_per_chain : float
        Fewest effective draws per chain, bulk and tail.
    ebfmi, ebfmi_worst : float
        Energy fraction of missing information below which to take care, and below which not to trust.
    divergent_share : float
        Share of divergent draws above which not to trust; any divergence asks for care.
    failed_care, failed_worst : float
        Share of answered genes that are neither ok nor only outlying, above which to take care, and not to trust.
    """

    rhat: float = 1.01
    ess_per_chain: float = 100.0
    ebfmi: float = 0.3
    ebfmi_worst: float = 0.2
    divergent_share: float = 0.01
    failed_care: float = 0.005
    failed_worst: float = 0.03


TOPICS = {
    "diagnostics": "Diagnostics",
    "prediction": "Predictive checks",
    "calibration": "Calibration of the program",
    "priors": "Sensitivity to the priors",
    "outliers": "Outlying counts",
    "truth": "Decisions against the known truth",
}
"""What findings are about, with its heading, in the order in which a report shows them."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    severity : int
        0 fine, 1 care, 2 not to be trusted.
    text : str
        A sentence with numbers.
    topic : str
        A key of `TOPICS`.
    """

    severity: int
    text: str
    topic: str = field(default="diagnostics", kw_only=True)


@dataclass(frozen=True)
class Verdict:
    """Whether the fit can be trusted.

    Attributes
    ----------
    level : str
        ``"trustworthy"``, ``"use with care"`` or ``"not trustworthy"``: the worst of the findings.
    findings : tuple of Finding
        Worst first.
    status_counts : dict
        Number of genes of every status.
    """

    level: Level
    findings: tuple[Finding, ...]
    status_counts: dict[str, int] = field(default_factory=dict)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words, the worst first."""
        return tuple(finding.text for finding in self.findings)

    @property
    def summary(self) -> str:
        """One line: the level and its weakest point."""
        weakest = self.findings[0].text if self.findings else "Nothing was looked at."
        head = self.level.capitalize()
        return (
            f"{head}. {weakest}"
            if self.findings and self.findings[0].severity
            else f"{head}. All diagnostics are within their limits."
        )

    @property
    def passed(self) -> bool:
        """False where the fit is not to be trusted."""
        return self.level != "not trustworthy"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "findings": [asdict(finding) for finding in self.findings], "summary": self.summary}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Verdict:
        """Read what :meth:`to_dict` wrote."""
        findings = tuple(
            Finding(int(one["severity"]), str(one["text"]), topic=str(one.get("topic", "diagnostics")))
            for one in plain["findings"]
        )
        return cls(plain["level"], findings, dict(plain["status_counts"]))


def gene_rhat_limit(
    n_genes: int, n_chains: int, n_draws: int, ess_bulk: ArrayLike, ess_tail: ArrayLike, limits: Limits | None = None
) -> NDArray[np.float64]:
    """Limit for each gene's R-hat ``[gene]``: by its own effective draws, at least the smallest number accepted."""
    limits = limits or Limits()
    ess = np.fmin(np.asarray(ess_bulk, dtype=np.float64), np.asarray(ess_tail, dtype=np.float64))
    ess = np.clip(np.nan_to_num(ess, nan=0.0), limits.ess_per_chain * n_chains, n_chains * n_draws)
    return np.maximum(limits.rhat, rhat_limit(n_genes, n_chains, ess))


def rhat_limit_curve(
    n_genes: int, n_chains: int, n_draws: int, limits: Limits | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Effective draws and the R-hat limit at each of them, as `gene_status` applies it: a line to draw."""
    limits = limits or Limits()
    ess = np.linspace(
        limits.ess_per_chain * n_chains, max(n_chains * n_draws, limits.ess_per_chain * n_chains + 1), 100
    )
    return ess, gene_rhat_limit(n_genes, n_chains, n_draws, ess, ess, limits)


def gene_status(
    *,
    all_zero: ArrayLike,
    rhat: ArrayLike,
    ess_bulk: ArrayLike,
    ess_tail: ArrayLike,
    n_chains: int,
    n_draws: int,
    outlier: ArrayLike | None = None,
    limits: Limits | None = None,
) -> NDArray[np.object_]:
    """Status of every gene.

    Parameters
    ----------
    all_zero : array [gene] of bool
        Genes without a count; their diagnostics may hold anything.
    rhat, ess_bulk, ess_tail : arrays [gene]
        Diagnostics of the gene's own quantities, the worst of them where there are several.
    n_chains, n_draws : int
        Chains, and draws in each.
    outlier : array [gene] of bool, optional
        Genes with an outlying count.
    limits : Limits, optional

    Returns
    -------
    array [gene] of str
        Keys of `STATUS_WORDS`.
    """
    limits = limits or Limits()
    zero = np.asarray(all_zero, dtype=bool)
    values = [np.asarray(a, dtype=np.float64) for a in (rhat, ess_bulk, ess_tail)]
    limit = gene_rhat_limit(int(np.count_nonzero(~zero)), n_chains, n_draws, values[1], values[2], limits)
    fewest = limits.ess_per_chain * n_chains
    status = np.full(zero.shape, "ok", dtype=object)
    if outlier is not None:
        status[np.asarray(outlier, dtype=bool)] = "outlier"
    with np.errstate(invalid="ignore"):
        status[(values[1] < fewest) | (values[2] < fewest)] = "low_ess"
        status[values[0] > limit] = "high_rhat"
    status[~np.isfinite(values[1] + values[2]) | np.isnan(values[0])] = "not_finite"
    status[zero] = "all_zero"
    return status


def judge(
    *,
    status: ArrayLike,
    hyperparameters: pd.DataFrame,
    divergences: int,
    ebfmi: ArrayLike | None,
    saturated: int,
    n_chains: int,
    n_draws: int,
    limits: Limits | None = None,
) -> Verdict:
    """Verdict on a fit.

    Parameters
    ----------
    status : array [gene] of str
        As `gene_status` gives them.
    hyperparameters : pandas.DataFrame
        Indexed by name, with columns ``rhat``, ``ess_bulk`` and ``ess_tail``: quantities that all genes depend on.
    divergences, saturated : int
        Numbers of kept draws that diverged, and that reached the largest tree.
    ebfmi : array [chain] or None
        None where the sampler has no energy that could tell.
    n_chains, n_draws : int
        Chains, and kept draws in each.
    limits : Limits, optional

    Returns
    -------
    Verdict
    """
    limits = limits or Limits()
    findings = [
        _shared_parameters(hyperparameters, n_chains, n_draws, limits),
        _genes(np.asarray(status, dtype=object), limits),
        _divergences(divergences, n_chains * n_draws, limits),
    ]
    if ebfmi is not None:
        findings.append(_energy(np.atleast_1d(np.asarray(ebfmi, dtype=np.float64)), limits))
    if saturated:
        findings.append(
            Finding(
                0, f"{saturated} of {n_chains * n_draws} draws reached the largest tree: slower, but not less correct."
            )
        )
    if n_chains < 4:
        findings.append(
            Finding(
                1,
                f"Only {_plural(n_chains, 'chain')}: with fewer than 4, disagreement between chains is easily missed.",
            )
        )
    findings.sort(key=lambda finding: -finding.severity)
    names, counts = np.unique(np.asarray(status, dtype=str), return_counts=True)
    return Verdict(
        level=LEVELS[findings[0].severity],
        findings=tuple(findings),
        status_counts={str(name): int(count) for name, count in zip(names, counts, strict=True)},
    )


def _shared_parameters(table: pd.DataFrame, n_chains: int, n_draws: int, limits: Limits) -> Finding:
    if table.empty:
        return Finding(0, "There are no parameters that genes share.")
    ess = np.fmin(table["ess_bulk"].to_numpy(float), table["ess_tail"].to_numpy(float))
    rhat = table["rhat"].to_numpy(float)
    broken = ~np.isfinite(rhat) | ~np.isfinite(ess)
    if broken.any():
        return Finding(
            2,
            f"{table.index[int(np.argmax(broken))]}, a parameter that all genes share, has draws that are not finite "
            "or chains that stood still.",
        )
    fewest = limits.ess_per_chain * n_chains
    limit = np.maximum(limits.rhat, rhat_limit(len(table), n_chains, np.clip(ess, fewest, n_chains * n_draws)))
    worst, scarce = int(np.argmax(rhat / limit)), int(np.argmin(ess))
    text = (
        f"Of the {_plural(len(table), 'parameter')} that all genes share, {table.index[worst]} mixes worst by R-hat "
        f"({_rhat_words(rhat[worst])}, limit {limit[worst]:.3f}) and {table.index[scarce]} has the fewest effective "
        f"draws ({ess[scarce]:.0f}, limit {fewest:.0f})."
    )
    if rhat[worst] > 1.0 + 3.0 * (limit[worst] - 1.0) or ess[scarce] < fewest / 4:
        return Finding(2, text)
    return Finding(int(rhat[worst] > limit[worst] or ess[scarce] < fewest), text)


def _genes(status: NDArray[np.object_], limits: Limits) -> Finding:
    answered = int(np.count_nonzero(status != "all_zero"))
    if not answered:
        return Finding(2, "No gene has a count: there is nothing to estimate.")
    failed = {name: int(np.count_nonzero(status == name)) for name in ("high_rhat", "low_ess", "not_finite")}
    share = sum(failed.values()) / answered
    outlying = int(np.count_nonzero(status == "outlier"))
    parts = [f"{count} {name}" for name, count in failed.items() if count]
    text = f"{100 * (1 - share):.4g} % of the {answered} genes with counts converged"
    text += f" ({', '.join(parts)})." if parts else "."
    if outlying:
        text += f" {_plural(outlying, 'gene has a count', 'genes have a count')} far outside what the model predicts."
    return Finding(2 if share > limits.failed_worst else int(share > limits.failed_care), text)


def _divergences(count: int, total: int, limits: Limits) -> Finding:
    if not count:
        return Finding(0, f"None of the {total} draws diverged.")
    text = (
        f"{count} of {total} draws diverged ({100 * count / total:.2g} %): "
        "a part of the posterior may not have been visited. A higher adapt_delta is the usual remedy."
    )
    return Finding(2 if count > limits.divergent_share * total else 1, text)


def _energy(ebfmi: NDArray[np.float64], limits: Limits) -> Finding:
    if not ebfmi.size or not np.isfinite(ebfmi).all():
        return Finding(1, "E-BFMI could not be computed.")
    lowest = float(ebfmi.min())
    if lowest >= limits.ebfmi:
        return Finding(0, f"The lowest E-BFMI of the chains is {lowest:.2f} (limit {limits.ebfmi:g}).")
    text = f"The E-BFMI of a chain is {lowest:.2f}, below {limits.ebfmi:g}: the posterior's tails are explored slowly."
    return Finding(2 if lowest < limits.ebfmi_worst else 1, text)


def _rhat_words(value: float) -> str:
    return f"{value:.3f}" if value < 10 else "over 10"


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
