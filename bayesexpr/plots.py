"""Figures of a differential-expression analysis.

Every function draws on the axes it is given, or on a new figure that no global state knows of, and returns the axes:
``ax.figure.savefig(...)`` keeps it. Colours are those of Okabe and Ito, told apart by all common forms of colour
vision; large clouds of points are rasterised, so that a vector file stays small. Names are drawn as plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from bayesexpr.drawing import (
    BLUE,
    GREY,
    GROUPS,
    INK,
    MANY,
    MARKERS,
    ORANGE,
    SKY,
    VERMILLION,
    cloud,
    finish,
    group_members,
    legend,
    log_axis,
    new_axes,
    new_figure,
    plain,
    tick_names,
    write_apart,
)


def plot_ma(table: pd.DataFrame, *, level: float = 0.05, label: int = 8, ax: Axes | None = None) -> Axes:
    """Effect against mean count: posterior mean log2 fold change of every gene, called genes in colour.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `bayesexpr.names.RESULT_COLUMNS`; genes without an answer are left out.
    level : float
        A gene is called where its q-value is below this.
    label : int
        How many of the called genes with the largest effects are named.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes()
    shown = _answered(table)
    called = shown["qvalue"].to_numpy() < level
    x, y = shown["baseMean"].to_numpy(), shown["log2FoldChange"].to_numpy()
    _called_clouds(ax, x, y, called, y > 0, level)
    ax.axhline(0, color=INK, linewidth=0.8)
    log_axis(ax, "x")
    rows = _largest(np.abs(y), called, label)
    write_apart(ax, shown["gene"].to_numpy()[rows], x[rows], y[rows])
    finish(ax, "mean of normalised counts", "log2 fold change (posterior mean)")
    legend(ax, above=True)
    return ax


def plot_volcano(
    table: pd.DataFrame, *, y: str = "svalue", level: float = 0.05, label: int = 8, ax: Axes | None = None
) -> Axes:
    """Sureness against effect: -log10 of an error rate against the posterior mean log2 fold change.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `bayesexpr.names.RESULT_COLUMNS`; genes without an answer are left out.
    y : {"svalue", "lfsr", "qvalue", "lfdr"}
        The error rate. None is ever 0; the top of the cloud is what the number of draws can resolve.
    level : float
        A gene is called where its q-value is below this.
    label : int
        How many called genes are named.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes()
    shown = _answered(table)
    called = shown["qvalue"].to_numpy() < level
    x, height = shown["log2FoldChange"].to_numpy(), -np.log10(shown[y].to_numpy())
    _called_clouds(ax, x, height, called, x > 0, level)
    ax.axvline(0, color=INK, linewidth=0.8)
    rows = _largest(np.abs(x), called, label)
    write_apart(ax, shown["gene"].to_numpy()[rows], x[rows], height[rows])
    words = {"svalue": "s-value", "qvalue": "q-value"}.get(y, y)
    finish(ax, "log2 fold change (posterior mean)", f"-log10 {words}")
    legend(ax, above=True)
    return ax


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


def plot_energy(energy: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Histograms of the energy and of its steps, ``[chain, draw]``: the second much narrower means slow exploration."""
    ax = ax or new_axes()
    values = np.atleast_2d(np.asarray(energy, dtype=float))
    level = (values - values.mean(axis=1, keepdims=True)).ravel()
    step = np.diff(values, axis=1).ravel()
    bins = np.linspace(min(level.min(), step.min()), max(level.max(), step.max()), 50)
    ax.hist(level, bins=list(bins), density=True, color=SKY, label="energy")
    ax.hist(
        step, bins=list(bins), density=True, histtype="step", linewidth=1.6, color=VERMILLION, label="step of energy"
    )
    ax.set_yticks([])
    finish(ax, "energy, centred (nats)", "density")
    legend(ax)
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


