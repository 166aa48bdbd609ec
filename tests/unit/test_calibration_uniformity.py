"""The ECDF test of uniformity and the test of chains, against published and independent figures."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bayesexpr.calibration import chain_ranks
from bayesexpr.calibration.chain_ranks import chain_test, chain_threshold
from bayesexpr.calibration.uniformity import (
    at_least,
    at_most,
    band,
    counts_below,
    ecdf_difference,
    gamma_pvalue,
    gamma_statistic,
    gamma_threshold,
    uniformity_test,
)
from bayesexpr.errors import InputError

PUBLISHED = Path(__file__).parents[1] / "golden" / "ecdf_gamma_published.csv"


def published() -> list[tuple[int, int, float]]:
    header, *rows = [r.split(",") for r in PUBLISHED.read_text(encoding="utf-8").split("\n") if r and r[0] != "#"]
    return [(int(row[0]), int(K), float(g)) for row in rows for K, g in zip(header[1:], row[1:], strict=True)]


def uniform_counts(N: int, L: int, M: int, seed: int) -> np.ndarray:
    cells = np.random.default_rng(seed).multinomial(N, np.full(L + 1, 1 / (L + 1)), size=M)
    return np.cumsum(cells, axis=1)[:, :-1]


def leaves(counts: np.ndarray, N: int, L: int, alpha: float = 0.05) -> np.ndarray:
    limits = band(alpha, N=N, L=L)
    return ((counts < limits.lower) | (counts > limits.upper)).any(axis=1)


def check_published(largest: int) -> int:
    values = [(N, K, gamma) for N, K, gamma in published() if largest >= K]
    for N, K, gamma in values:
        assert gamma_threshold(0.05, N=N, L=K - 1) == pytest.approx(gamma, rel=0.06), (N, K)
    return len(values)


def test_thresholds_meet_the_published_ones() -> None:
    """T1. The published values were simulated; the exact ones here differ by at most 4.3 %."""
    assert check_published(largest=200) == 32


@pytest.mark.slow
def test_all_thresholds_meet_the_published_ones() -> None:
    assert check_published(largest=2000) == 64


def test_exact_size_is_just_below_the_level() -> None:
    """T2, exactly: the band's own false alarm rate, by the recursion."""
    for N, L in product((50, 100, 200, 500, 1000, 2000), (99, 399, 999)):
        assert 0.044 <= band(0.05, N=N, L=L).alpha <= 0.05, (N, L)


@pytest.mark.parametrize(("N", "L"), [(3, 2), (4, 3), (5, 4)])
def test_pvalue_equals_full_enumeration(N: int, L: int) -> None:
    """Every sequence of ranks is equally likely, so small cases can be counted out."""
    gammas = np.array(
        [gamma_statistic(counts_below(np.array(r), L=L), N=N, L=L) for r in product(range(L + 1), repeat=N)]
    )
    for gamma in np.unique(gammas.round(12)):
        share = np.mean(gammas <= gamma * (1 + 1e-9))
        assert gamma_pvalue(float(gamma), N=N, L=L) == pytest.approx(share, abs=1e-10)


@pytest.mark.parametrize(("N", "L"), [(50, 99), (200, 399)])
def test_false_alarm_by_simulation(N: int, L: int) -> None:
    """T2 by simulation: M = 4000, standard error .0034, tolerance four of them."""
    assert leaves(uniform_counts(N, L, 4000, seed=1), N, L).mean() == pytest.approx(0.05, abs=0.014)


def test_pvalue_statistic_and_band_agree() -> None:
    N, L = 60, 19
    counts = uniform_counts(N, L, 300, seed=2)
    gammas = gamma_statistic(counts, N=N, L=L)
    by_pvalue = np.array([gamma_pvalue(float(g), N=N, L=L) <= 0.05 for g in gammas])
    np.testing.assert_array_equal(by_pvalue, leaves(counts, N, L))


def test_ranks_below_half_of_l_are_not_rescaled() -> None:
    """T4, and fault B1 of a reference: ranks on 0..499 of L = 999 look uniform once divided by the largest seen."""
    ranks = np.random.default_rng(3).integers(0, 500, 200)
    assert uniformity_test(ranks, L=999).pvalue < 1e-6
    assert uniformity_test(ranks, L=499).pvalue > 0.01


@pytest.mark.parametrize("bad", [[1, 100], [-1, 5], [0.5, 3], [np.nan, 3], [1.00007, 3], [], [[1, 2]], ["1"]])
def test_impossible_ranks_are_refused(bad: list[float]) -> None:
    with pytest.raises(InputError, match="ranks are"):
        uniformity_test(np.array(bad), L=99)


