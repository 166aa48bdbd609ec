"""Chains that start far apart, or know nothing of the posterior, end where the others do; both modes are visited."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import bayesexpr as bx
from bayesexpr.data.counts import CountData
from bayesexpr.data.design import build_design
from bayesexpr.datasets import BUNDLED, DATASETS, simulate_bundled
from bayesexpr.de import _factors, _model_data
from bayesexpr.de_fit import DEFit
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.posterior.diagnostics import convergence
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

Float = NDArray[np.float64]

DESIGN = DATASETS[BUNDLED].design
HYPER = ("mu_alpha", "sigma_alpha", "a0", "a1", "sigma_phi", "s")
GENES = 60

LOW, HIGH = np.array([20, 70, 35, 110]), np.array([40, 90, 160, 75])
TIMES = np.array([2, 3, 4, 5, 6, 8])
"""Counts of genes that either vary much or change: those of treated samples are so many times ``HIGH``."""


def planted_study() -> CountData:
    """60 genes of the bundled study, and six that either a large dispersion or a change explains."""
    frames = simulate_bundled()
    counts, table = frames["counts"].iloc[:GENES].to_numpy().T, frames["samples"]
    treated = (table["treatment"] == "treated").to_numpy()
    more = np.empty((8, len(TIMES)), dtype=np.int64)
    more[~treated], more[treated] = LOW[:, None], HIGH[:, None] * TIMES // 2
    names = tuple(f"g{k}" for k in range(GENES + len(TIMES)))
    return CountData(np.column_stack([counts, more]), names, tuple(frames["counts"].columns), table)


def fitted(method: str, starts: str, warmup: int) -> DEFit:
    settings = bx.DESettings(chains=4, warmup=warmup, draws=500, seed=1, cores=2, starts=starts)
    return bx.fit_de(planted_study(), DESIGN, method=method, settings=settings)


@pytest.fixture(scope="module")
def warm(toolchain: Toolchain) -> dict[str, DEFit]:
    return {method: fitted(method, "approximation", 200) for method in ("nuts", "blocked")}


def apart(one: Any, two: Any) -> Float:
    """Difference of means in Monte Carlo standard errors, by the effective draws of each; [chain, draw, ...]."""
    pieces = []
    for draws in (one, two):
        flat = np.asarray(draws, dtype=float).reshape(*np.shape(draws)[:2], -1)
        pieces.append((flat.mean((0, 1)), flat.var((0, 1)) / convergence(flat).ess_bulk))
    (m1, v1), (m2, v2) = pieces
    return np.asarray((m1 - m2) / np.sqrt(v1 + v2))


def assert_the_same(one: Any, two: Any) -> None:
    """Means of six hyperparameters and of all genes within five standard errors."""
    for name in (*HYPER, "alpha", "log_phi"):
        assert np.abs(apart(one[name], two[name])).max() < 5, name


@pytest.mark.parametrize("method", ["nuts", "blocked"])
def test_overdispersed_starts_are_forgotten(warm: dict[str, DEFit], method: str) -> None:
    far = fitted(method, "overdispersed", 400)
    assert far.record["settings"]["starts"] == "overdispersed"
    assert far.diagnostics["max_rhat"] < 1.05
    one, two = (fit.posterior["posterior"] for fit in (warm[method], far))
    assert_the_same(one, two)
    shifted = {name: np.asarray(two[name]) + 0.5 * np.asarray(two[name]).std((0, 1)) for name in (*HYPER, "alpha")}
    with pytest.raises(AssertionError):
        assert_the_same(one, shifted)  # negative control: half a standard deviation


def test_a_cold_run_agrees(warm: dict[str, DEFit]) -> None:
    """Stan's own random starts and warm-up, no whitening: the program as `bx.fit` runs it."""
    data, model = planted_study(), NegativeBinomialDE()
    inputs = _model_data(model, data, build_design(DESIGN, data.sample_table), _factors(data, "median_of_ratios"))
    cold = bx.fit(model.NAME, inputs, chains=4, warmup=700, draws=500, seed=2, cores=2)
    assert_the_same(warm["nuts"].posterior["posterior"], cold.posterior["posterior"])


def visits(probability: Float) -> tuple[Float, Float]:
    """Share of draws [chain] that explain a gene by a change, and how often each chain changed its mind."""
    changed = probability > 0.5
    return changed.mean(axis=1), (changed[:, 1:] != changed[:, :-1]).sum(axis=1)


def visits_both(probability: Float) -> bool:
    """Whether every chain [chain, draw] spends a part of its time in either mode, and often crosses."""
    share, crossings = visits(probability)
    return bool((share > 0.02).all() and (share < 0.98).all() and (crossings >= 10).all())


@pytest.mark.parametrize("method", ["nuts", "blocked"])
def test_bimodal_genes_are_visited_in_both_modes(warm: dict[str, DEFit], method: str) -> None:
    """Of six planted genes those that neither explanation wins are crossed by every chain, 500 draws each."""
    posterior = warm[method].posterior["posterior"]
    probability = np.asarray(posterior["probability"])[:, :, GENES:, 1].astype(float)
    dispersion = -np.asarray(posterior["log_phi"])[:, :, GENES:]
    doubtful = np.flatnonzero(np.abs(probability.mean(axis=(0, 1)) - 0.5) < 0.4)
    assert doubtful.size >= 2
    for g in doubtful:
        assert visits_both(probability[:, :, g]), probability[:, :, g].mean(axis=1)
        changed = probability[:, :, g] > 0.5
        # two explanations: without a change the same counts take a larger dispersion
        assert dispersion[:, :, g][~changed].mean() > dispersion[:, :, g][changed].mean() + 0.1
        stuck = np.sort(probability[:, :, g].ravel()).reshape(4, -1)
        assert not visits_both(stuck)  # negative control: each chain stays where it began
    two = [np.asarray(fit.posterior["posterior"]["probability"])[:, :, GENES:, 1] for fit in warm.values()]
    assert np.abs(two[0].mean(axis=(0, 1)) - two[1].mean(axis=(0, 1))).max() < 0.1


def test_what_the_sampler_chose_is_reported(warm: dict[str, DEFit]) -> None:
    """Step sizes, tree depths, leapfrog steps; how many iterations the count of divergences is of."""
    nuts, blocked = warm["nuts"], warm["blocked"]
    assert nuts.record["sampler"]["max_treedepth"] >= nuts.diagnostics["mean_tree_depth"] > 1
    assert nuts.diagnostics["leapfrogs_per_draw"] > 1
    for fit in (nuts, blocked):
        assert (np.asarray(fit.diagnostics["step_size"]) > 0).all()
        assert len(fit.diagnostics["step_size"]) == 4
    assert nuts.diagnostics["iterations"] == nuts.diagnostics["iterations_watched"] == 4 * 500
    assert blocked.diagnostics["iterations"] == blocked.diagnostics["iterations_watched"] == 4 * 4 * 500
    settings = bx.DESettings(chains=1, warmup=60, draws=40, thin=3, seed=1, cores=1)
    thinned = bx.fit_de(planted_study(), DESIGN, method="nuts", settings=settings).diagnostics
    assert (thinned["iterations"], thinned["iterations_watched"]) == (120, 40)