def plot_top_genes(
    table: pd.DataFrame,
    counts: pd.DataFrame,
    groups: Sequence[str] | None = None,
    *,
    axes: Sequence[Axes] | None = None,
) -> NDArray[Any]:
    """Normalised counts of some genes beside their posterior effects.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `bayesexpr.names.RESULT_COLUMNS` of the genes to show, from top to bottom.
    counts : pandas.DataFrame
        Normalised counts, samples x genes, with a column for each of these genes.
    groups : sequence of str, optional
        Group of every sample.
    axes : two matplotlib.axes.Axes, optional
        For the counts and for the effects.

    Returns
    -------
    array of two axes
    """
    if axes is None:
        figure = new_figure(7.4, 1.3 + 0.34 * len(table))
        axes = list(figure.subplots(1, 2, sharey=True, width_ratios=(1.1, 1)))
    left, right = axes
    places = np.arange(len(table))
    samples = group_members(groups, len(counts))
    for number, (group, members) in enumerate(samples):
        shift = 0.0 if len(samples) == 1 else 0.36 * (number / (len(samples) - 1) - 0.5)
        values = counts[list(table["gene"])].to_numpy(float)[members] + 0.5
        left.scatter(
            values.ravel(),
            np.tile(places + shift, len(values)),
            color=GROUPS[number % len(GROUPS)],
            marker=MARKERS[number % len(MARKERS)],
            s=18,
            alpha=0.85,
            linewidths=0,
            label=plain(group) or "samples",
        )
    log_axis(left, "x")
    tick_names(left, places, list(table["gene"]))
    left.set_ylim(len(table) - 0.4, -0.6)
    finish(left, "normalised count + 0.5", "")
    if groups is not None:
        legend(left, above=True)
    for mean, low, high, color, marker, shift, words in (
        ("log2FoldChange", "ci_lower", "ci_upper", INK, "o", -0.1, "averaged"),
        ("lfc_if_changed", "lfc_if_changed_lower", "lfc_if_changed_upper", VERMILLION, "D", 0.14, "if changed"),
    ):
        right.hlines(places + shift, table[low], table[high], color=color, linewidth=1.6)
        right.plot(table[mean], places + shift, marker, color=color, markersize=4.5, linestyle="none", label=words)
    right.axvline(0, color=GREY, linewidth=0.8)
    right.tick_params(labelleft=False)
    finish(right, "log2 fold change, with interval", "")
    legend(right, above=True, marker_scale=1)
    return np.array([left, right], dtype=object)


def plot_prob_curve(
    thresholds: ArrayLike, probability: ArrayLike, genes: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """P(|log2 fold change| > t) against t, one line for each gene.

    Parameters
    ----------
    thresholds : array [threshold]
        On the log2 scale.
    probability : array [threshold, gene]
    genes : sequence of str
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes()
    values = np.asarray(probability, dtype=float)
    styles = ("-", "--", ":", "-.")
    for number, name in enumerate(genes):
        ax.plot(
            np.asarray(thresholds),
            values[:, number],
            color=GROUPS[number % len(GROUPS)],
            linestyle=styles[number // len(GROUPS) % len(styles)],
            label=plain(name),
        )
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlim(left=0)
    finish(ax, "t (log2 fold change)", "P(|log2 fold change| > t)")
    legend(ax)
    return ax


def plot_truth(
    estimate: ArrayLike, lower: ArrayLike, upper: ArrayLike, truth: ArrayLike, *, ax: Axes | None = None
) -> Axes:
    """Posterior means and intervals against simulated truth (log2), with the share of intervals that hold it."""
    ax = ax or new_axes()
    y, low, high, x = (np.asarray(values, dtype=float) for values in (estimate, lower, upper, truth))
    keep = np.isfinite(y) & np.isfinite(x)
    y, low, high, x = y[keep], low[keep], high[keep], x[keep]
    held = (low <= x) & (x <= high)
    many = len(x) > MANY
    for pick, color, words in ((held, GREY, "holds the truth"), (~held, VERMILLION, "misses it")):
        ax.vlines(x[pick], low[pick], high[pick], color=color, linewidth=0.6, alpha=0.6, rasterized=many)
        cloud(ax, x[pick], y[pick], color if color != GREY else BLUE, f"{words} ({pick.sum()})", "o", 6)
    if len(x):
        ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
        ax.plot(ends, ends, color=INK, linewidth=0.8)
        ax.set_title(f"{100 * held.mean():.1f} % of {len(x)} intervals hold the truth", fontsize=10)
    finish(ax, "true log2 fold change", "log2 fold change (posterior mean, interval)")
    legend(ax, place="upper left")
    return ax


def _answered(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["lfsr"].notna() & (table["baseMean"] > 0)]


def _called_clouds(
    ax: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    called: NDArray[np.bool_],
    up: NDArray[np.bool_],
    level: float,
) -> None:
    cloud(ax, x[~called], y[~called], GREY, "not called", "o", 4)
    for pick, color, marker, words in ((called & up, VERMILLION, "^", "up"), (called & ~up, BLUE, "v", "down")):
        cloud(ax, x[pick], y[pick], color, f"{words}, q < {level:g} ({pick.sum()})", marker, 12)


def _largest(size: NDArray[np.float64], eligible: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    chosen = np.flatnonzero(eligible)
    return chosen[np.argsort(-size[chosen], kind="stable")[:count]]
