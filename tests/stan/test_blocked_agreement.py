"""The blocked sampler against Stan's NUTS on the same posterior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bayesexpr as bx
from bayesexpr.data.counts import CountData
from bayesexpr.datasets import BUNDLED, DATASETS, simulate_bundled
from bayesexpr.de_fit import DEFit
from bayesexpr.posterior.diagnostics import convergence
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

CONTRAST = DATASETS[BUNDLED].contrast.split(",")
HYPER = ("mu_alpha", "sigma_alpha", "a0", "a1", "sigma_phi", "s")


@pytest.fixture(scope="module")
def both(toolchain: Toolchain) -> tuple[DEFit, DEFit]:
    """200 genes of the bundled study by NUTS and by blocks: 4 chains x 600 draws each, seed 3."""
    frames = simulate_bundled()
    counts = frames["counts"].iloc[:200]
    data = CountData(counts.to_numpy().T, tuple(counts.index), tuple(counts.columns), frames["samples"])
    settings = bx.DESettings(chains=4, warmup=200, draws=600, seed=3, cores=2)
    fits = [bx.fit_de(data, DATASETS[BUNDLED].design, method=m, settings=settings) for m in ("nuts", "blocked")]
    return fits[0], fits[1]


def apart(one: Any, two: Any) -> Any:
    """Difference of means in Monte Carlo standard errors, by the effective draws of each; [chain, draw, quantity]."""
    pieces = []
    for draws in (one, two):
        flat = np.asarray(draws, dtype=float).reshape(*draws.shape[:2], -1)
        pieces.append((flat.mean((0, 1)), flat.var((0, 1)) / convergence(flat).ess_bulk))
    (m1, v1), (m2, v2) = pieces
    return (m1 - m2) / np.sqrt(v1 + v2)


def test_the_posteriors_are_the_same(both: tuple[DEFit, DEFit]) -> None:
    """Hyperparameters, size factors and every gene's intercept, dispersion and effect: no mean is far, none leans."""
    nuts, blocked = (fit.posterior["posterior"] for fit in both)
    shared = [apart(np.asarray(nuts[n])[..., None], np.asarray(blocked[n])[..., None]) for n in HYPER]
    shared.append(apart(np.asarray(nuts["tau"]), np.asarray(blocked["tau"])))
    assert np.abs(np.concatenate(shared)).max() < 4
    for name in ("log_f", "alpha", "log_phi"):
        z = apart(np.asarray(nuts[name]), np.asarray(blocked[name]))
        assert np.abs(z).max() < 5, name
        assert 0.8 < z.std() < 1.3 or name == "log_f", name
        # the negative control: a shift by a quarter of a standard deviation would be seen
        shifted = np.asarray(blocked[name]) + 0.25 * np.asarray(blocked[name]).std(axis=(0, 1))
        assert np.abs(apart(np.asarray(nuts[name]), shifted)).max() > 5, name
    for name in (*HYPER, "tau", "alpha", "log_phi"):
        spread = np.asarray(nuts[name]).std((0, 1)) / np.asarray(blocked[name]).std((0, 1))
        assert np.abs(np.log(spread)).max() < 0.25, name


def test_the_tables_are_the_same(both: tuple[DEFit, DEFit]) -> None:
    """Within Monte Carlo error of some thousand draws; effects in units of their standard deviation.

    All genes lean together where the share of unchanged ones does, of which NUTS has some 700 effective draws: the
    standard error of a mean difference of lfsr is 0.002.
    """
    one, two = (fit.contrast(*CONTRAST).table for fit in both)
    known = one["status"] != "all_zero"
    for column, tolerance in (("log2FoldChange", 0.2), ("lfsr", 0.06), ("lfdr", 0.06), ("prob_gt", 0.06)):
        difference = (one[column] - two[column])[known].to_numpy(float)
        if column == "log2FoldChange":
            difference = difference / one["lfcSE"][known].to_numpy(float)
        assert np.abs(difference).max() < tolerance, column
        assert abs(difference.mean()) < tolerance / 10, column
    assert (two["status"][known] == "ok").mean() > 0.97
    assert both[1].record["method"] == "blocked"
    assert both[1].diagnostics["ebfmi"] is None
    assert both[1].diagnostics["divergences"] < 0.001 * both[1].diagnostics["iterations_watched"]
    assert both[1].verdict.level != "not trustworthy"


def test_each_kind_of_effect_is_served(toolchain: Toolchain) -> None:
    """Three groups (two tested columns, five components), lengths, a covariate; t and normal slabs; 30 genes."""
    import pandas as pd

    rng = np.random.default_rng(7)
    table = pd.DataFrame(
        {"group": list("aabbcc") * 2, "x": rng.normal(size=12).round(2)}, index=[f"s{k}" for k in range(12)]
    )
    counts = rng.negative_binomial(3, 0.02, (12, 30))
    lengths = rng.uniform(300, 3000, (12, 30))
    data = CountData(counts, tuple(f"g{k}" for k in range(30)), tuple(table.index), table, lengths)
    settings = bx.DESettings(chains=2, warmup=80, draws=100, seed=1, cores=2)
    for effects in ("spike_slab", "student_t", "normal"):
        fit = bx.fit_de(data, "~ x + group", method="blocked", options={"effects": effects}, settings=settings)
        found = fit.contrast("group", "c", "a").table
        assert np.isfinite(found["log2FoldChange"]).all()
        assert fit.diagnostics["max_rhat"] < 1.2
