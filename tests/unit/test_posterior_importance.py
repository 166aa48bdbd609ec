"""Pareto smoothing of many sets of weights, against ArviZ and against known tails."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base.array import array_stats

from bayesexpr.posterior.importance import pareto_k, reliable_k, smoothed_weights


@pytest.mark.parametrize("draws", [100, 225, 1000])
def test_smoothing_is_that_of_arviz(draws: int) -> None:
    """Light, exponential and heavy tails; seed 1."""
    rng = np.random.default_rng(1)
    logs = np.concatenate(
        [rng.normal(0, 0.1, (4, draws)), rng.exponential(0.7, (4, draws)), 2 * rng.standard_t(3, (4, draws))]
    )
    weight, k = smoothed_weights(logs)
    for one, w, shape in zip(logs, weight, k, strict=True):
        theirs, their_k = array_stats.psislw(-one)
        assert np.allclose(w, np.exp(theirs), rtol=1e-10, atol=1e-14)
        assert np.isclose(shape, their_k, rtol=1e-10)
        assert np.isclose(shape, pareto_k(one), rtol=1e-10)


def test_shapes_are_those_of_the_tail() -> None:
    """Ratios exp(Exponential(k)) have a Pareto tail of shape k: 2,000 sets of 4,000, mean within 0.05; seed 2."""
    rng = np.random.default_rng(2)
    for k in (0.3, 0.7):
        found = smoothed_weights(rng.exponential(k, (200, 4000)))[1]
        assert abs(found.mean() - k) < 0.05


def test_weights_sum_to_one_and_impossible_draws_weigh_nothing() -> None:
    logs = np.random.default_rng(3).normal(size=(2, 400))
    logs[0, :100] = -np.inf
    weight, k = smoothed_weights(logs)
    assert np.allclose(weight.sum(axis=1), 1)
    assert (weight[0, :100] == 0).all()
    assert np.isfinite(k).all()


def test_alike_ratios_are_the_posterior() -> None:
    weight, k = smoothed_weights(np.full((2, 100), -3.0))
    assert np.allclose(weight, 0.01)
    assert (k == 0).all()


def test_a_ratio_that_is_no_number_spoils_its_set_alone() -> None:
    logs = np.random.default_rng(4).normal(size=(3, 300))
    logs[1, 7] = np.nan
    weight, k = smoothed_weights(logs)
    assert np.isnan(k[1])
    assert np.isnan(weight[1]).all()
    assert np.isfinite(k[[0, 2]]).all()


def test_few_draws_are_judged_more_strictly() -> None:
    assert reliable_k(100) == pytest.approx(0.5)
    assert reliable_k(10_000) == 0.7
    assert reliable_k(5) < reliable_k(100)
