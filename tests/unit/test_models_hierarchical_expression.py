"""hierarchical_expression: priors of the text, simulator, twin density, and what its published kin got wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesexpr.errors import InputError
from bayesexpr.models.hierarchical_expression import HierarchicalExpression

POISSON = HierarchicalExpression(options={"likelihood": "poisson"})
NB = HierarchicalExpression()


def test_default_priors_are_those_of_the_text() -> None:
    assert NB.prior("tau").frozen().sf(1) == pytest.approx(0.01, rel=1e-3)
    assert NB.prior("sigma_mu").frozen().sf(2.35) == pytest.approx(0.01, rel=5e-3)
    mu = NB.prior("mu_0").frozen()
    assert mu.cdf(np.log(1000.0)) - mu.cdf(np.log(10.0)) == pytest.approx(0.95, abs=2e-3)


def test_no_prior_number_comes_from_the_counts() -> None:
    a = NB.stan_data({"count": [[1, 2, 3], [4, 5, 6]]})
    b = NB.stan_data({"count": [[100, 2, 3], [400, 5, 9999]]})
    assert {k for k in a if not np.array_equal(a[k], b[k])} == {"count"}


def test_an_empty_sample_is_no_obstacle() -> None:
    data = {"count": [[0, 0], [3, 8]]}
    assert np.isfinite(NB.stan_data(data)["log_length"]).all()
    p = {"mu_0": 2.0, "sigma_mu": 1.0, "tau": 0.1, "log_expression": np.zeros(2), "log_f": np.zeros(2)}
    assert np.isfinite(NB.log_density(p, data))


@pytest.mark.parametrize("model", [POISSON, NB])
def test_simulated_counts_follow_the_linear_predictor(model: HierarchicalExpression) -> None:
    # one gene twice as long as the other, one library twice as deep; 4000 replicates, five standard errors
    data = {"effective_length": [1000.0, 2000.0], "log_size_factor": [0.0, np.log(2.0)], "count": np.zeros((2, 2))}
    p = {"log_expression": np.log([30.0, 30.0]), "log_f": np.array([0.0, np.log(2.0)]), "tau": 0.2}
    rng = np.random.default_rng(5)
    counts = np.stack([model.replicate(p, data, rng) for _ in range(4000)])
    mu = np.array([[30 / 2**0.5, 30 * 2**0.5], [60 / 2**0.5, 60 * 2**0.5]])
    variance = mu + (0.2 * mu**2 if model is NB else 0.0)
    assert counts.mean(axis=0) == pytest.approx(mu, abs=5 * (variance.max() / 4000) ** 0.5)
    assert counts.var(axis=0) == pytest.approx(variance, rel=0.15)


def test_log_lik_and_replicates_share_the_linear_predictor() -> None:
    # the published program scored and replicated another model than it fitted; here the mass sums to one over
    # replicates' support, and their mean log likelihood is the negative entropy
    data = {"count": np.zeros((2, 2)), "effective_length": [500.0, 3000.0]}
    p = {"log_expression": np.log([5.0, 2.0]), "log_f": np.array([-0.3, 0.3]), "tau": 0.5}
    support = np.arange(3000)
    mass = np.stack([NB.log_lik(p, {**data, "count": np.full((2, 2), k)}) for k in support])
    assert np.exp(mass).sum(axis=0) == pytest.approx(1.0, abs=1e-9)
    rng = np.random.default_rng(6)
    scored = np.stack([NB.log_lik(p, {**data, "count": NB.replicate(p, data, rng)}) for _ in range(2000)])
    entropy = (np.exp(mass) * mass).sum(axis=0)
    assert scored.mean(axis=0) == pytest.approx(entropy, abs=0.15)  # five errors of 2000 draws of sd 1.2


def test_simulated_parameters_come_from_the_prior() -> None:
    rng = np.random.default_rng(7)
    drawn = [NB.simulate({"samples": 3, "genes": 2}, rng)[0] for _ in range(2000)]
    for name, prior in (("mu_0", NB.prior("mu_0")), ("sigma_mu", NB.prior("sigma_mu")), ("tau", NB.prior("tau"))):
        values = [float(p[name]) for p in drawn]
        assert stats.kstest(values, prior.frozen().cdf).pvalue > 1e-3  # seed 7
    shifts = np.stack([p["log_f"] for p in drawn])
    assert np.abs(shifts.sum(axis=1)).max() < 1e-12
    assert shifts.std() == pytest.approx(0.1 * (2 / 3) ** 0.5, rel=0.05)


def test_one_sample_has_no_size_factor_to_estimate() -> None:
    p, data = NB.simulate({"samples": 1, "genes": 4}, np.random.default_rng(1))
    assert p["log_f"] == pytest.approx([0.0])
    assert np.isfinite(NB.log_density(p, data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"count": [[1, 2], [3, -4]]}, r"count\[1\]\[1\] is -4"),
        ({"count": [1, 2]}, r"count is \[S\]\[G\]"),
        ({"count": [[1, 2]], "effective_length": [1.0, 0.0]}, r"effective_length\[1\] is 0"),
        ({"count": [[1, 2]], "effective_length": [1.0]}, r"effective_length is \[2\]"),
        ({"count": [[1, 2]], "log_size_factor": [0.0, 1.0]}, r"log_size_factor is \[1\]"),
        ({"count": [[1, 2]], "design": [[1.0]]}, "does not know data 'design'"),
        ({}, "needs count"),
    ],
)
def test_bad_data(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        NB.stan_data(data)
