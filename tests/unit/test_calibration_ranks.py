"""Ranks: ties, thinning, invalid draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from bayesexpr.calibration.ranks import rank_among, rank_quantities, thin
from bayesexpr.calibration.severity import alarms
from bayesexpr.calibration.uniformity import uniformity_test
from bayesexpr.errors import InputError, SamplingError


def false_alarm(ranks: np.ndarray, L: int) -> float:
    """Share of the rows of ranks [repeat, simulation] that the ECDF test rejects at 5 %."""
    return float(alarms(ranks, L, 0.05)[0].mean())


def ar1(shape: tuple[int, ...], rho: float, rng: np.random.Generator) -> np.ndarray:
    """Stationary autoregressive draws with unit variance along the last axis."""
    noise = rng.normal(size=shape)
    noise[..., 1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise, axis=-1)


@pytest.mark.parametrize(("mean", "without"), [(0.5, 1.0), (2.0, 1.0), (10.0, 0.49), (50.0, 0.15), (200.0, 0.08)])
def test_ties_are_broken_at_random(mean: float, without: float) -> None:
    """T8: counts, N = 200, L = 99, 4000 repeats: at most 7 % alarms; without the breaking of ties as expected.

    How many of L draws are smaller than the truth, and how many equal it, is drawn at once; standard error 0.8 % at
    most, tolerance .03.
    """
    rng, (M, N, L) = np.random.default_rng(int(10 * mean)), (4000, 200, 99)
    truth = rng.poisson(mean, size=(M, N))
    below, mass = stats.poisson.cdf(truth - 1, mean), stats.poisson.pmf(truth, mean)
    smaller = rng.binomial(L, below)
    ties = rng.binomial(L - smaller, np.minimum(mass / (1.0 - below), 1.0))
    assert false_alarm(smaller + rng.integers(0, ties + 1), L) <= 0.07
    assert false_alarm(smaller, L) == pytest.approx(without, abs=0.03)  # the negative control


def test_a_tie_is_broken_among_all_its_ranks() -> None:
    rng, draws = np.random.default_rng(2), np.repeat([1.0, 2.0, 3.0], 4)
    ranks = [rank_among(2.0, draws, rng) for _ in range(500)]
    assert set(ranks) == {4, 5, 6, 7, 8}
    assert {rank_among(2.5, draws, rng) for _ in range(20)} == {8}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_draw_that_is_not_finite_makes_the_fit_invalid(bad: float) -> None:
    """T9."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2, 60, 3))
    draws[1, 5, 2] = bad
    with pytest.raises(SamplingError, match=r"draw 66 of theta is .*inf|draw 66 of theta is nan"):
        rank_quantities(np.zeros(3), draws, L=99, rng=rng, names=("a", "b", "theta"))
    with pytest.raises(SamplingError):
        rank_among(0.0, draws[1, :, 2], rng)


def test_a_truth_that_is_not_finite_is_the_simulators_fault() -> None:
    with pytest.raises(InputError, match="true value"):
        rank_among(np.nan, np.zeros(9), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("rho", "N", "expected"),
    [(0.5, 200, 0.06), (0.5, 1000, 0.10), (0.7, 200, 0.12), (0.7, 500, 0.28), (0.7, 1000, 0.46), (0.9, 200, 0.91)],
)
def test_unthinned_draws_alarm_as_tabulated(rho: float, N: int, expected: float) -> None:
    """T10, without the refusal; expected from 6,000 repeats. Here 300: tolerance three standard errors or .05."""
    rng, M, L = np.random.default_rng(7), 300, 99
    ranks = np.stack([(ar1((N, L), rho, rng) < rng.normal(size=(N, 1))).sum(axis=1) for _ in range(M)])
    se = np.sqrt(expected * (1 - expected) / M)
    assert false_alarm(ranks, L) == pytest.approx(expected, abs=max(0.05, 3 * se))


def test_dependent_draws_are_refused_and_thinned_ones_are_not() -> None:
    """T10: the same chain, ranked among all of its draws and among every twentieth."""
    rng = np.random.default_rng(8)
    draws = ar1((4, 1, 500), 0.9, rng).transpose(0, 2, 1)
    truth = np.array([0.3])
    assert rank_quantities(truth, draws, L=1999, rng=rng).rank[0] == -1
    assert rank_quantities(truth, draws[:, :25], L=99, rng=rng).refused[0]
    kept = rank_quantities(truth, draws, L=99, rng=rng)
    assert kept.ess[0] > 0.5 * 99
    assert kept.rank[0] >= 0


def test_thinned_chains_have_uniform_ranks() -> None:
    """rho = .5 with 1000 draws for L = 99; N = 400."""
    rng, L = np.random.default_rng(9), 99
    ranks = [
        rank_quantities(rng.normal(size=1), ar1((1, 1, 1000), 0.5, rng).transpose(0, 2, 1), L=L, rng=rng).rank[0]
        for _ in range(400)
    ]
    assert min(ranks) >= 0
    assert uniformity_test(np.array(ranks), L=L).pvalue > 0.01


def test_rank_depends_neither_on_the_order_of_chains_nor_on_precision() -> None:
    """T11."""
    rng = np.random.default_rng(10)
    draws, truth = rng.normal(size=(4, 50, 6)), rng.normal(size=6)

    def ranked(d: np.ndarray) -> np.ndarray:
        return rank_quantities(truth, d, L=99, rng=np.random.default_rng(1)).rank

    first = ranked(draws)
    np.testing.assert_array_equal(ranked(draws[[3, 1, 0, 2]]), first)
    np.testing.assert_array_equal(ranked(draws.astype(np.float32)), first)


def test_thinning_takes_even_places() -> None:
    draws = np.arange(1000.0).reshape(1, 1000, 1)
    kept = thin(draws, 99)[:, 0]
    assert kept.size == np.unique(kept).size == 99
    assert set(np.diff(kept)) <= {10.0, 11.0}
    np.testing.assert_array_equal(thin(draws, 1000), draws[0])


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(InputError, match="at least that many"):
        thin(np.zeros((2, 10, 1)), 99)
    with pytest.raises(InputError, match="shapes"):
        rank_quantities(np.zeros(2), np.zeros((2, 100, 3)), L=9, rng=np.random.default_rng(0))
