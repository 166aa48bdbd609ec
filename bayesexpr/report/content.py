"""What a report is made of: plain data, gathered by whoever ran the analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayesexpr.posterior.verdict import Verdict

if TYPE_CHECKING:
    import xarray as xr

    from bayesexpr.calibration.certificate import Certificate


@dataclass(frozen=True)
class ContrastContent:
    """One contrast of the report.

    Attributes
    ----------
    name : str
        Its short name.
    question : str
        What it compares, in words: "dex: trt against untrt".
    table : pandas.DataFrame
        Columns `bayesexpr.names.RESULT_COLUMNS`.
    rule : str
        The rule by which genes are called, in words; see `bayesexpr.posterior.decisions.Calls`.
    called : array [gene] of bool
        Rows of `table` that are called.
    expected_false : float
        Posterior expected number of called genes without a material change.
    lfc_threshold : float
        The t of ``prob_gt``, log2.
    rope : float
        Largest change that counts as none, log2.
    warning : str
        Why another rule should be thought of; empty for none.
    curve : (thresholds, probability, genes), optional
        P(|log2 fold change| > t) as ``[threshold, gene]`` for a few genes.
    truth : pandas.DataFrame, optional
        Columns ``gene`` and ``true_log2fc`` of a simulated study.
    variance : pandas.DataFrame, optional
        Rows as in `table`: what makes the change unsure; see :meth:`bayesexpr.DEFit.variance_split`.
    """

    name: str
    question: str
    table: pd.DataFrame
    rule: str
    called: NDArray[np.bool_]
    expected_false: float
    lfc_threshold: float
    rope: float
    warning: str = ""
    curve: tuple[ArrayLike, ArrayLike, Sequence[str]] | None = None
    truth: pd.DataFrame | None = None
    variance: pd.DataFrame | None = None


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report shows.

    Attributes
    ----------
    title, command, design : str
        The study, the command that made the run, and the design formula.
    contrasts : tuple of ContrastContent
    samples : pandas.DataFrame
        Indexed by sample, with the columns to show.
    library_sizes : array [sample]
        Total counts.
    groups : sequence of str, optional
        Group of every sample, for colours.
    normalised_counts : pandas.DataFrame
        Samples x genes, with at least the genes of `bayesexpr.report.top_genes`.
    replicates : mapping of gene to array [draw, sample]
        Normalised counts replicated from the fit, of some of these genes.
    log_counts : array [sample, gene], optional
        Normalised log counts for the principal components.
    verdict : Verdict
    diagnostics : mapping
        Label and value of everything that is to be listed beside the verdict.
    hyperparameters : pandas.DataFrame
        Indexed by name: summaries of the parameters that all genes share.
    rhat_limit : float or (ess, limit)
        Limit drawn beside the diagnostics of the genes: one, or one for each number of effective draws.
    min_ess : float
        Fewest effective draws of a gene.
    interval : float
        Probability of the intervals.
    energy : array [chain, draw], optional
    shared : xarray.Dataset, optional
        Draws [chain, draw, ...] of the parameters that all genes share, of several chains.
    dispersion_trend : (mean, dispersion), optional
        Points of the learned trend.
    provenance : mapping of mappings
        Headed lists: versions, seeds, digests, timings.
    warnings : tuple of str
        What the run warned of.
    certificate : Certificate, optional
        Of the checks, where the run was checked; its verdict takes in that of the diagnostics.
    """

    title: str
    command: str
    design: str
    contrasts: tuple[ContrastContent, ...]
    samples: pd.DataFrame
    library_sizes: ArrayLike
    normalised_counts: pd.DataFrame
    verdict: Verdict
    diagnostics: Mapping[str, object]
    hyperparameters: pd.DataFrame
    rhat_limit: float | tuple[ArrayLike, ArrayLike]
    min_ess: float
    interval: float = 0.95
    groups: Sequence[str] | None = None
    replicates: Mapping[str, ArrayLike] = field(default_factory=dict)
    log_counts: ArrayLike | None = None
    energy: ArrayLike | None = None
    shared: xr.Dataset | None = None
    dispersion_trend: tuple[ArrayLike, ArrayLike] | None = None
    provenance: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    certificate: Certificate | None = None


def top_genes(table: pd.DataFrame, called: ArrayLike, count: int = 12) -> pd.DataFrame:
    """Pick the rows to show first: called genes with the largest effects, then the surest of the others."""
    flags = np.asarray(called, dtype=bool)
    answered = table["lfdr"].notna().to_numpy()
    first, rest = np.flatnonzero(flags & answered), np.flatnonzero(~flags & answered)
    by_effect = np.argsort(-table["log2FoldChange"].abs().to_numpy()[first], kind="stable")
    by_sureness = np.argsort(table["lfdr"].to_numpy()[rest], kind="stable")
    return table.iloc[np.concatenate([first[by_effect], rest[by_sureness]])[:count]]
