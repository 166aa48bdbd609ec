"""Figures of chains and of parameters, drawn by ArviZ on axes of ours.

ArviZ draws energy, traces, ranks and forests; names are then made plain text, since it would read them as formulas.
Its bands around ranks are left out: the older ones keep the least extreme of the chains, the newer ones raise too many
alarms, and a band for independent draws is too narrow for a Markov chain in any case. R-hat judges instead. Ranks of
simulation-based calibration (:mod:`bayesexpr.calibration`) have exact bands of their own; so have predictive checks and
leave-one-out PIT (:mod:`bayesexpr.check_plots`), for ArviZ's need a log likelihood that leaves single counts of a gene
out by reweighting, which these models do not allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from bayesexpr.drawing import (
    BLUE,
    GROUPS,
    INK,
    SKY,
    VERMILLION,
    finish,
    legend,
    new_axes,
    new_figure,
    plain,
    tick_names,
)
from bayesexpr.posterior.diagnostics import convergence

if TYPE_CHECKING:
    import xarray as xr

PANELS, LINES = 12, 30
"""Most quantities of traces and ranks, and of a forest, unless they are named."""

_CHAINS = (BLUE, VERMILLION, *GROUPS[2:])


def plot_energy(energy: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Densities of the energy and of its steps: the second much narrower means slow exploration.

    Parameters
    ----------
    energy : array [chain, draw]
    ax : matplotlib.axes.Axes, optional
    """
    import xarray as xr

    ax = ax or new_axes()
    values = xr.DataArray(np.atleast_2d(np.asarray(energy, dtype=float)), dims=("chain", "draw"), name="energy")
    tree = xr.DataTree.from_dict({"sample_stats": values.to_dataset()})
    levels = xr.Dataset({"Energy": (("energy",), np.zeros(2))}, coords={"energy": ["marginal", "transition"]})
    panels = xr.DataArray(_objects([ax]), dims=("column",), coords={"column": ["energy"]})
    shown = _collection(levels.expand_dims(column=["energy"]), {"plot": panels}, ax, color=["energy"], color_=_ENERGY)
    _arviz().plot_energy(
        tree,
        kind="kde",
        plot_collection=shown,
        backend="matplotlib",
        visuals=_DENSITIES_ONLY,
    )
    for color, words in zip(_ENERGY, ("energy", "step of energy"), strict=True):
        ax.plot([], [], color=color, linewidth=2, label=words)
    ax.set_yticks([])
    finish(ax, "energy, centred (nats)", "density")
    legend(ax)
    return ax


_ENERGY = (SKY, VERMILLION)
_DENSITIES_ONLY = dict.fromkeys(("title", "legend", "bfmi_points", "ref_line", "ylabel", "remove_axis"), False)


def plot_trace(draws: xr.Dataset, *, axes: Sequence[Axes] | None = None) -> NDArray[Any]:
    """Value against draw of every quantity, a line for each chain.

    Parameters
    ----------
    draws : xarray.Dataset
        Variables [chain, draw, ...]; of many quantities, the twelve that mix worst by R-hat are drawn.
    axes : sequence of matplotlib.axes.Axes, optional
        One for each quantity.

    Returns
    -------
    array of axes
    """
    flat, names, panels = _panels(draws, axes)
    _arviz().plot_trace(
        _tree(flat), plot_collection=_by_variable(flat, panels), backend="matplotlib", visuals=_NO_TEXTS
    )
    return _finish_panels(names, panels, "draw")


def plot_rank(draws: xr.Dataset, *, axes: Sequence[Axes] | None = None) -> NDArray[Any]:
    """ECDF of every chain's ranks among all draws, less that of the uniform distribution.

    Chains that explore the same distribution wander about zero; one that lies above it stays at smaller values.

    Parameters
    ----------
    draws, axes
        As for :func:`plot_trace`.

    Returns
    -------
    array of axes
    """
    flat, names, panels = _panels(draws, axes)
    without = dict.fromkeys(("credible_interval", "xlabel", "title", "remove_axis"), False)
    shown = _by_variable(flat, panels)
    _arviz().plot_rank(_tree(flat), plot_collection=shown, backend="matplotlib", visuals=without)
    reach = max(0.05, *(float(np.abs(np.asarray(line.get_ydata())).max()) for ax in panels for line in ax.lines))
    for ax in panels:
        for mark in (*ax.collections, *ax.texts):  # of ArviZ's test, which cannot be turned off
            mark.remove()
        ax.axhline(0, color=INK, linewidth=0.6)
        ax.set_ylim(-1.05 * reach, 1.05 * reach)
    return _finish_panels(names, panels, "rank / number of draws")


def plot_forest(draws: xr.Dataset, *, name: str = "", ax: Axes | None = None) -> Axes:
    """Posterior means with 50 % and 90 % intervals of the elements of a quantity, from top to bottom.

    Parameters
    ----------
    draws : xarray.Dataset
        Variables [chain, draw, ...], on one scale; the first thirty elements are drawn.
    name : str
        Of the quantity, for the axis.
    ax : matplotlib.axes.Axes, optional
    """
    import xarray as xr

    flat, names = flattened(draws, LINES)
    ax = ax or new_axes(5.2, 1.2 + 0.24 * len(flat))
    places = np.arange(len(flat))
    columns = xr.DataArray(_objects([ax, ax]), dims=("column",), coords={"column": ["labels", "forest"]})
    shown = _collection(flat.expand_dims(column=["labels", "forest"]), {"plot": columns}, ax, y=["__variable__"])
    shown.update_aes_from_dataset("y", xr.Dataset({key: ((), place) for key, place in zip(flat, places, strict=True)}))
    _arviz().plot_forest(
        _tree(flat),
        combined=True,
        labels=[],
        point_estimate="mean",
        ci_kind="eti",
        ci_probs=(0.5, 0.9),
        plot_collection=shown,
        backend="matplotlib",
        visuals={
            "twig": {"color": BLUE, "width": 1.4},
            "trunk": {"color": BLUE, "width": 3.6},
            "point_estimate": {"color": INK, "size": 22},
            "remove_axis": False,
            "ticklabels": False,
        },
    )
    tick_names(ax, places, names)
    ax.set_ylim(len(flat) - 0.4, -0.6)
    finish(ax, f"{plain(name)} (mean, 50 % and 90 % interval)".strip(), "")
    return ax


