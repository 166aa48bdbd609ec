"""Figures of calibration: each draws into `ax`, or into a new figure, and returns the axes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesexpr.drawing import new_axes, new_figure, plain

from .coverage import WIDTHS, clopper_pearson, coverage, interval_of_ranks
from .ranks import check_ranks
from .uniformity import band, uniformity_test

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .table import RankTable

_INK, _BAND, _ALARM = "#1b4965", "#bee3f0", "#c1121f"


def plot_ecdf(
    ranks: ArrayLike,
    *,
    L: int,
    alpha: float = 0.05,
    alarm: bool | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """ECDF of ranks minus that of the uniform distribution, with the exact simultaneous band.

    Parameters
    ----------
    ranks
        Whole numbers from 0 to L.
    alpha
        Probability that uniform ranks leave the band anywhere.
    alarm
        Whether to draw in the colour of alarms; by default where the ranks leave the band.
    """
    axes = ax or new_axes(4.2, 2.8)
    test = uniformity_test(ranks, L=L)
    raised = test.pvalue <= alpha if alarm is None else alarm
    limits = band(alpha, N=test.N, L=L)
    x = np.arange(1, L + 1) / (L + 1)
    lower, upper = limits.difference()
    axes.fill_between(x, lower, upper, step="mid", color=_BAND, linewidth=0, label=f"{1 - alpha:.0%} of uniform ranks")
    axes.step(x, test.difference, where="mid", color=_ALARM if raised else _INK, linewidth=1.2)
    axes.axhline(0, color="0.5", linewidth=0.6)
    axes.set(xlim=(0, 1), xlabel="rank / (L + 1)", ylabel="ECDF difference")
    axes.set_title(f"{title}  p = {test.pvalue:.2g}, N = {test.N}, L = {L}".strip(), fontsize="small")
    return axes


def plot_ecdfs(
    table: RankTable,
    names: Sequence[str],
    *,
    alarms: Collection[str] = (),
    columns: int = 4,
    axes: Sequence[Axes] | None = None,
) -> NDArray[Any]:
    """ECDF differences of several quantities side by side, on one scale, each with its own band.

    Parameters
    ----------
    table
        Ranks of a campaign.
    names
        Quantities to draw.
    alarms
        Those to draw in the colour of alarms.
    columns
        Panels in a row of a new figure.
    axes : sequence of matplotlib.axes.Axes, optional
        One for each name.
    """
    if axes is None:
        rows = -(-len(names) // columns)
        figure = new_figure(2.6 * columns, 0.5 + 1.9 * rows)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for ax in grid.flat[len(names) :]:
            ax.set_visible(False)
        axes = list(grid.flat[: len(names)])
    for ax, name in zip(axes, names, strict=True):
        plot_ecdf(table.ranks_of(name), L=table.L, alarm=name in alarms, ax=ax)
        ax.set_title(plain(name), fontsize="small", parse_math=False)
        ax.label_outer()
    return np.array(axes, dtype=object)


def plot_ranks(ranks: ArrayLike, *, L: int, bins: int = 20, title: str = "", ax: Axes | None = None) -> Axes:
    """Rank histogram with the pointwise 99 % range of each bin; to look at, never to judge by.

    Parameters
    ----------
    bins
        At most this many; the largest number that divides L + 1 is taken, so that bins are alike.
    """
    from scipy import stats

    axes = ax or new_axes(4.2, 2.8)
    values = check_ranks(ranks, L)
    count = max(b for b in range(1, bins + 1) if (L + 1) % b == 0)
    width = (L + 1) // count
    heights = np.bincount(values // width, minlength=count)
    low, high = stats.binom.ppf([0.005, 0.995], values.size, 1 / count)
    axes.axhspan(low, high, color=_BAND, linewidth=0)
    axes.axhline(values.size / count, color="0.5", linewidth=0.6)
    axes.bar(np.arange(count) * width, heights, width=width, align="edge", color=_INK, alpha=0.7, edgecolor="white")
    axes.set(xlim=(0, L + 1), xlabel=f"rank among {L} draws", ylabel="simulations")
    axes.set_title(title, fontsize="small")
    return axes


def plot_coverage(ranks: ArrayLike, *, L: int, title: str = "", ax: Axes | None = None) -> Axes:
    """Observed minus nominal coverage of central intervals of every width, with 95 % Clopper-Pearson intervals."""
    axes = ax or new_axes(4.2, 2.8)
    values = check_ranks(ranks, L)
    nominal, low, middle, high = [], [], [], []
    for out in range(1, L // 2 + 1):
        inside = int(np.count_nonzero((values >= out) & (values <= L - out)))
        lower, upper = clopper_pearson(inside, values.size)
        share = (L + 1 - 2 * out) / (L + 1)
        nominal.append(share)
        low.append(lower - share)
        middle.append(inside / values.size - share)
        high.append(upper - share)
    axes.fill_between(nominal, low, high, color=_BAND, linewidth=0)
    axes.plot(nominal, middle, color=_INK, linewidth=1.2)
    for width in WIDTHS:
        first, last = interval_of_ranks(L, width)
        if first <= last:
            found = coverage(values, L=L, width=width)
            axes.plot(found.nominal, found.observed - found.nominal, "o", color=_INK, markersize=3)
    axes.axhline(0, color="0.5", linewidth=0.6)
    axes.set(xlim=(0, 1), xlabel="nominal coverage", ylabel="observed - nominal")
    axes.set_title(title, fontsize="small")
    return axes


def plot_estimates(
    truth: ArrayLike, mean: ArrayLike, sd: ArrayLike, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Posterior mean with two posterior sds against the truth, one point per simulation."""
    axes = ax or new_axes(4.2, 2.8)
    t, m, s = (np.asarray(a, dtype=np.float64) for a in (truth, mean, sd))
    axes.errorbar(t, m, yerr=2 * s, fmt="o", color=_INK, ecolor=_BAND, markersize=2.5, elinewidth=0.8)
    ends = [float(min(t.min(), m.min())), float(max(t.max(), m.max()))]
    axes.plot(ends, ends, color="0.5", linewidth=0.6)
    axes.set(xlabel="truth", ylabel="posterior mean ± 2 sd")
    axes.set_title(title, fontsize="small")
    return axes
