"""Figures of checks: each draws on the axes it is given, says its units and takes names as plain text."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from fake_analysis import HOSTILE
from matplotlib.axes import Axes

from bayesexpr import check_plots
from bayesexpr.drawing import new_axes

RNG = np.random.default_rng(0)
NAMES = list(HOSTILE)
LOW = np.linspace(0, 0.95, 20)
PIT = pd.DataFrame({"lower": LOW, "upper": LOW + 0.05, "share": 0.05, "counts": 100})
MEAN = np.geomspace(1, 1e4, 8)
TREND = pd.DataFrame({"mean_count": MEAN, "observed": 1 / MEAN, "median": 0.9 / MEAN, "lower": 0.0, "upper": 2 / MEAN})
ROWS = pd.DataFrame({"sample": NAMES, "quantity": "share of zeros", "observed": 0.2, "lower": 0.1, "upper": 0.3})
K = pd.DataFrame({"lower": [0.0, 0.5, 0.7], "upper": [0.5, 0.7, 1.0], "observations": [1000, 20, 0]})
PSENSE = pd.DataFrame(
    {
        "quantity": NAMES[:3],
        "slab": [0.01, 0.2, 0.0],
        "likelihood": [0.2, 0.3, 0.1],
        "strongest": ["slab", "slab", ""],
        "diagnosis": ["", "potential prior-data conflict", ""],
    }
)

FIGURES: dict[str, tuple[Callable[[Axes], Axes], str, str]] = {
    "ppc": (
        lambda ax: check_plots.plot_ppc([0, 5, 10_000], RNG.poisson(5, (200, 3)), NAMES[:3], title=HOSTILE[6], ax=ax),
        "count",
        "",
    ),
    "pit": (lambda ax: check_plots.plot_pit(PIT, ax=ax), "given all others", "density"),
    "trend": (lambda ax: check_plots.plot_dispersion_check(TREND, ax=ax), "normalised counts", "dispersion"),
    "samples": (lambda ax: check_plots.plot_samples(ROWS, ax=ax), "share of zeros", ""),
    "pareto": (lambda ax: check_plots.plot_pareto_k(K, 0.7, ax=ax), "k-hat", "observations"),
    "sensitivity": (lambda ax: check_plots.plot_sensitivity(PSENSE, 0.05, ax=ax), "likelihood", "prior"),
    "prior": (
        lambda ax: check_plots.plot_prior_predictive(RNG.lognormal(10, 3, 300), "largest library", ax=ax),
        "largest library",
        "simulated data sets",
    ),
}


@pytest.mark.filterwarnings("ignore:Glyph")  # the font of the test machine
@pytest.mark.parametrize("name", FIGURES)
def test_it_draws_where_it_is_told_and_says_what(name: str) -> None:
    draw, x, y = FIGURES[name]
    ax = new_axes()
    assert draw(ax) is ax
    assert x in ax.get_xlabel()
    assert y in ax.get_ylabel()
    ax.figure.savefig(io.BytesIO(), format="png")


def test_counts_outside_are_in_another_colour() -> None:
    ax = check_plots.plot_ppc([5, 500], np.full((100, 2), 5), ["a", "b"])
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "observed, outside"


def test_a_narrow_quantity_keeps_a_linear_axis() -> None:
    shares = np.linspace(0.1, 0.2, 50)
    assert check_plots.plot_prior_predictive(shares, "share of zeros").get_xscale() == "linear"
    same = check_plots.plot_prior_predictive(np.full(50, 3.0), "largest count")
    assert same.get_xscale() == "linear"
