"""Figures of one contrast: what changed, by how much, and how sure that is.

Where genes are coloured by their local false sign rate, a lighter colour is a less sure sign, in grey print as well;
triangles are the genes that are called. See :mod:`bayesexpr.plots` for what all figures keep to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from bayesexpr.drawing import (
    BLUE,
    GREEN,
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
from bayesexpr.posterior.variance_split import ASSIGNMENT, PARTS

LFSR_LIMITS = (0.001, 0.01, 0.05, 0.2)
LFSR_COLORS = ("#4B1D52", "#B5332E", "#E58A1F", "#E9CF9C", "#C6C6C6")
"""Colours of genes with an lfsr below each of the limits, and of the rest: from dark (sure) to light."""


def plot_ma(table: pd.DataFrame, *, level: float = 0.05, label: int = 8, ax: Axes | None = None) -> Axes:
    """Effect against mean count: posterior mean log2 fold change of every gene, coloured by its lfsr.

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
    _lfsr_clouds(ax, x, y, shown["lfsr"].to_numpy(), called, y > 0, level)
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

    Genes are coloured by their lfsr.

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
    _lfsr_clouds(ax, x, height, shown["lfsr"].to_numpy(), called, x > 0, level)
    ax.axvline(0, color=INK, linewidth=0.8)
    rows = _largest(np.abs(x), called, label)
    write_apart(ax, shown["gene"].to_numpy()[rows], x[rows], height[rows])
    words = {"svalue": "s-value", "qvalue": "q-value"}.get(y, y)
    finish(ax, "log2 fold change (posterior mean)", f"-log10 {words}")
    legend(ax, above=True)
    return ax


def plot_top_genes(
    table: pd.DataFrame,
    counts: pd.DataFrame,
    groups: Sequence[str] | None = None,
    *,
    replicates: Mapping[str, ArrayLike] | None = None,
    axes: Sequence[Axes] | None = None,
) -> NDArray[Any]:
    """Normalised counts of some genes, over what the fit predicts for them, beside their posterior effects.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `bayesexpr.names.RESULT_COLUMNS` of the genes to show, from top to bottom.
    counts : pandas.DataFrame
        Normalised counts, samples x genes, with a column for each of these genes.
    groups : sequence of str, optional
        Group of every sample.
    replicates : mapping of gene to array [draw, sample], optional
        Normalised counts replicated from the fit; 90 % of those of a group are a bar behind its counts.
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
        for place, gene in zip(places, table["gene"], strict=True):
            if replicates is not None and gene in replicates:
                low, high = np.quantile(np.asarray(replicates[gene], dtype=float)[:, members], (0.05, 0.95)) + 0.5
                left.hlines(place + shift, low, high, color=GROUPS[number % len(GROUPS)], alpha=0.25, linewidth=6)
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


def plot_intervals(
    table: pd.DataFrame, *, interval: float = 0.95, threshold: float | None = None, ax: Axes | None = None
) -> Axes:
    """Posterior intervals of many genes, in the order of their estimates: how sure each change is, and how many are.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `bayesexpr.names.RESULT_COLUMNS` of the genes to show; those without an answer are left out.
    interval : float
        Probability inside ``ci_lower`` to ``ci_upper``, for the label.
    threshold : float, optional
        A log2 fold change to mark on both sides.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes()
    shown = _answered(table).sort_values("log2FoldChange", kind="stable")
    y, place = shown["log2FoldChange"].to_numpy(), np.arange(len(shown))
    many = len(shown) > MANY
    low, high = shown["ci_lower"].to_numpy(), shown["ci_upper"].to_numpy()
    bands = np.digitize(shown["lfsr"].to_numpy(), LFSR_LIMITS)
    for band in range(len(LFSR_COLORS)):
        pick = bands == band
        ax.vlines(place[pick], low[pick], high[pick], color=LFSR_COLORS[band], linewidth=1.0, rasterized=many)
        if pick.any():
            ax.plot([], [], color=LFSR_COLORS[band], linewidth=2, label=_lfsr_words(band))
    ax.plot(place, y, color=INK, linewidth=1.2, label="posterior mean")
    ax.axhline(0, color=INK, linewidth=0.8)
    for mark in () if threshold is None else (-threshold, threshold):
        ax.axhline(mark, color=INK, linewidth=0.8, linestyle=":")
    finish(ax, "gene, by its estimate", f"log2 fold change ({100 * interval:g} % interval)")
    legend(ax, above=True)
    return ax


