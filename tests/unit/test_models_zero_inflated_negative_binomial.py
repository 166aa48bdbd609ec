"""zero_inflated_negative_binomial: simulator, effects, limits."""

from __future__ import annotations

import numpy as np
import pytest

from bayesexpr.errors import InputError, OptionError
from bayesexpr.models.priors import Normal
from bayesexpr.models.zero_inflated_negative_binomial import ZeroInflatedNegativeBinomial

FULL = ZeroInflatedNegativeBinomial(options={"dispersion": "effects"})
PLAIN = ZeroInflatedNegativeBinomial(options={"zero_inflation": "none"})
GROUP = np.repeat([[0.0], [1.0]], 40_000, axis=0)


def parameters() -> dict[str, np.ndarray]:
    return {
        "alpha": np.log([4.0]),
        "beta": np.array([[np.log(2.0)]]),
        "logit_pi": np.array([-1.0]),
        "pi_beta": np.array([[1.5]]),
        "log_dispersion": np.log([0.5]),
        "dispersion_beta": np.array([[np.log(3.0)]]),
    }


def test_each_effect_moves_its_own_moment() -> None:
    # seed 9: 40,000 cells of each kind; five standard errors
    data = {"count": np.zeros((80_000, 1)), "design": GROUP}
    count = FULL.replicate(parameters(), data, np.random.default_rng(9))[:, 0]
    for kind, (mu, pi, k) in enumerate(((4.0, 1 / (1 + np.e), 2.0), (8.0, 1 / (1 + np.exp(-0.5)), 2 / 3))):
        y = count[GROUP[:, 0] == kind]
        variance = (1 - pi) * mu * (1 + pi * mu) + (1 - pi) * mu**2 / k
        assert y.mean() == pytest.approx((1 - pi) * mu, abs=5 * (variance / 40_000) ** 0.5)
        assert y.var() == pytest.approx(variance, rel=0.12)  # the relative error of a variance of 40,000 is 2.4 %
        zero = pi + (1 - pi) * (k / (k + mu)) ** k
        assert (y == 0).mean() == pytest.approx(zero, abs=5 * (zero * (1 - zero) / 40_000) ** 0.5)


def test_without_inflation_it_is_the_negative_binomial() -> None:
    rng = np.random.default_rng(1)
    p, data = PLAIN.simulate({"genes": 3, "design": [[0.0], [1.0]] * 10}, rng)
    inflated = ZeroInflatedNegativeBinomial(options={"zero_inflation": "constant"})
    gap = inflated.log_lik({**p, "logit_pi": np.full(3, -40.0)}, data) - PLAIN.log_lik(p, data)
    assert np.abs(gap).max() < 1e-12
    gap = inflated.log_lik({**p, "logit_pi": np.full(3, -1.0)}, data) - PLAIN.log_lik(p, data)
    assert np.abs(gap).max() > 0.1


def test_without_a_design_there_are_no_effects() -> None:
    p, data = FULL.simulate({"genes": 2, "cells": 7}, np.random.default_rng(2))
    assert p["beta"].shape == (2, 0)
    assert data["count"].shape == (7, 2)
    assert FULL.stan_data(data)["K"] == 0
    assert np.isfinite(FULL.log_density(p, data))


def test_size_factors_scale_the_mean() -> None:
    data = {"count": np.zeros((2, 1)), "log_size_factor": [0.0, np.log(10.0)]}
    p = {"alpha": np.zeros(1), "beta": np.zeros((1, 0)), "log_dispersion": np.array([-20.0])}
    rng = np.random.default_rng(3)
    counts = np.stack([PLAIN.replicate(p, data, rng) for _ in range(5000)])
    assert counts.mean(axis=0)[:, 0] == pytest.approx([1.0, 10.0], rel=0.08)


def test_bad_data() -> None:
    with pytest.raises(InputError, match=r"design is \[2\]\[K\]"):
        FULL.stan_data({"count": [[1], [2]], "design": [[0.0]]})
    with pytest.raises(InputError, match=r"count\[0\]\[1\] is 1.5"):
        FULL.stan_data({"count": [[1, 1.5]]})
    with pytest.raises(OptionError, match="mean zero"):
        ZeroInflatedNegativeBinomial(priors={"beta": Normal(1.0, 1.0)}).stan_data({"count": [[1]]})
