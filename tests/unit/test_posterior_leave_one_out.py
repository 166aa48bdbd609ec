"""Leave-one-out densities against a model where they are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesexpr.posterior.leave_one_out import leave_one_out


def test_a_normal_mean_with_a_flat_prior() -> None:
    # seed 1: y ~ N(mu, 1), 30 observations; left out, y_i ~ N(mean of the others, 1 + 1 / 29)
    rng = np.random.default_rng(1)
    y = rng.normal(size=30)
    mu = rng.normal(y.mean(), 30**-0.5, 8000)
    found = leave_one_out(stats.norm.logpdf(y, mu[:, None], 1.0))
    others = (y.sum() - y) / 29
    assert found.elpd == pytest.approx(stats.norm.logpdf(y, others, (1 + 1 / 29) ** 0.5), abs=0.01)
    assert (found.pareto_k < 0.5).all()
    # the control: without leaving out, the observations look better predicted
    assert found.elpd.sum() < stats.norm.logpdf(y, mu[:, None], 1.0).mean(axis=0).sum()


def test_an_observation_that_decides_alone_is_marked() -> None:
    # seed 2: one observation far outside moves the posterior on its own
    rng = np.random.default_rng(2)
    draws = rng.normal(12.0, 0.2, 4000)
    column = stats.norm.logpdf(30.0, draws, 1.0)
    assert leave_one_out(column[:, None]).pareto_k[0] > 0.7


def test_shapes_and_constant_columns() -> None:
    values = np.zeros((100, 3, 2)) - 1.5
    found = leave_one_out(values)
    assert found.elpd.shape == (3, 2)
    assert found.elpd == pytest.approx(-1.5)
    assert (found.pareto_k == 0).all()