def flattened(draws: xr.Dataset, most: int | None = None) -> tuple[xr.Dataset, list[str]]:
    """Make every element a variable [chain, draw] of its own.

    Parameters
    ----------
    draws : xarray.Dataset
    most : int, optional
        Stop after so many.

    Returns
    -------
    elements : xarray.Dataset
        Numbered, since xarray's trees take no name with a slash in it.
    names : list of str
        Such as ``beta[gene1,0]``.
    """
    import xarray as xr

    found: list[NDArray[np.float64]] = []
    names: list[str] = []
    for name, values in draws.data_vars.items():
        inner = [dim for dim in values.dims if dim not in ("chain", "draw")]
        ordered = values.transpose("chain", "draw", *inner)
        for place in np.ndindex(*ordered.shape[2:]):
            if most is not None and len(found) >= most:
                break
            labels = (
                str(values[dim].values[k]) if dim in values.coords else str(k)
                for dim, k in zip(inner, place, strict=True)
            )
            names.append(f"{name}[{','.join(labels)}]" if inner else str(name))
            found.append(np.asarray(ordered[(..., *place)], dtype=float))
    coords = {name: np.arange(draws.sizes[name]) for name in ("chain", "draw")}
    return xr.Dataset({f"q{k}": (("chain", "draw"), values) for k, values in enumerate(found)}, coords=coords), names


_NO_TEXTS = dict.fromkeys(("xlabel", "title", "ticklabels", "divergence"), False)


def _panels(draws: xr.Dataset, axes: Sequence[Axes] | None) -> tuple[xr.Dataset, list[str], list[Axes]]:
    """Pick the quantities to draw, with their names, and an axes for each."""
    flat, names = flattened(draws)
    number = len(names) if axes is not None else min(len(names), PANELS)
    if number < len(names):
        rhat = convergence(np.stack([values.to_numpy() for values in flat.values()], axis=-1)).rhat
        worst = sorted(np.argsort(-np.nan_to_num(rhat, nan=np.inf), kind="stable")[:number])
        flat, names = flat[[f"q{k}" for k in worst]], [names[k] for k in worst]
    if axes is not None:
        if len(axes) != len(flat):
            raise ValueError(f"one axes for each quantity is needed: {len(flat)}; there are {len(axes)}.")
        return flat, names, list(axes)
    columns = min(4, number)
    rows = -(-number // columns)
    grid = new_figure(2.6 * columns, 0.4 + 1.7 * rows).subplots(rows, columns, squeeze=False)
    for ax in grid.flat[number:]:
        ax.set_visible(False)
    return flat, names, list(grid.flat[:number])


def _finish_panels(names: Sequence[str], panels: Sequence[Axes], x_label: str) -> NDArray[Any]:
    for name, ax in zip(names, panels, strict=True):
        for line in ax.lines:
            line.set_rasterized(True)
            line.set_linewidth(min(float(line.get_linewidth()), 0.9))
        place = ax.get_subplotspec()
        finish(ax, x_label if place is None or place.is_last_row() else "", "")
        ax.tick_params(labelsize=7)
        ax.xaxis.label.set_fontsize(8)
        ax.set_title(plain(name), fontsize=8, parse_math=False)
    return _objects(panels)


def _by_variable(flat: xr.Dataset, panels: Sequence[Axes]) -> Any:
    import xarray as xr

    plots = xr.Dataset({name: ((), _objects([ax])[0]) for name, ax in zip(flat, panels, strict=True)})
    return _collection(flat, {"/plot": plots}, panels[0], color=["chain"], overlay=["chain"], color_=_CHAINS)


def _collection(
    data: xr.Dataset, plots: Any, ax: Axes, *, color_: Sequence[str] | None = None, **aes: Sequence[str]
) -> Any:
    """Make what ArviZ keeps its axes in, of axes that are there already."""
    import xarray as xr

    figure = ax.figure
    assert isinstance(figure, Figure)
    root = xr.Dataset({"figure": ((), _objects([figure])[0])})
    if "/plot" in plots:
        tree = xr.DataTree.from_dict({"/": root, "/plot": plots["/plot"]})
    else:
        tree = xr.DataTree(root.assign(plots))
    cycles = {} if color_ is None else {"color": list(color_)}
    return _arviz().PlotCollection(data, tree, aes=aes, backend="matplotlib", **cycles)


def _arviz() -> Any:
    """Return ArviZ's plots, whose types differ between the versions that serve."""
    import arviz_plots

    return arviz_plots


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """Put objects into an array that NumPy does not look into."""
    made = np.empty(len(values), dtype=object)
    made[:] = list(values)
    return made


def _tree(flat: xr.Dataset) -> xr.DataTree:
    import xarray as xr

    return xr.DataTree.from_dict({"posterior": flat})
