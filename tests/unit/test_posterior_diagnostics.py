"""Diagnostics against arviz-stats, against theory, and against chains with planted faults."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayesexpr.posterior import diagnostics

CASES = [(4, 100), (2, 4), (2, 5), (3, 6), (4, 7), (4, 8), (3, 51), (2, 21), (4, 101), (1, 50), (4, 1000)]


def draws(kind: str, chains: int, n: int, quantities: int = 12) -> np.ndarray:
    rng = np.random.default_rng([chains, n, quantities])
    x = rng.normal(size=(chains, n, quantities))
    if kind == "slow":
        for t in range(1, n):
            x[:, t] = 0.9 * x[:, t - 1] + 0.44 * x[:, t]
    elif kind == "antithetic":
        for t in range(1, n):
            x[:, t] = -0.8 * x[:, t - 1] + 0.6 * x[:, t]
    elif kind == "ties":
        x = np.round(x)
    elif kind == "binary":
        x = (x > 1).astype(float)
    elif kind == "shifted":
        x = x + np.arange(chains)[:, None, None]
    return x


@pytest.mark.parametrize("kind", ["independent", "slow", "antithetic", "ties", "binary", "shifted"])
@pytest.mark.parametrize(("chains", "n"), CASES)
def test_equals_arviz(kind: str, chains: int, n: int) -> None:
    x = draws(kind, chains, n)
    moved = np.moveaxis(x, 2, 0)
    changing = np.ptp(x, axis=(0, 1)) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arviz divides by the zero spread of short chains with ties
        expected = {
            "rhat": array_stats.rhat(moved),
            "ess_bulk": array_stats.ess(moved, method="bulk"),
            "ess_tail": array_stats.ess(moved, method="tail", prob=(0.05, 0.95)),
        }
        mcse = array_stats.mcse(moved, method="mean")
    got = diagnostics.convergence(x)
    for name, value in expected.items():
        if name == "rhat" and chains == 1:
            continue  # arviz has none for one chain; ours compares its halves
        np.testing.assert_allclose(getattr(got, name)[changing], value[changing], rtol=1e-8, err_msg=name)
    np.testing.assert_allclose(diagnostics.mcse_mean(x)[changing], mcse[changing], rtol=1e-8)


def test_effective_draws_of_the_folded_form_are_those_of_distances_from_the_median() -> None:
    x = draws("slow", 4, 250)
    far = np.abs(x - np.median(x, axis=(0, 1)))
    np.testing.assert_allclose(diagnostics.ess_folded(x), array_stats.ess(np.moveaxis(far, 2, 0), method="bulk"))
    assert (diagnostics.ess_folded(x) > 1.2 * diagnostics.ess_bulk(x)).any()  # it is not the bulk's again


def test_single_functions_threads_and_precision_agree() -> None:
    x = draws("slow", 4, 250, 700).astype(np.float32)
    one = diagnostics.convergence(x)
    two = diagnostics.convergence(x, threads=2)
    for name, function in (("rhat", "rhat"), ("ess_bulk", "ess_bulk"), ("ess_tail", "ess_tail")):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        np.testing.assert_array_equal(getattr(one, name), getattr(diagnostics, function)(x))
    np.testing.assert_array_equal(one.rhat, diagnostics.rhat(x.astype(np.float64)))


def test_constant_quantity_has_nothing_to_mix() -> None:
    x = np.full((4, 100, 1), 3.7)
    got = diagnostics.convergence(x)
    assert got.rhat[0] == 1.0
    assert got.ess_bulk[0] == got.ess_tail[0] == 400


def test_chains_stuck_at_different_values_are_seen() -> None:
    x = np.repeat(np.arange(4.0), 100).reshape(4, 100, 1)
    assert diagnostics.rhat(x)[0] > 1e6
    assert diagnostics.ess_bulk(x)[0] < 10


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_spoils_its_own_quantity_only(bad: float) -> None:
    x = draws("independent", 4, 100, 3)
    clean = diagnostics.convergence(x)
    x[2, 50, 1] = bad
    got = diagnostics.convergence(x)
    for name in ("rhat", "ess_bulk", "ess_tail"):
        assert np.isnan(getattr(got, name)[1])
        np.testing.assert_array_equal(getattr(got, name)[[0, 2]], getattr(clean, name)[[0, 2]])


def test_too_few_draws_have_no_answer() -> None:
    assert np.isnan(diagnostics.rhat(np.zeros((4, 3, 2)))).all()


def test_spread_and_location_faults_are_both_seen() -> None:
    # seed 7, 4 x 1000 draws: one chain moved by 0.5 sd, or 1.5 times as wide (only the folded form sees it)
    rng = np.random.default_rng(7)
    moved, wide = rng.normal(size=(4, 1000, 1)), rng.normal(size=(4, 1000, 1))
    moved[0] += 0.5
    wide[0] *= 1.5
    limit = diagnostics.expected_max_rhat(1, 4, 1000)
    assert diagnostics.rhat(moved)[0] > limit
    assert diagnostics.rhat(wide)[0] > limit
    assert diagnostics.rhat(rng.normal(size=(4, 1000, 1)))[0] < limit


@pytest.mark.parametrize("autocorrelation", [0.0, 0.5])
def test_rhat_limit_holds_for_sound_chains(autocorrelation: float) -> None:
    # seed 11: 40 sets of 100 quantities, 4 x 400 draws. At 99 % more than 3 of 40 sets above the limit has
    # probability 7e-4; a fixed limit of 1.01 is exceeded by nearly all sets.
    rng = np.random.default_rng(11)
    x = rng.normal(size=(4, 400, 4000))
    for t in range(1, 400):
        x[:, t] = autocorrelation * x[:, t - 1] + np.sqrt(1 - autocorrelation**2) * x[:, t]
    got = diagnostics.convergence(x, threads=2)
    ess = np.minimum(got.ess_bulk, got.ess_tail)
    above = (got.rhat > diagnostics.rhat_limit(100, 4, ess)).reshape(40, 100).any(axis=1)
    assert above.sum() <= 3
    if autocorrelation:
        assert (got.rhat > 1.01).reshape(40, 100).any(axis=1).sum() > 35


def test_rhat_limit_grows_with_quantities_and_falls_with_draws() -> None:
    limits = [diagnostics.expected_max_rhat(n, 4, 1000) for n in (1, 100, 40_000)]
    assert limits == sorted(limits)
    assert diagnostics.expected_max_rhat(100, 4, 100) > diagnostics.expected_max_rhat(100, 4, 1000)


def test_energy_fraction() -> None:
    # seed 3: independent energies have E-BFMI 2 (variance of a difference over variance), a slow walk has nearly 0
    rng = np.random.default_rng(3)
    assert diagnostics.ebfmi(rng.normal(size=(2, 4000))) == pytest.approx(2, abs=0.15)
    assert (diagnostics.ebfmi(np.cumsum(rng.normal(size=(2, 4000)), axis=1)) < 0.01).all()


def test_counts_of_divergent_and_saturated_draws_include_the_first() -> None:
    flags = np.zeros((4, 10))
    flags[0, 0] = flags[3, 9] = 1
    assert diagnostics.count_divergences(flags) == 2
    assert diagnostics.count_saturated([[10, 3], [9, 10]], 10) == 2


def test_temporaries_are_small() -> None:
    x = draws("independent", 4, 1000, 1000).astype(np.float32)
    tracemalloc.start()
    diagnostics.convergence(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
