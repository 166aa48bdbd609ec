"""spike_in in NumPy: density, simulator, order of the features, rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bayesexpr.errors import InputError
from bayesexpr.models.priors import Normal
from bayesexpr.models.spike_in import SpikeIn

DATA: dict[str, Any] = {
    "count": [[30, 4, 200], [80, 0, 650]],
    "molecules": [[100, 0, 1000], [200, 0, 2000]],
    "effective_length": [500.0, 1000.0, 2000.0],
}
P: dict[str, Any] = {
    "log_capture": np.array([-1.2, -1.0]),
    "affinity_sd": 0.7,
    "affinity": np.array([0.3, -0.5, 0.1]),
    "log_molecules": np.array([[2.0], [1.0]]),
    "dispersion": 0.1,
}


@pytest.mark.parametrize("noise", ["poisson", "negative_binomial"])
def test_log_density_term_by_term(noise: str) -> None:
    a, b = P["log_capture"] - np.log(0.01)  # a mean and a difference, independent of each other
    total = stats.norm(0, np.sqrt(9 + 1 / 2)).logpdf((a + b) / 2) + stats.norm(0, np.sqrt(2)).logpdf(a - b)
    total += stats.lognorm(0.5, scale=0.7).logpdf(0.7) + stats.norm(0, 0.7).logpdf(P["affinity"]).sum()
    a, b = P["log_molecules"][:, 0] - np.log(1000)
    total += stats.norm(0, np.sqrt(16 + 1.5**2 / 2)).logpdf((a + b) / 2) + stats.norm(0, 1.5 * np.sqrt(2)).logpdf(a - b)
    total += stats.expon(scale=1 / 4.605).logpdf(0.1) if noise == "negative_binomial" else 0.0
    for s in range(2):
        for f in range(3):
            amount = np.exp(P["log_molecules"][s, 0]) if f == 1 else DATA["molecules"][s][f]
            mu = np.exp(P["log_capture"][s] + P["affinity"][f]) * amount * DATA["effective_length"][f] / 1000
            law = stats.poisson(mu) if noise == "poisson" else stats.nbinom(10, 10 / (10 + mu))
            total += law.logpmf(DATA["count"][s][f])
    assert SpikeIn({"noise": noise}).log_density(P, DATA) == pytest.approx(total, abs=1e-9)


def test_features_keep_their_order() -> None:
    """The program has standards first; what leaves it is in the user's order."""
    draws = {
        "affinity_sd": np.array([1.0]),
        "standard_affinity": np.array([[0.1, 0.3]]),
        "target_affinity": np.array([[0.2]]),
        "log_target_molecules": np.array([[[5.0], [6.0]]]),
        "log_capture": np.zeros((1, 2)),
    }
    made = SpikeIn({"noise": "poisson"}).posterior(draws, DATA)
    np.testing.assert_array_equal(made["affinity"], [[0.1, 0.2, 0.3]])
    assert "dispersion" not in made
    assert SpikeIn().coords(DATA)["target"] == [1]


def test_simulated_counts_have_the_model_s_mean_and_variance() -> None:
    """Seed 1, 4,000 replicates: mean within 5 standard errors, variance within a quarter."""
    model, rng = SpikeIn(), np.random.default_rng(1)
    counts = np.stack([model.replicate(P, DATA, rng) for _ in range(4000)])
    mu = np.exp(model._log_mu(P, model.complete(DATA)))
    variance = mu + 0.1 * mu**2
    assert (np.abs(counts.mean(0) - mu) < 5 * np.sqrt(variance / 4000)).all()
    assert (np.abs(counts.var(0) / variance - 1) < 0.25).all()


@pytest.mark.parametrize("name", ["change", "capture_spread"])
def test_a_change_has_mean_zero(name: str) -> None:
    with pytest.raises(InputError, match=f"prior of {name} has mean 0"):
        SpikeIn(priors={name: Normal(0.5, 1.0)}).stan_data(DATA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"molecules": [[100, 0, 1000], [200, 0, 0]]}, "feature 2 has molecules in some samples and 0 in sample 1"),
        ({"molecules": [[100, 0, -1], [200, 0, 5]]}, r"molecules\[0\]\[2\] is -1"),
        ({"molecules": [[0, 0, 0], [0, 0, 0]]}, "at least one standard"),
        ({"molecules": [[100, 0, 1000]]}, r"molecules is \[2\]\[3\]"),
        ({"count": [[30, 4, 200], [80, -3, 650]]}, r"count\[1\]\[1\] is -3"),
        ({"effective_length": [500.0, 0.0, 2000.0]}, r"effective_length\[1\] is 0"),
        ({"spikes": [1]}, "does not know data .?spikes"),
    ],
)
def test_bad_data_are_refused_with_their_index(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SpikeIn().stan_data({**DATA, **change})
