"""Figures that ArviZ draws: they show the chains they are given, take our axes, and leave names as text."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import xarray as xr
from fake_analysis import HOSTILE
from matplotlib.text import Text

from bayesexpr import plots
from bayesexpr.chain_plots import PANELS, flattened
from bayesexpr.drawing import new_figure

CHAINS, DRAWS = 4, 400
RNG = np.random.default_rng(1)


def draws(stuck: float = 0.0) -> xr.Dataset:
    """One scalar whose last chain is moved by `stuck`, and a vector named like genes."""
    scalar = RNG.normal(size=(CHAINS, DRAWS))
    scalar[-1] += stuck
    vector = RNG.normal(size=(CHAINS, DRAWS, 3)) + np.array([0.0, 2.0, 4.0])
    return xr.Dataset(
        {"mu": (("chain", "draw"), scalar), "beta": (("chain", "draw", "gene"), vector)},
        coords={"gene": ["$x_1$", HOSTILE[0], "基因"]},
    )


def test_elements_are_named_by_their_labels() -> None:
    given = draws()
    flat, names = flattened(given)
    assert names == ["mu", "beta[$x_1$]", f"beta[{HOSTILE[0]}]", "beta[基因]"]
    np.testing.assert_array_equal(flat["q3"], given["beta"][..., 2])
    assert flattened(given, 2)[1] == ["mu", "beta[$x_1$]"]
    assert flattened(given.drop_vars("gene"))[1][1] == "beta[0]"


def test_a_trace_is_the_chain() -> None:
    given = draws()
    panels = plots.plot_trace(given)
    assert len(panels) == 4
    lines = panels[0].lines
    assert len(lines) == CHAINS
    for line, chain in zip(lines, given["mu"].to_numpy(), strict=True):
        np.testing.assert_allclose(np.asarray(line.get_ydata()), chain)
    assert panels[0].get_xlabel() in ("", "draw")


def test_a_chain_that_saw_something_else_stands_apart_in_ranks() -> None:
    reach = []
    for stuck in (0.0, 1.0):
        ax = plots.plot_rank(draws(stuck))[0]
        lines = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines[:CHAINS]]
        reach.append(max(np.abs(line).max() for line in lines))
        assert not ax.collections  # no band and no test of ArviZ's
        assert not ax.texts
    assert reach[0] < 0.12
    assert reach[1] > 0.3


def test_of_many_quantities_the_worst_are_drawn() -> None:
    many = RNG.normal(size=(CHAINS, DRAWS, 40))
    many[0, :, 33] += 3
    given = xr.Dataset({"x": (("chain", "draw", "k"), many)})
    panels = plots.plot_rank(given)
    assert len(panels) == PANELS
    assert "x[33]" in [ax.get_title() for ax in panels]
    with pytest.raises(ValueError, match="one axes for each quantity"):
        plots.plot_trace(given, axes=list(panels))


def test_a_forest_has_means_and_both_intervals() -> None:
    given = draws()
    ax = plots.plot_forest(given[["beta"]], name="beta")
    ends = sorted(
        tuple(np.round(np.asarray(line.get_xdata(), dtype=float), 6)) for line in ax.lines if len(line.get_xdata()) == 2
    )
    values = given["beta"].to_numpy().reshape(-1, 3)
    wanted = [tuple(np.round(np.quantile(values[:, k], q), 6)) for k in range(3) for q in ([0.05, 0.95], [0.25, 0.75])]
    np.testing.assert_allclose(ends, sorted(wanted), atol=0.02)
    points = np.concatenate([c.get_offsets() for c in ax.collections])
    np.testing.assert_allclose(sorted(points[:, 0]), np.sort(values.mean(axis=0)), atol=1e-6)
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "beta[$x_1$]",
        f"beta[{HOSTILE[0]}"[:21] + "…",
        "beta[基因]",
    ]


def test_energy_of_slow_chains_is_wider_than_its_steps() -> None:
    slow = RNG.normal(size=(CHAINS, DRAWS)).cumsum(axis=1)
    ax = plots.plot_energy(slow)
    widths = [
        float(np.ptp(np.asarray(line.get_xdata(), dtype=float))) for line in ax.lines if len(line.get_xdata()) > 9
    ]
    assert widths[0] > 2 * widths[1]


def test_given_axes_are_used_names_are_text_and_pyplot_knows_nothing() -> None:
    axes = list(new_figure(6, 4).subplots(2, 2).flat)
    given = draws()
    for function in (plots.plot_trace, plots.plot_rank):
        assert list(function(given, axes=axes)) == axes
    for ax in axes:
        assert all(not text.get_parse_math() for text in (ax.title, *ax.get_yticklabels()) if "$" in text.get_text())
        assert isinstance(ax.title, Text)
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