@pytest.mark.parametrize("L", [0, -3, 9.0, True])
def test_l_is_a_positive_integer(L: int) -> None:
    with pytest.raises(InputError, match="L is the number of draws"):
        uniformity_test(np.array([0, 1]), L=L)


@pytest.mark.parametrize("L", [6, 27, 99, 999])
def test_even_ranks_have_no_difference_at_all(L: int) -> None:
    """T5, and fault B6 of a reference: no floating-point artefact."""
    for repeats in (1, 3, 7):
        even = np.tile(np.arange(L + 1), repeats)
        assert np.all(ecdf_difference(even, L=L) == 0.0)
        assert uniformity_test(even, L=L).pvalue == 1.0


def test_reversed_ranks_give_the_same_pvalue() -> None:
    """T7: rank -> L - rank."""
    rng = np.random.default_rng(4)
    for L in (9, 99, 999):
        ranks = rng.binomial(L, rng.beta(1.1, 0.9, size=150))
        assert uniformity_test(L - ranks, L=L).pvalue == pytest.approx(uniformity_test(ranks, L=L).pvalue, rel=1e-6)


def test_tails_have_no_nan() -> None:
    """Fault B3 of a reference: a first ECDF count of zero gave NaN and silently dropped the upper tail."""
    count = np.arange(0, 11)
    np.testing.assert_allclose(at_most(count, 10, 0.3), stats.binom.cdf(count, 10, 0.3), rtol=1e-12)
    np.testing.assert_allclose(at_least(count, 10, 0.3), stats.binom.sf(count - 1, 10, 0.3), rtol=1e-12)
    top_heavy = np.full(30, 9)
    assert gamma_statistic(counts_below(top_heavy, L=9), N=30, L=9) == pytest.approx(2 * 0.1**30, rel=1e-9)


def test_band_as_differences() -> None:
    limits = band(0.05, N=100, L=9)
    lower, upper = limits.difference()
    np.testing.assert_allclose(lower, limits.lower / 100 - np.arange(1, 10) / 10, atol=1e-15)
    assert (lower < 0).all()
    assert (upper > 0).all()


def test_alpha_is_a_probability() -> None:
    with pytest.raises(InputError, match="alpha"):
        gamma_threshold(1.5, N=10, L=9)


@pytest.mark.parametrize(("chains", "draws"), [(2, 100), (4, 100), (4, 250), (8, 250)])
def test_chain_bands_hold_their_level(chains: int, draws: int) -> None:
    """T6, and fault B2 of a reference (18.7 % at 4 x 100). 2000 fresh deals: 5 % +- 2 % is four standard errors."""
    owners = np.tile(np.repeat(np.arange(chains), draws), (2000, 1))
    dealt = np.random.default_rng(5).permuted(owners, axis=1)
    smallest = chain_ranks._gammas(dealt, chains).min(axis=1)
    alarms = smallest <= chain_threshold(0.05, chains=chains, draws=draws) * (1 + 1e-9)
    assert alarms.mean() == pytest.approx(0.05, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("chains", "draws"), [(2, 100), (4, 100), (4, 250), (8, 250)])
def test_chain_bands_hold_their_level_closely(chains: int, draws: int) -> None:
    """T6: 5 +- 1 % over 20 000 fresh deals; the threshold, from 2000, has a standard error of .5 % itself."""
    owners, rng, found = np.tile(np.repeat(np.arange(chains), draws), (1000, 1)), np.random.default_rng(15), []
    limit = chain_threshold(0.05, chains=chains, draws=draws) * (1 + 1e-9)
    for _ in range(20):
        smallest = chain_ranks._gammas(rng.permuted(owners, axis=1), chains).min(axis=1)
        found.append((smallest <= limit).mean())
    assert np.mean(found) == pytest.approx(0.05, abs=0.01)


def test_chain_test_finds_the_chain_that_is_off() -> None:
    rng = np.random.default_rng(6)
    draws = rng.normal(size=(4, 250))
    assert chain_test(draws, rng=rng).pvalue > 0.01
    draws[2] += 0.5
    found = chain_test(draws, rng=rng)
    assert found.pvalue < 0.01
    assert found.chain == 2


def test_chain_test_needs_two_chains() -> None:
    with pytest.raises(InputError, match="two or more"):
        chain_test(np.zeros((1, 10)), rng=np.random.default_rng(0))
