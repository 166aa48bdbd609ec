"""Figures: they draw into the axes given, return them, and show what the numbers say."""

from __future__ import annotations

import fake_calibration as fake
import matplotlib
import numpy as np
import pytest

from bayesexpr.calibration.backend import FunctionBackend
from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.calibration.plots import plot_coverage, plot_ecdf, plot_estimates, plot_ranks

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RANKS = np.random.default_rng(1).integers(0, 100, 200)


@pytest.fixture(autouse=True)
def _close_figures() -> object:
    yield
    plt.close("all")


@pytest.mark.parametrize("plot", [plot_ecdf, plot_ranks, plot_coverage])
def test_plots_draw_into_the_axes_given_or_new_ones(plot: object) -> None:
    _, ax = plt.subplots()
    assert plot(RANKS, L=99, title="beta", ax=ax) is ax  # type: ignore[operator]
    assert "beta" in ax.get_title()
    assert ax.get_xlabel()
    assert plot(RANKS, L=99) is not ax  # type: ignore[operator]


def test_the_ecdf_leaves_its_band_where_the_test_alarms() -> None:
    calm, alarm = plot_ecdf(RANKS, L=99), plot_ecdf(RANKS // 2, L=99)
    assert calm.lines[0].get_color() != alarm.lines[0].get_color()
    assert "p = " in calm.get_title()


def test_an_alarm_is_a_colour_of_its_own() -> None:
    colors = {plot_ecdf(RANKS, L=99, alarm=alarm).lines[0].get_color() for alarm in (True, False)}
    assert len(colors) == 2
    assert plot_ecdf(RANKS // 2, L=99, alarm=False).lines[0].get_color() in colors


def test_a_campaign_draws_all_its_quantities_side_by_side() -> None:
    found = run_campaign(fake.SCENARIO, FunctionBackend(fake.prior_only), simulations=30, replicate=False)
    axes = found.plot_ecdfs()
    assert [ax.get_title() for ax in axes] == list(found.ordered)
    assert set(found.ordered) == set(found.table.names)
    own = plt.subplots(1, 1)[1]
    assert found.plot_ecdfs(["mu"], axes=[own])[0] is own


def test_a_histogram_has_bins_of_equal_width() -> None:
    """20 bins of 5 for L = 99; L = 96 has 97 ranks, a prime: one bin rather than uneven ones."""
    assert len(plot_ranks(RANKS, L=99).patches) == 20 + 1  # the band is a patch, too
    assert len(plot_ranks(np.minimum(RANKS, 96), L=96).patches) == 1 + 1


def test_estimates_against_truth() -> None:
    rng = np.random.default_rng(2)
    ax = plot_estimates(rng.normal(size=20), rng.normal(size=20), np.ones(20), title="mu")
    assert ax.get_title() == "mu"


def test_a_campaign_draws_its_weakest_quantity() -> None:
    found = run_campaign(fake.SCENARIO, FunctionBackend(fake.prior_only), simulations=30, replicate=False)
    assert found.weakest == "log_lik"
    assert "log_lik" in found.plot_ecdf().get_title()
    for plot in (found.plot_ranks, found.plot_coverage, found.plot_estimates):
        assert plot("mu").get_title() == "mu"
    assert list(found.coverage("mu")["kind"].unique()) == ["central", "leftmost"]
