"""Figures of a differential-expression analysis.

Every function draws on the axes it is given, or on a new figure that no global state knows of, and returns the axes:
``ax.figure.savefig(...)`` keeps it. Colours are those of Okabe and Ito, told apart by all common forms of colour
vision; large clouds of points are rasterised, so that a vector file stays small. Names are drawn as plain text.
Figures of a contrast are in :mod:`bayesexpr.effect_plots`, those of chains, which ArviZ draws, in
:mod:`bayesexpr.chain_plots`; both can be had from here as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from bayesexpr.chain_plots import plot_energy, plot_forest, plot_rank, plot_trace
from bayesexpr.drawing import (
    BLUE,
    GROUPS,
    MARKERS,
    ORANGE,
    VERMILLION,
    cloud,
    finish,
    group_members,
    legend,
    log_axis,
    new_axes,
    plain,
    tick_names,
    write_apart,
)
from bayesexpr.effect_plots import (
    plot_intervals,
    plot_ma,
    plot_prob_curve,
    plot_top_genes,
    plot_truth,
    plot_variance_split,
    plot_volcano,
)

__all__ = [
    "new_axes",
    "plot_diagnostics",
    "plot_dispersion",
    "plot_energy",
    "plot_forest",
    "plot_intervals",
    "plot_library_sizes",
    "plot_ma",
    "plot_pca",
    "plot_prob_curve",
    "plot_rank",
    "plot_top_genes",
    "plot_trace",
    "plot_truth",
    "plot_variance_split",
    "plot_volcano",
]


def plot_dispersion(
    mean: ArrayLike,
    dispersion: ArrayLike,
    trend: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Dispersion against mean count of every gene, with the learned trend.

    Parameters
    ----------
    mean, dispersion : arrays [gene]
        Mean normalised count and posterior mean of 1 / phi.
    trend : (mean, dispersion), optional
        Points of the trend line, in the order of the means.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes()
    x, y = np.asarray(mean, dtype=float), np.asarray(dispersion, dtype=float)
    keep = (x > 0) & (y > 0)
    cloud(ax, x[keep], y[keep], BLUE, "genes", "o", 4)
    if trend is not None:
        ax.plot(np.asarray(trend[0]), np.asarray(trend[1]), color=VERMILLION, linewidth=2, label="trend")
    log_axis(ax, "x")
    log_axis(ax, "y")
    finish(ax, "mean of normalised counts", "dispersion (1 / phi, posterior mean)")
    legend(ax, above=True)
    return ax


def plot_diagnostics(
    rhat: ArrayLike,
    ess: ArrayLike,
    *,
    rhat_limit: float | tuple[ArrayLike, ArrayLike] | None = None,
    min_ess: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """R-hat against effective draws, one point for each gene, with the limits as lines.

    Parameters
    ----------
    rhat, ess : arrays [gene]
    rhat_limit : float or (ess, limit), optional
        One limit, or the limit at each number of effective draws (`bayesexpr.posterior.verdict.rhat_limit_curve`).
    min_ess : float, optional
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes()
    x, y = np.asarray(ess, dtype=float), np.asarray(rhat, dtype=float)
    keep = np.isfinite(x) & np.isfinite(y)
    cloud(ax, x[keep], y[keep], BLUE, f"{int(keep.sum())} genes", "o", 4)
    if isinstance(rhat_limit, tuple):
        ax.plot(*map(np.asarray, rhat_limit), color=VERMILLION, linestyle="--", linewidth=1.2, label="limit of R-hat")
    elif rhat_limit is not None:
        ax.axhline(rhat_limit, color=VERMILLION, linestyle="--", linewidth=1.2, label=f"R-hat {rhat_limit:.3g}")
    if min_ess is not None:
        ax.axvline(min_ess, color=ORANGE, linestyle=":", linewidth=1.6, label=f"ESS {min_ess:.0f}")
    ax.set_xlim(left=0)
    finish(ax, "effective draws (smaller of bulk and tail)", "R-hat (rank-normalised, split)")
    legend(ax, above=True)
    return ax


def plot_library_sizes(
    samples: Sequence[str], totals: ArrayLike, groups: Sequence[str] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Total counts of every sample, in millions, coloured by group."""
    millions = np.asarray(totals, dtype=float) / 1e6
    ax = ax or new_axes(5.2, 1.2 + 0.26 * len(millions))
    places = np.arange(len(millions))
    for number, (group, members) in enumerate(group_members(groups, len(millions))):
        bars = ax.barh(
            places[members], millions[members], color=GROUPS[number % len(GROUPS)], label=plain(group) or "samples"
        )
        for bar in bars:
            bar.set_hatch(("", "//", "..", "xx", "\\\\", "oo")[number % 6])
            bar.set_edgecolor("white")
    tick_names(ax, places, samples)
    ax.invert_yaxis()
    finish(ax, "library size (million counts)", "")
    if groups is not None:
        legend(ax, above=True)
    return ax


def plot_pca(
    log_counts: ArrayLike, samples: Sequence[str], groups: Sequence[str] | None = None, *, ax: Axes | None = None
) -> Axes:
    """First two principal components of normalised log counts ``[sample, gene]``, with the variance of each."""
    ax = ax or new_axes()
    values = np.asarray(log_counts, dtype=float)
    left, singular, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    share = singular**2 / max(float((singular**2).sum()), np.finfo(float).tiny)
    score = np.zeros((len(values), 2))
    score[:, : min(2, left.shape[1])] = (left * singular)[:, :2]
    for number, (group, members) in enumerate(group_members(groups, len(values))):
        ax.scatter(
            score[members, 0],
            score[members, 1],
            color=GROUPS[number % len(GROUPS)],
            marker=MARKERS[number % len(MARKERS)],
            s=44,
            label=plain(group) or "samples",
        )
    ax.margins(0.18)
    write_apart(ax, samples, score[:, 0], score[:, 1])
    parts = [100 * share[i] if i < len(share) else 0.0 for i in (0, 1)]
    finish(ax, f"component 1 ({parts[0]:.0f} % of variance)", f"component 2 ({parts[1]:.0f} % of variance)")
    if groups is not None:
        legend(ax, marker_scale=1)
    return ax
