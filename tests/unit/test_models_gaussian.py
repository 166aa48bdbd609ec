"""gaussian_linear and variance_components: closed forms against quadrature, the text's two-batch design, shrinkage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from bayesexpr.errors import DesignError, InputError, OptionError
from bayesexpr.models.gaussian_linear import GaussianLinear
from bayesexpr.models.priors import InverseGamma, Normal
from bayesexpr.models.variance_components import VarianceComponents, estimate_prior, shrunken_variance

# columns: condition, second batch, their product; four replicates of each of the four kinds
TWO_BATCHES = np.array([[c, b, c * b] for b in (0.0, 1.0) for c in (0.0, 1.0) for _ in range(4)])


def test_evidence_agrees_with_quadrature() -> None:
    model = GaussianLinear(
        priors={"intercept": Normal(1.0, 2.0), "effect": Normal(0.0, 0.7), "variance": InverseGamma(2.5, 0.8)}
    )
    design, y = np.array([[0.0], [0.0], [1.0], [1.5]]), np.array([1.1, 0.4, 1.9, 2.7])
    data = {"expression": y[:, None], "design": design}

    def joint(variance: float) -> float:
        cov = variance * (np.eye(4) + 4.0 * np.ones((4, 4)) + 0.49 * design @ design.T)
        likelihood = stats.multivariate_normal(np.full(4, 1.0), cov).pdf(y)
        return float(likelihood * stats.invgamma(2.5, scale=0.8).pdf(variance))

    truth = integrate.quad(joint, 0, np.inf, epsrel=1e-9)[0]
    assert model.log_evidence(data)[0] == pytest.approx(np.log(truth), abs=1e-7)


def test_exact_posterior_satisfies_bayes_rule() -> None:
    # log joint - log posterior density is the log evidence wherever it is taken
    model = GaussianLinear()
    data = model.simulate({"design": TWO_BATCHES, "genes": 2}, np.random.default_rng(1))[1]
    post = model._conjugate(data, [0, 1, 2])
    draws = model.exact(data, 5, np.random.default_rng(2))
    for i in range(5):
        p = {k: v[i] for k, v in draws.items()}
        log_posterior = 0.0
        for g in range(2):
            coefficient = np.array([p["intercept"][g], *p["effect"][g]])
            normal = stats.multivariate_normal(post.mean[g], p["variance"][g] * post.covariance)
            log_posterior += normal.logpdf(coefficient)
            log_posterior += stats.invgamma(post.shape, scale=post.scale[g]).logpdf(p["variance"][g])
        assert model.log_density(p, data) - log_posterior == pytest.approx(model.log_evidence(data).sum(), abs=1e-7)


def test_two_batches_with_an_interaction_are_recovered() -> None:
    # beta_0 = 5, condition 1, batch 0.5, interaction -2: the condition goes up in batch 1, down by 1 in batch 2
    rng = np.random.default_rng(3)
    y = 5 + TWO_BATCHES @ np.array([1.0, 0.5, -2.0]) + rng.normal(0, 0.2, 16)
    null = 5 + TWO_BATCHES @ np.array([0.0, 0.5, 0.0]) + rng.normal(0, 0.2, 16)
    data = {"expression": np.stack([y, null], axis=1), "design": TWO_BATCHES}
    model = GaussianLinear()
    effect = model.exact(data, 20_000, np.random.default_rng(4))["effect"]
    low, high = np.quantile(effect[:, 0], [0.005, 0.995], axis=0)
    assert (low < [1.0, 0.5, -2.0]).all()
    assert (high > [1.0, 0.5, -2.0]).all()
    in_second = effect[:, 0, 0] + effect[:, 0, 2]
    assert in_second.mean() == pytest.approx(-1.0, abs=0.3)
    # "a condition effect in any batch" asks for the condition and its interaction together
    asked = model.omnibus(data, [0, 2])
    assert asked[0] > 0.999
    assert asked[1] < 0.3
    # the mean of the two effects is zero, so the condition alone, without its interaction, misses it
    additive = {**data, "design": TWO_BATCHES[:, :2]}
    assert model.omnibus(additive, [0])[0] < 0.7


def test_omnibus_is_calibrated_under_its_own_prior() -> None:
    # seed 5: 600 genes with effects from the prior, 600 without; stated and realised shares within four errors
    model, rng = GaussianLinear(), np.random.default_rng(5)
    p, data = model.simulate({"design": TWO_BATCHES, "genes": 1200}, rng)
    p["effect"][600:, [0, 2]] = 0.0
    data["expression"] = model.replicate(p, data, rng)
    stated = model.omnibus(data, [0, 2])
    changed = np.arange(1200) < 600
    for cut in (0.0, 0.5):
        chosen = stated >= cut
        error = 4 * (stated[chosen] * (1 - stated[chosen])).sum() ** 0.5
        assert abs(changed[chosen].sum() - stated[chosen].sum()) < error


def test_what_has_no_closed_form_says_so() -> None:
    robust = GaussianLinear(options={"errors": "student_t"})
    data = {"expression": np.zeros((16, 1)), "design": TWO_BATCHES}
    with pytest.raises(OptionError, match="closed form with errors = normal only"):
        robust.exact(data, 10, np.random.default_rng(1))
    with pytest.raises(OptionError, match="mean zero"):
        GaussianLinear(priors={"effect": Normal(1.0, 1.0)}).stan_data(data)
    with pytest.raises(DesignError, match="columns 0 to 2; 7 is none"):
        GaussianLinear().omnibus(data, [0, 7])
    with pytest.raises(InputError, match=r"design is \[16\]\[K\]"):
        GaussianLinear().stan_data({**data, "design": TWO_BATCHES[:5]})


def test_shrunken_variance_is_the_formula_of_the_text() -> None:
    alpha, beta, R = 3.0, 0.4, 4
    s2 = np.array([0.0, 0.2, 5.0])
    by_hand = [(0.4 + 1.5 * v) / (3.0 + 1.5 - 1) for v in s2]
    assert shrunken_variance(s2, R, alpha, beta) == pytest.approx(by_hand, rel=1e-14)
    # and the mean of the inverse gamma posterior, by quadrature
    for v in s2[1:]:

        def joint(x: float, power: int, v: float = v) -> float:
            return float(x**power * stats.invgamma(alpha, scale=beta).pdf(x) * x**-1.5 * np.exp(-1.5 * v / x))

        total, first = (integrate.quad(joint, 0, np.inf, args=(k,))[0] for k in (0, 1))
        assert shrunken_variance([v], R, alpha, beta)[0] == pytest.approx(first / total, rel=1e-6)
    with pytest.raises(InputError, match="posterior variance has a mean"):
        shrunken_variance(s2, 2, 0.4, 1.0)


def test_the_prior_across_genes_is_learned_and_shrinkage_helps() -> None:
    # seed 6: 4000 genes, R = 3; shape 4 and scale 0.6 within 15 %
    rng = np.random.default_rng(6)
    V = stats.invgamma(4.0, scale=0.6).rvs(4000, random_state=rng)
    s2 = V * rng.chisquare(2, 4000) / 2
    shape, scale = estimate_prior(s2, 3)
    assert shape == pytest.approx(4.0, rel=0.15)
    assert scale == pytest.approx(0.6, rel=0.15)
    shrunken = shrunken_variance(s2, 3, shape, scale)
    assert np.mean((shrunken - V) ** 2) < 0.3 * np.mean((s2 - V) ** 2)
    with pytest.raises(InputError, match=r"above 0; sample_variance\[1\] is 0"):
        estimate_prior([1.0, 0.0, 2.0], 3)
    with pytest.raises(InputError, match="three genes"):
        estimate_prior([1.0, 2.0], 3)


def test_variance_components_simulates_both_variances() -> None:
    # seed 7: 2000 genes; pooled within- and between-replicate variances against the drawn ones
    model, rng = VarianceComponents(), np.random.default_rng(7)
    p, data = model.simulate({"biological": 3, "technical": 4, "genes": 2000}, rng)
    y = data["expression"]
    within = y.var(axis=1, ddof=1).mean()
    assert within == pytest.approx(float(p["technical_sd"]) ** 2, rel=0.05)
    total = y.mean(axis=1).var(axis=0, ddof=1)
    assert np.median(total / p["total_variance"]) == pytest.approx(np.log(2), rel=0.1)  # median of chi2(2) / 2
    assert (p["total_variance"] >= p["technical_sd"] ** 2 / 4).all()


def test_variance_components_likelihood_is_the_multivariate_normal() -> None:
    model = VarianceComponents()
    p, data = model.simulate({"biological": 2, "technical": 3, "genes": 2}, np.random.default_rng(8))
    found = model.log_lik(p, data)
    for g in range(2):
        cov = p["biological_variance"][g] * np.ones((3, 3)) + p["technical_sd"] ** 2 * np.eye(3)
        for r in range(2):
            truth = stats.multivariate_normal(np.full(3, p["mu"][g]), cov).logpdf(data["expression"][r, :, g])
            assert found[r, g] == pytest.approx(truth, abs=1e-9)


def test_variance_components_needs_replicates_of_both_kinds() -> None:
    with pytest.raises(InputError, match="has 3 biological and 1 technical"):
        VarianceComponents().stan_data({"expression": np.zeros((3, 1, 2))})
    with pytest.raises(InputError, match=r"expression\[0\]\[1\]\[0\] is inf"):
        VarianceComponents().stan_data({"expression": [[[1.0], [np.inf]], [[1.0], [2.0]]]})
