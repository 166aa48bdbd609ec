"""Likelihoods, replicates and tail probabilities against brute force, and outliers planted among sound counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from bayesexpr.distributions import nb2_logpmf, nb2_rng
from bayesexpr.posterior import predictive


def small(seed: int = 0, D: int = 7, S: int = 4, g: int = 3, C: int = 2) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    mu = rng.gamma(2, 20, size=(D, S, g, C))
    phi = rng.gamma(2, 2, size=(D, g))
    counts = nb2_rng(mu[0, :, :, 0], phi[0], rng)
    weight = rng.dirichlet(np.ones(C), size=D)
    return counts, mu, phi, np.log(weight)


def test_log_likelihood_sums_the_components_out() -> None:
    counts, mu, phi, log_weight = small()
    got = predictive.log_likelihood(counts, mu, phi, log_weight)
    D, S, g = mu.shape[:3]
    for d in range(D):
        for j in range(g):
            terms = stats.nbinom.logpmf(counts[:, j, None], phi[d, j], phi[d, j] / (phi[d, j] + mu[d, :, j]))
            joint = log_weight[d] + terms.sum(axis=0)
            assert got.gene[d, j] == pytest.approx(logsumexp(joint), rel=1e-10)
            np.testing.assert_allclose(got.probability[d, j], np.exp(joint - logsumexp(joint)), rtol=1e-9, atol=1e-300)
            for s in range(S):
                rest = np.delete(terms, s, axis=0)
                expected = logsumexp(joint) - logsumexp(log_weight[d] + rest.sum(axis=0))
                assert got.cell[d, s, j] == pytest.approx(expected, rel=1e-9)
    assert not np.allclose(got.cell.sum(axis=1), got.gene)  # the cells of a gene are not independent given the draw


def test_one_component_makes_the_cells_independent() -> None:
    counts, mu, phi, log_weight = small(C=1)
    got = predictive.log_likelihood(counts, mu, phi, log_weight)
    np.testing.assert_allclose(got.cell.sum(axis=1), got.gene)
    np.testing.assert_allclose(got.cell, nb2_logpmf(counts, mu[..., 0], phi[:, None]))


def test_replicates_follow_the_mixture() -> None:
    # seed 1: 40,000 draws of one cell, 70 % at mean 100 and 30 % at mean 10; tolerance 4 standard errors
    rng = np.random.default_rng(1)
    D = 40_000
    mu = np.broadcast_to([100.0, 10.0], (D, 1, 1, 2))
    y = predictive.replicate_counts(mu, np.full((D, 1), 5.0), np.broadcast_to([0.7, 0.3], (D, 1, 2)), rng)
    assert y.shape == (D, 1, 1)
    assert y.dtype == np.int64
    assert y.mean() == pytest.approx(73, abs=4 * y.std() / np.sqrt(D))
    variance = 0.7 * (100 + 100**2 / 5) + 0.3 * (10 + 10**2 / 5) + 0.7 * 0.3 * 90**2
    assert y.var() == pytest.approx(variance, rel=0.05)


def test_components_are_shared_by_the_samples_of_a_gene() -> None:
    D = 500
    mu = np.broadcast_to([1e6, 1.0], (D, 3, 1, 2))
    y = predictive.replicate_counts(
        mu, np.full((D, 1), 1e3), np.full((D, 1, 2), 0.5), np.random.default_rng(2)
    )  # fmt: skip
    large = (y > 1000).sum(axis=1)
    assert set(np.unique(large)) == {0, 3}


def test_tail_probability_equals_scipy() -> None:
    mu, phi = 20.0, 4.0
    counts = np.arange(0, 90)[None, :]
    got = predictive.tail_probability(
        counts, np.full((2, 1, 90, 1), mu), np.full((2, 90), phi), np.ones((2, 90, 1)), leave_out=False
    )[0]
    law = stats.nbinom(phi, phi / (phi + mu))
    expected = np.minimum(2 * np.minimum(law.cdf(counts[0]), law.sf(counts[0] - 1)), 1)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def gene_posterior(y: np.ndarray, rng: np.random.Generator, D: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact draws of mean and precision of each gene of `y` on a grid, under the priors the counts were drawn from."""
    a, z = np.meshgrid(np.linspace(-4, 14, 241), np.linspace(-3.5, 3.5, 29), indexing="ij")
    mean, phi = np.exp(a), precision(a, z)
    mu = np.empty((D, *y.shape, 1))
    out = np.empty((D, y.shape[1]))
    for g in range(y.shape[1]):
        values, times = np.unique(y[:, g], return_counts=True)
        log_density = -0.5 * ((a - 4) / 2) ** 2 - 0.5 * z**2
        for value, n in zip(values, times, strict=True):
            log_density += n * nb2_logpmf(value, mean, phi)
        weight = np.exp(log_density - log_density.max()).ravel()
        pick = rng.choice(weight.size, D, p=weight / weight.sum())
        mu[:, :, g, 0] = mean.ravel()[pick][:, None]
        out[:, g] = phi.ravel()[pick]
    return mu, out