_PART_LOOKS = dict(zip(PARTS, zip((GREEN, ORANGE, SKY, VERMILLION), ("", "xx", "//", ".."), strict=True), strict=True))


def plot_variance_split(mean: ArrayLike, split: pd.DataFrame, *, bins: int = 24, ax: Axes | None = None) -> Axes:
    """Draw what makes log fold changes unsure, against the mean count: shares of the variance, medians over genes.

    A part that is known of no gene (read assignment, without inferential replicates) is named as such in the legend.

    Parameters
    ----------
    mean : array [gene]
        Mean normalised count.
    split : pandas.DataFrame
        Of :meth:`bayesexpr.DEFit.variance_split`, in the order of `mean`.
    bins : int
        Groups of genes of like mean, equally many in each.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes()
    parts = [name for name in PARTS if split[name].notna().any()]
    x = np.asarray(mean, dtype=float)
    total = split[parts].sum(axis=1).to_numpy()
    keep = np.flatnonzero((x > 0) & (total > 0))
    order = keep[np.argsort(x[keep], kind="stable")]
    groups = np.array_split(order, max(1, min(bins, len(order) // 5))) if len(order) else []
    middle = np.array([np.median(x[g]) for g in groups])
    shares = split[parts].to_numpy() / np.where(total > 0, total, 1.0)[:, None]
    medians = np.array([np.median(shares[g], axis=0) for g in groups]).reshape(len(groups), len(parts))
    medians /= np.maximum(medians.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    floor = np.zeros(len(groups))
    for number, name in enumerate(parts):
        top, (color, hatch) = floor + medians[:, number], _PART_LOOKS[name]
        ax.fill_between(
            middle, floor, top, facecolor=color, edgecolor="white", hatch=hatch, label=name.replace("_", " "),
            linewidth=0.0,
        )  # fmt: skip
        floor = top
    if ASSIGNMENT not in parts:
        ax.plot([], [], linestyle="none", label="read assignment: not known")
    log_axis(ax, "x")
    ax.set_ylim(0, 1)
    finish(ax, "mean of normalised counts", "share of the variance of a log fold change")
    legend(ax, above=True)
    return ax


def _answered(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["lfsr"].notna() & (table["baseMean"] > 0)]


def _lfsr_words(band: int) -> str:
    return f"lfsr < {LFSR_LIMITS[band]:g}" if band < len(LFSR_LIMITS) else "unsure of sign"


def _lfsr_clouds(
    ax: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    lfsr: NDArray[np.float64],
    called: NDArray[np.bool_],
    up: NDArray[np.bool_],
    level: float,
) -> None:
    """Scatter genes, the unsure ones first: colour by lfsr, shape by whether and how they are called."""
    bands = np.digitize(lfsr, LFSR_LIMITS)
    for band in reversed(range(len(LFSR_COLORS))):
        pick, color = bands == band, LFSR_COLORS[band]
        cloud(ax, x[pick & ~called], y[pick & ~called], color, "", "o", 4)
        cloud(ax, x[pick & called & up], y[pick & called & up], color, "", "^", 14)
        cloud(ax, x[pick & called & ~up], y[pick & called & ~up], color, "", "v", 14)
    for marker, pick, words in (("^", called & up, "up"), ("v", called & ~up, "down")):
        ax.scatter([], [], s=14, c=INK, marker=marker, label=f"{words}, q < {level:g} ({pick.sum()})")
    for band, color in enumerate(LFSR_COLORS):
        ax.scatter([], [], s=14, c=color, marker="s", label=_lfsr_words(band))


def _largest(size: NDArray[np.float64], eligible: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    chosen = np.flatnonzero(eligible)
    return chosen[np.argsort(-size[chosen], kind="stable")[:count]]
