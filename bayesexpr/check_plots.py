"""Figures of the checks of a fit; see :mod:`bayesexpr.plots` for what all figures share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from bayesexpr.drawing import (
    BLUE,
    GREY,
    INK,
    SKY,
    VERMILLION,
    finish,
    legend,
    log_axis,
    new_axes,
    plain,
    tick_names,
    write_apart,
)

_BAND = 0.99


def plot_ppc(
    counts: ArrayLike,
    replicated: ArrayLike,
    samples: Sequence[str],
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Observed counts of one gene over what the fitted model predicts, sample by sample.

    Parameters
    ----------
    counts : array [sample]
    replicated : array [draw, sample]
        Replicated counts.
    samples : sequence of str
    title : str
        Such as the gene's name.
    ax : matplotlib.axes.Axes, optional
    """
    y, drawn = np.asarray(counts, dtype=float), np.asarray(replicated, dtype=float)
    ax = ax or new_axes(5.2, 1.4 + 0.3 * len(y))
    places = np.arange(len(y))
    wide, narrow = np.quantile(drawn, [0.025, 0.975], axis=0), np.quantile(drawn, [0.25, 0.75], axis=0)
    ax.hlines(places, wide[0], wide[1], color=SKY, linewidth=3, label="95 % of replicates")
    ax.hlines(places, narrow[0], narrow[1], color=BLUE, linewidth=6, label="50 %")
    inside = (wide[0] <= y) & (y <= wide[1])
    for pick, color, words in ((inside, INK, "observed"), (~inside, VERMILLION, "observed, outside")):
        if pick.any():
            ax.plot(y[pick], places[pick], "o", color=color, markersize=5, label=words)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(left=min(0.0, float(y.min())))
    tick_names(ax, places, samples)
    ax.invert_yaxis()
    if title:
        ax.set_title(plain(title), fontsize=10, loc="left", parse_math=False)
    finish(ax, "count", "")
    legend(ax, above=not title, place="best", marker_scale=1)
    return ax


def plot_pit(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Histogram of the leave-one-out PIT: flat where the model is right.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``lower``, ``upper``, ``share`` and ``counts``, the number of counts in the bin.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes(4.6, 3.2)
    low, high, share = (table[name].to_numpy(float) for name in ("lower", "upper", "share"))
    total = float(table["counts"].sum())
    expected = high - low
    # of independent counts; those of a gene are not quite that
    half = 2.58 * np.sqrt(expected * (1 - expected) / max(total, 1.0)) / expected
    ax.fill_between(
        np.append(low, high[-1]),
        1 - np.append(half, half[-1]),
        1 + np.append(half, half[-1]),
        step="post",
        color=SKY,
        alpha=0.6,
        linewidth=0,
        label=f"{100 * _BAND:g} % of right models",
    )
    ax.bar(low, share / expected, width=expected, align="edge", color=BLUE, alpha=0.7, edgecolor="white")
    ax.axhline(1.0, color=INK, linewidth=0.8)
    ax.set_xlim(0, 1)
    finish(ax, "probability of a smaller count, given all others", "density")
    legend(ax, place="lower center")
    return ax


def plot_dispersion_check(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Dispersion by moments against mean count, observed and in replicated tables.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``mean_count``, ``observed``, ``median``, ``lower`` and ``upper``, one row per bin of genes.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes(4.6, 3.4)
    x = table["mean_count"].to_numpy(float)
    ax.fill_between(
        x, table["lower"], table["upper"], color=SKY, alpha=0.6, linewidth=0, label=f"{100 * _BAND:g} % of replicates"
    )
    ax.plot(x, table["median"], color=BLUE, linewidth=1.2, label="replicates")
    ax.plot(x, table["observed"], "o", color=VERMILLION, markersize=5, label="observed")
    log_axis(ax, "x")
    finish(ax, "mean of normalised counts", "dispersion by moments (median of genes)")
    legend(ax, above=True, marker_scale=1)
    return ax


def plot_samples(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """One test quantity of every sample over its replicates.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``sample``, ``quantity``, ``observed``, ``lower`` and ``upper``, of one quantity.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes(5.2, 1.2 + 0.26 * len(table))
    places = np.arange(len(table))
    ax.hlines(places, table["lower"], table["upper"], color=SKY, linewidth=5, label="95 % of replicates")
    ax.plot(table["observed"], places, "o", color=VERMILLION, markersize=5, label="observed")
    tick_names(ax, places, list(table["sample"]))
    ax.invert_yaxis()
    finish(ax, str(table["quantity"].iloc[0]), "")
    legend(ax, above=True, marker_scale=1)
    return ax


def plot_pareto_k(table: pd.DataFrame, threshold: float, *, ax: Axes | None = None) -> Axes:
    """Plot the number of observations by Pareto k-hat, with the largest that is to be trusted.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``lower``, ``upper`` and ``observations``.
    threshold : float
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes(4.6, 3.2)
    low, high = table["lower"].to_numpy(float), table["upper"].to_numpy(float)
    number = table["observations"].to_numpy(float)
    bad = low >= threshold - 1e-9
    for pick, color, words in ((~bad, BLUE, "reliable"), (bad, VERMILLION, "not reliable")):
        ax.bar(low[pick], number[pick], width=(high - low)[pick], align="edge", color=color, label=words)
    ax.axvline(threshold, color=GREY, linestyle="--", linewidth=1.2)
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(bottom=0)
    finish(ax, "Pareto k-hat", "observations")
    legend(ax, above=True, marker_scale=1)
    return ax


def plot_sensitivity(table: pd.DataFrame, threshold: float, *, ax: Axes | None = None) -> Axes:
    """Sensitivity to the strongest block of priors against sensitivity to the likelihood.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``quantity``, ``strongest`` (name of another column), that column, ``likelihood`` and ``diagnosis``.
    threshold : float
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes(4.8, 3.6)
    prior = np.array([float(row[row["strongest"]]) if row["strongest"] else 0.0 for _, row in table.iterrows()])
    likelihood = table["likelihood"].to_numpy(float) if "likelihood" in table else np.zeros(len(table))
    marked = table["diagnosis"].to_numpy() != ""
    for pick, color, words in ((~marked, BLUE, "no concern"), (marked, VERMILLION, "see the diagnosis")):
        if pick.any():
            ax.plot(likelihood[pick], prior[pick], "o", color=color, markersize=5, linestyle="none", label=words)
    for line in (ax.axhline, ax.axvline):
        line(threshold, color=GREY, linestyle="--", linewidth=1)
    write_apart(ax, table["quantity"].to_numpy()[marked], likelihood[marked], prior[marked])
    finish(ax, "sensitivity to the likelihood", "sensitivity to the strongest prior")
    legend(ax, above=True, marker_scale=1)
    return ax


def plot_prior_predictive(values: ArrayLike, name: str, *, ax: Axes | None = None) -> Axes:
    """Histogram of one quantity over data sets simulated from the prior, on a logarithmic axis where it spans decades.

    Parameters
    ----------
    values : array [simulation]
    name : str
        Label of the axis.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or new_axes(4.6, 3.0)
    shown = np.asarray(values, dtype=float)
    shown = shown[np.isfinite(shown)]
    wide = shown.size > 0 and shown.min() > 0 and shown.max() > 100 * shown.min()
    bins = np.geomspace(shown.min(), shown.max(), 31) if wide else np.histogram_bin_edges(shown, 30)
    ax.hist(shown, bins=list(bins), color=BLUE, alpha=0.8, edgecolor="white")
    if wide:
        ax.set_xscale("log")
    finish(ax, name, "simulated data sets")
    return ax