def precision(a: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (0.03 + 2 * np.exp(-a)) * np.exp(0.6 * z))


def test_planted_outliers_are_found_and_sound_counts_are_not() -> None:
    # seed 3: 2,000 cells, 10 samples, 6 counts multiplied by 20; 200 draws of each gene's exact posterior.
    # With 10 of 10,000 cells, three other seeds found 10, 10 and 9, and no false one.
    rng = np.random.default_rng(3)
    S, G, D = 10, 200, 200
    a = rng.normal(4, 2, G)
    y = nb2_rng(np.broadcast_to(np.exp(a), (S, G)), precision(a, rng.normal(size=G)), rng)
    clean = y.copy()
    cells = np.argwhere(y >= 10)
    cells = cells[rng.choice(len(cells), 6, replace=False)]
    y[tuple(cells.T)] *= 20
    flagged = {}
    for name, counts in (("planted", y), ("clean", clean)):
        mu, phi = gene_posterior(counts, rng, D)
        for leave_out in (True, False):
            tail = predictive.tail_probability(counts, mu, phi, np.ones((D, G, 1)), leave_out=leave_out)
            flagged[name, leave_out] = predictive.holm(tail) < 0.05
    found = flagged["planted", True]
    assert found[tuple(cells.T)].sum() >= 5
    assert found.sum() - found[tuple(cells.T)].sum() <= 1
    assert flagged["clean", True].sum() <= 1
    # negative control: predicted with themselves among the data, the outliers hide
    assert flagged["planted", False].sum() < found.sum()


def test_an_impossible_component_has_no_part_in_the_tail() -> None:
    """A component of weight zero that misses a count by 1e6 nats: the tail is that of the other one alone, not NaN."""
    counts = np.array([[100_000], [100]])
    mu = np.stack([np.full((20, 2, 1), [[100_000.0], [100.0]]), np.full((20, 2, 1), 1e-3)], axis=-1)
    phi = np.full((20, 1), 50.0)
    both = predictive.tail_probability(counts, mu, phi, np.broadcast_to([1.0, 0.0], (20, 1, 2)))
    alone = predictive.tail_probability(counts, mu[..., :1], phi, np.ones((20, 1, 1)))
    np.testing.assert_allclose(both, alone, rtol=1e-12)


def test_holm_by_hand() -> None:
    got = predictive.holm([[0.01, np.nan], [0.04, 0.03]])
    np.testing.assert_allclose(got, [[0.03, np.nan], [0.06, 0.06]])
    assert predictive.holm([0.9, 0.8]).max() == 1
    assert np.isnan(predictive.holm([np.nan])).all()


def test_quantities_of_chunks_add_up_and_a_misfit_shows() -> None:
    rng = np.random.default_rng(6)
    observed = rng.poisson(5, size=(3, 400))
    observed[1, :100] = 0
    draws = rng.poisson(5, size=(200, 3, 400))
    whole = predictive.TestQuantities.of(observed)
    parts = predictive.TestQuantities.of(observed[:, :150]) + predictive.TestQuantities.of(observed[:, 150:])
    for (name, value), (_, same) in zip(whole.items(), parts.items(), strict=True):
        np.testing.assert_allclose(value, same, err_msg=name)
    p = predictive.predictive_p_values(whole, predictive.TestQuantities.of(draws))
    assert p["share of zeros"][1] < 0.01
    assert p["share of zeros"][[0, 2]].min() > 0.02
    assert dict(whole.items())["largest count"].tolist() == observed.max(axis=1).tolist()
