"""Coverage from ranks; contraction and z-scores."""

from __future__ import annotations

import numpy as np
import pytest

from bayesexpr.calibration.coverage import (
    binomial_pvalues,
    clopper_pearson,
    coverage,
    coverage_table,
    interval_of_ranks,
)
from bayesexpr.calibration.sharpness import data_ignored, sharpness
from bayesexpr.calibration.table import RankTable
from bayesexpr.errors import InputError


def test_exact_draws_cover_as_stated_where_quantiles_do_not() -> None:
    """calibration 2.5: L = 99, N = 10^5: .900 +- .002, against .882 of interpolated quantiles."""
    rng, N, L = np.random.default_rng(1), 100_000, 99
    truth, draws = rng.normal(size=N), rng.normal(size=(N, L)).astype(np.float32)
    found = coverage((draws < truth[:, None]).sum(axis=1), L=L)
    assert found.nominal == 0.9
    assert found.observed == pytest.approx(0.9, abs=0.002 + 2 * 0.00095)
    low, high = np.quantile(draws[:20_000], [0.05, 0.95], axis=1)
    covered = np.mean((low < truth[:20_000]) & (truth[:20_000] < high))
    assert covered == pytest.approx(0.882, abs=0.006)


@pytest.mark.parametrize(("N", "low", "high"), [(200, 0.85, 0.938), (1000, 0.88, 0.918), (10_000, 0.894, 0.906)])
def test_clopper_pearson_half_widths(N: int, low: float, high: float) -> None:
    assert clopper_pearson(round(0.9 * N), N) == pytest.approx((low, high), abs=0.001)


def test_clopper_pearson_at_the_ends() -> None:
    assert clopper_pearson(0, 10)[0] == 0.0
    assert clopper_pearson(10, 10)[1] == 1.0


def test_intervals_hold_whole_numbers_of_ranks() -> None:
    assert interval_of_ranks(99, 0.9) == (5, 94)
    assert interval_of_ranks(99, 0.5) == (25, 74)
    assert interval_of_ranks(99, 0.9, "leftmost") == (0, 89)
    assert interval_of_ranks(3, 0.5) == (1, 2)
    for kind in ("central", "leftmost"):
        for L in (3, 10, 99, 1023):
            low, high = interval_of_ranks(L, 0.8, kind)
            assert (high - low + 1) / (L + 1) == pytest.approx(0.8, abs=1.01 / (L + 1))


def test_central_intervals_see_width_and_leftmost_ones_bias() -> None:
    rng, L = np.random.default_rng(2), 99
    biased = rng.binomial(L, 0.5 + 0.0 * rng.normal(size=500) + 0.3 * rng.uniform(-1, 1, 500) + 0.15)
    rows = {(c.kind, c.width): c for c in coverage_table(biased, L=L)}
    assert len(rows) == 8
    assert rows["leftmost", 0.5].pvalue < 1e-3
    narrow = rng.binomial(L, rng.beta(0.5, 0.5, size=500))
    rows = {(c.kind, c.width): c for c in coverage_table(narrow, L=L)}
    assert rows["central", 0.9].pvalue < 1e-3
    assert rows["central", 0.9].observed < 0.85
    assert rows["leftmost", 0.5].pvalue > 1e-3


def test_binomial_pvalues_are_the_mass_of_less_likely_counts() -> None:
    from scipy import stats

    p = binomial_pvalues(40, 0.9)
    for k in range(41):
        assert p[k] == pytest.approx(stats.binomtest(k, 40, 0.9).pvalue, rel=1e-9)


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(InputError, match="width"):
        coverage([1], L=9, width=1.5)
    with pytest.raises(InputError, match="kind"):
        coverage([1], L=9, kind="highest")


def test_contraction_and_z_scores_of_a_known_posterior() -> None:
    """Normal prior N(0, 1), one observation of sd 1: contraction 1/2, z-scores standard normal. N = 4000."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=4000)
    mean = 0.5 * (truth + rng.normal(size=4000))
    found = sharpness(truth, mean, np.full(4000, np.sqrt(0.5)))
    assert found.contraction == pytest.approx(0.5, abs=0.04)
    assert found.z_mean == pytest.approx(0.0, abs=0.06)
    assert found.z_sd == pytest.approx(1.0, abs=0.05)


def test_a_posterior_that_is_the_prior_is_known_as_such() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(100, 2))
    rank = rng.integers(0, 10, (100, 2))
    prior_only = RankTable(("a", "b"), 9, rank, truth=truth, mean=0.1 * rng.normal(size=(100, 2)))
    learnt = RankTable(
        ("a", "b"), 9, rank, truth=truth, mean=np.stack([rng.normal(size=100), 0.5 * truth[:, 1]], axis=1)
    )
    assert data_ignored(prior_only)
    assert not data_ignored(learnt)
