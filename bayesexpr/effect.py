"""One contrast of a fit: its table, its decisions and its plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesexpr.data.design import Contrast, Design
from bayesexpr.data.lengths import log_offset
from bayesexpr.errors import InputError
from bayesexpr.names import from_log2
from bayesexpr.posterior.de_draws import contrast_values
from bayesexpr.posterior.decisions import Calls, calls
from bayesexpr.posterior.effects import ROPE, Effects, effect_table, exceedance, summarise_chunks
from bayesexpr.posterior.store import POSTERIOR, read_blocks, read_genes
from bayesexpr.posterior.variance_split import PARTS, fitted_means, pooled_excess, split_variance

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes

    from bayesexpr.de_fit import DEFit


@dataclass(frozen=True, eq=False)
class Effect:
    """What the posterior says of one contrast.

    Attributes
    ----------
    contrast
        The question.
    table
        One row per gene of the study, in input order; columns ``bayesexpr.names.RESULT_COLUMNS``, in log2.
    lfc_threshold, rope
        Changes in log2: of ``prob_gt``, and the largest that counts as none.
    ci
        Probability inside the intervals.
    unchanged
        Posterior mean of the share of genes whose tested effect is exactly zero; None without a spike.
    """

    contrast: Contrast
    table: pd.DataFrame
    lfc_threshold: float
    rope: float
    ci: float
    unchanged: float | None

    @property
    def name(self) -> str:
        """Name of the contrast, safe in a file name."""
        return self.contrast.name

    def calls(self, level: float = 0.05, rule: str = "qvalue") -> Calls:
        """Genes called changed, by ``qvalue`` (the false discovery rate of the list) or ``lfdr`` (of each gene)."""
        return calls(self.table["lfdr"].to_numpy(), level=level, rule=rule, unchanged=self.unchanged)

    def plot_ma(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Plot log2 fold change against mean normalised count."""
        from bayesexpr import plots

        return plots.plot_ma(self.table, ax=ax, **options)

    def plot_volcano(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Plot the evidence for a sign against log2 fold change."""
        from bayesexpr import plots

        return plots.plot_volcano(self.table, ax=ax, **options)

    def plot_intervals(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Plot the intervals of the called genes, in the order of their estimates."""
        from bayesexpr import plots

        called = self.table[self.calls().called]
        return plots.plot_intervals(called, interval=self.ci, threshold=self.lfc_threshold, ax=ax, **options)


def check_thresholds(lfc_threshold: float, rope: float | None, ci: float) -> None:
    """Refuse thresholds and intervals that mean nothing.

    Raises
    ------
    InputError
        A threshold is negative or no number, or `ci` is not between 0 and 1.
    """
    if not lfc_threshold >= 0 or (rope is not None and not rope >= 0) or not 0 < ci < 1:
        raise InputError(
            f"thresholds are at least 0 and ci lies between 0 and 1; lfc_threshold is {lfc_threshold}, "
            f"rope {rope}, ci {ci}."
        )


def compute_effect(
    posterior: Path,
    genes: pd.DataFrame,
    design: Design,
    projectors: Any,
    contrast: Contrast,
    *,
    lfc_threshold: float,
    rope: float | None,
    ci: float,
    unchanged: float | None,
    threads: int,
) -> Effect:
    """Go through the draws of all genes once and summarise a contrast.

    Parameters
    ----------
    posterior
        The zarr store.
    genes
        One row per gene of the study with ``gene, baseMean, dispersion, rhat, ess_bulk, ess_tail, status, fitted``.
    projectors
        [C, K, K] of the tested term's components.
    """
    tested = contrast.weights[design.tested_columns]
    other = contrast.weights[design.nuisance_columns]
    rope_natural = ROPE if rope is None else from_log2(rope)
    chunks = (
        (contrast_values(block, projectors, tested, other), _flat(block.probability))
        for block in read_blocks(posterior)
    )
    is_null = ~np.any(np.einsum("k,ckl->cl", tested, projectors), axis=1) & ~np.any(other)
    fitted = summarise_chunks(
        chunks,
        threshold=from_log2(lfc_threshold),
        rope=rope_natural,
        interval=ci,
        is_null=is_null,
        threads=threads,
    )
    table = effect_table(
        genes["gene"].to_numpy(),
        _spread(fitted, genes["fitted"].to_numpy()),
        base_mean=genes["baseMean"].to_numpy(),
        dispersion=genes["dispersion"].to_numpy(),
        rhat=genes["rhat"].to_numpy(),
        ess_bulk=genes["ess_bulk"].to_numpy(),
        ess_tail=genes["ess_tail"].to_numpy(),
        status=genes["status"].to_numpy(),
    )
    return Effect(contrast, table, lfc_threshold, float(rope_natural / np.log(2)), ci, unchanged)


def exceedance_curve(fit: DEFit, contrast: Contrast, genes: Any, thresholds: Any) -> Any:
    """P(|log2 fold change| > t), [threshold, gene], of the fitted genes at the places `genes`.

    Parameters
    ----------
    thresholds
        log2 fold changes.
    """
    design, projectors = fit.design, fit.projectors
    tested, other = contrast.weights[design.tested_columns], contrast.weights[design.nuisance_columns]
    block = read_genes(fit.folder / POSTERIOR, genes)
    values = contrast_values(block, projectors, tested, other)
    return exceedance(values, _flat(block.probability), from_log2(np.asarray(thresholds, dtype=float)))


def exceedance_of(fit: DEFit, effect: Effect, rows: pd.DataFrame) -> tuple[Any, Any, list[str]]:
    """Return thresholds (log2), P(|log2 fold change| > threshold) [threshold, gene] and genes, of rows of a table.

    There must be a row.
    """
    places = np.searchsorted(np.flatnonzero(fit.genes["fitted"].to_numpy()), rows.index.to_numpy())
    largest = float(rows["log2FoldChange"].abs().max())
    thresholds = np.linspace(0, max(2.0, 1.5 * largest), 60)
    return thresholds, exceedance_curve(fit, effect.contrast, places, thresholds), list(rows["gene"])


def variance_of(fit: DEFit, effect: Effect) -> pd.DataFrame:
    """Split the variance of every gene's log2 fold change; see :meth:`bayesexpr.DEFit.variance_split`."""
    import pandas as pd

    keep = fit.genes["fitted"].to_numpy()
    factors = fit.size_factors
    if fit.data.lengths is not None:
        factors = factors[:, None] * np.exp(log_offset(fit.data.lengths)[:, keep])
    draws = fit.posterior["posterior"]["log_f"].to_numpy()
    counts, unsure = fit.data.counts[:, keep], fit.data.assignment_variance
    matrix = np.column_stack([np.ones(len(fit.data.samples)), fit.design.matrix])  # every gene has its level
    parts = split_variance(
        fitted_means(counts, factors, matrix),
        fit.genes["dispersion"].to_numpy()[keep],
        matrix,
        np.append(0.0, effect.contrast.weights),
        draws.reshape(-1, draws.shape[-1]),
        None if unsure is None else pooled_excess(unsure[:, keep], counts),
    )
    table = pd.DataFrame(np.nan, index=pd.Index(fit.data.genes, name="gene"), columns=list(PARTS))
    table.loc[keep, list(PARTS)] = np.column_stack([parts[name] for name in PARTS])
    return table


def _flat(values: Any) -> Any:
    return values.reshape(-1, *values.shape[2:])


def _spread(fitted: Effects, where: Any) -> Effects:
    """Give the genes that were not fitted their place; what stands there is dropped by their status."""
    full = {}
    for name, values in vars(fitted).items():
        full[name] = np.full(len(where), np.nan)
        full[name][where] = values
    return Effects(**full)
