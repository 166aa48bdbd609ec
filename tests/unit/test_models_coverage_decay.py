"""coverage_decay in NumPy: the text's numbers, density, simulator, rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bayesexpr.errors import InputError
from bayesexpr.models.coverage_decay import CoverageDecay
from bayesexpr.models.priors import Exponential, Normal

DATA: dict[str, Any] = {
    "count": [90, 40, 35, 7, 3],
    "distance": [0.0, 500.0, 1000.0, 0.0, 800.0],
    "curve": [0, 0, 0, 1, 1],
    "library": [1, 0],
}


def test_the_text_s_decay_is_the_maximum_of_the_likelihood() -> None:
    """1000 reads at the 3' end and 368 at 1000 nt: lambda = 1000 / ln(1000 / 368) = 1000.3."""
    model, data = CoverageDecay({"noise": "poisson"}), {"count": [1000, 368], "distance": [0, 1000]}

    def log_lik(length: float) -> float:
        return float(model.log_lik({"log_lambda": [math.log(length)], "log_c0": [math.log(1000)]}, data).sum())

    lengths = np.arange(900.0, 1100.0, 0.1)
    assert lengths[np.argmax([log_lik(x) for x in lengths])] == pytest.approx(1000.3, abs=0.15)


@pytest.mark.parametrize("noise", ["poisson", "negative_binomial"])
def test_log_density_term_by_term(noise: str) -> None:
    p: dict[str, Any] = {"log_c0": np.array([4.5, 2.0]), "log_lambda": np.array([7.0, 6.5]), "dispersion": 0.2}
    length = [math.exp(6.5)] * 3 + [math.exp(7.0)] * 2
    start = [math.exp(4.5)] * 3 + [math.exp(2.0)] * 2
    mean = [c * math.exp(-d / x) for c, d, x in zip(start, DATA["distance"], length, strict=True)]
    expected = stats.norm(math.log(100), 2.3).logpdf(p["log_c0"]).sum()
    expected += stats.norm(math.log(3000), 1.5).logpdf(p["log_lambda"]).sum()
    if noise == "poisson":
        expected += stats.poisson(mean).logpmf(DATA["count"]).sum()
    else:
        phi = 5.0
        expected += stats.expon(scale=1 / 4.605).logpdf(0.2)
        expected += stats.nbinom(phi, phi / (phi + np.array(mean))).logpmf(DATA["count"]).sum()
    assert CoverageDecay({"noise": noise}).log_density(p, DATA) == pytest.approx(expected, abs=1e-9)


def test_simulated_counts_have_the_model_s_mean_and_variance() -> None:
    """Seed 1, 4,000 simulations with fixed parameters: mean and variance within 5 standard errors."""
    fixed = {"log_c0": Normal(4.0, 1e-9), "log_lambda": Normal(6.0, 1e-9), "dispersion": Exponential(4.605)}
    model, rng = CoverageDecay(priors=fixed), np.random.default_rng(1)
    scenario = {"distance": [0.0, 200.0, 400.0]}
    p = {"log_c0": np.array([4.0]), "log_lambda": np.array([6.0]), "dispersion": 0.3}
    full = model.complete({**scenario, "count": [0, 0, 0]})
    counts = np.stack([model.replicate(p, full, rng) for _ in range(4000)])
    mean = np.exp(4 - np.array(scenario["distance"]) / math.exp(6))
    variance = mean + 0.3 * mean**2
    assert (np.abs(counts.mean(0) - mean) < 5 * np.sqrt(variance / 4000)).all()
    assert (np.abs(counts.var(0) / variance - 1) < 0.25).all()  # sd of the ratio is about 0.04
    assert not (np.abs(counts.var(0) / mean - 1) < 1).any(), "Poisson must be told apart"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": [0.0, -5.0, 1.0, 1.0, 1.0]}, r"distance\[1\] is -5"),
        ({"distance": [0.0, 5.0]}, r"distance is \[5\]"),
        ({"curve": [0, 0, 2, 2, 2], "library": [0, 0, 0]}, "nothing has curve 1"),
        ({"library": [0]}, r"library is \[2\]"),
        ({"library": [0, 2]}, "nothing has library 1"),
        ({"count": [1, 2, 3, 4, -5]}, r"count\[4\] is -5"),
        ({"depth": [1]}, "does not know data .?depth"),
    ],
)
def test_bad_data_are_refused_with_their_index(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CoverageDecay().stan_data({**DATA, **change})
