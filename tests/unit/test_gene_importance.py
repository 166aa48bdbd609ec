"""Genes by importance sampling: density, scores, proposals, weights, resampling, chains, and studies cut to blocks."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from made_genes import STRUCTURES, Float, log_density_of_natural, scores_of, simulated, some_draws
from numpy.typing import NDArray
from scipy import stats

from bayesexpr.empirical_bayes import chains, importance, laplace
from bayesexpr.empirical_bayes.chains import sample_by_chains
from bayesexpr.empirical_bayes.importance import GeneSample, GeneTask, effective_draws, resample, sample_genes
from bayesexpr.empirical_bayes.laplace import Study, gene_posterior, start
from bayesexpr.empirical_bayes.noise import make_noise, stream_keys
from bayesexpr.empirical_bayes.proposal import propose
from bayesexpr.empirical_bayes.target import HyperDraws, Target
from bayesexpr.models.negative_binomial_de import SLAB_NU, NegativeBinomialDE

# density and scores


@pytest.mark.parametrize("options", STRUCTURES)
def test_the_density_is_the_models(options: dict[str, str]) -> None:
    """Sums over twelve genes at three draws with hyperparameters of their own; seeds 1 and 2."""
    model = NegativeBinomialDE(options=options)
    study, theta = simulated(model, 12, 1)
    psi, hyper = some_draws(study, theta, 2)
    found = Target(study).evaluate(psi, hyper)
    for s in range(3):
        at = study.at.hyper(hyper.theta[s], study.full["log_size_factor"])
        genes = found.log_density[:, s].sum() + model.hyper_log_density(study.at, hyper.theta[s], at)
        known = model.log_density({"theta": hyper.theta[s], "psi": psi[:, :, s]}, study.full)
        assert math.isclose(genes, known, rel_tol=1e-11)
    assert np.allclose(found.probability.sum(axis=1), 1)


@pytest.mark.parametrize("options", STRUCTURES)
def test_scores_are_derivatives(options: dict[str, str]) -> None:
    """At one draw, against central differences; with a spike, the slab's own are weighed by the chance of a change."""
    study, theta = simulated(NegativeBinomialDE(options=options), 6, 3)
    psi, hyper = some_draws(study, theta, 4, draws=1)
    found = Target(study).evaluate(psi, hyper)
    scores = scores_of(study, psi, hyper, np.ones((6, 1)))
    own = [study.at.s, *range(study.at.m.start, study.at.m.stop)] if study.at.spike else []
    for h in range(study.at.H):
        step = 1e-5 * (np.arange(study.at.H) == h)
        sides = [log_density_of_natural(study, found, hyper.theta[0] + sign * step) for sign in (1, -1)]
        slope = (sides[0] - sides[1]) / 2e-5
        if h in own:
            slope = slope * (1 - found.probability[:, 0, 0])
        assert np.allclose(scores[:, h], slope, rtol=1e-4, atol=1e-5), study.at.names()[h]


# proposals and weights


def test_proposals_have_the_density_they_say() -> None:
    """The mean of f / q under q is the integral of a density f, one: 40,000 draws, within five errors; seed 5."""
    study, theta = simulated(NegativeBinomialDE(), 3, 5)
    proposal = propose(study, theta)
    psi = proposal.draw(make_noise(stream_keys((5,), np.arange(3)), study.at.P, 40_000, proposal.nu))
    q = proposal.log_density(psi)
    for g in range(3):
        normal = stats.multivariate_normal(proposal.center[0, g], proposal.root[0, g] @ proposal.root[0, g].T)
        ratio = np.exp(normal.logpdf(psi[g].T) - q[g])
        error = ratio.std() / math.sqrt(ratio.size)
        assert error < 0.02
        assert abs(ratio.mean() - 1) < 5 * error
        assert abs(np.exp(normal.logpdf(psi[g].T) - q[g] + 0.2).mean() - 1) > 5 * error  # negative control


def test_effective_draws_of_even_weights_are_their_number() -> None:
    """The variance of a mean of n independent draws is that of one over n; resampling doubles it."""
    values = np.random.default_rng(6).normal(size=(2, 1, 4000))
    even = np.full((2, 4000), 1 / 4000)
    bulk, tail = effective_draws(values, even, 4000)
    assert np.allclose(bulk, 2000, rtol=1e-6)
    assert np.allclose(tail, 2000, rtol=1e-6)
    uneven = np.zeros((2, 4000))
    uneven[:, :40] = 1 / 40
    bulk, tail = effective_draws(values, uneven, 4000)
    assert (bulk < 40.1).all()
    assert (tail < 60).all()


def test_resampling_keeps_shares_and_forgets_the_order() -> None:
    """Each draw comes as often as its weight says, up to one; the copies are not sorted by what they were drawn by."""
    rng = np.random.default_rng(7)
    weight = rng.dirichlet(np.ones(400), 3)
    value = rng.normal(size=(3, 400))
    chosen = resample(weight, value, 200, (1,), np.arange(3))
    for g in range(3):
        copies = np.bincount(chosen[g], minlength=400)
        assert np.abs(copies - 200 * weight[g]).max() < 1
        kept = value[g, chosen[g]]
        assert abs(np.corrcoef(kept, np.arange(200))[0, 1]) < 0.3
        # in the order of the value: the mean is that of the weights, up to the gap between neighbours
        assert abs(kept.mean() - weight[g] @ value[g]) < 0.02


# genes


def task_of(study: Study, theta: Float, genes: NDArray[np.int64], draws: int = 400, spread: float = 0.0) -> GeneTask:
    """Hyperparameters at `theta`, or about it; the same for every cut of a study."""
    noise = np.random.default_rng(8).normal(0, spread, (draws, theta.size))
    return GeneTask(study.subset(genes), genes, theta, theta + noise, np.zeros((len(genes), theta.size)), 1)


def brute_force(study: Study, theta: Float, gene: int) -> tuple[Float, Float, float]:
    """Mean and sd of alpha, e and d of a gene, and its chance of a change, on a grid of 61^3 for each component."""
    one = study.subset(np.array([gene]))
    hyper = study.at.hyper(theta, study.full["log_size_factor"])
    parts = []
    for c in range(2):
        modes = [
            gene_posterior(one, hyper, c, start(one) + np.array([0.0, e, d])).mode[0]
            for e in (-2, 1)
            for d in (-3, 0, 3)
        ]
        low, high = np.min(modes, axis=0), np.max(modes, axis=0)
        sd = np.sqrt(gene_posterior(one, hyper, c, start(one)).variance[0])
        width = np.array([6 * sd[0], 3.5, 6.0])
        axes = [np.linspace(a - w, b + w, 61) for a, b, w in zip(low, high, width, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        wide = {**one.full, "count": np.repeat(one.full["count"], len(points), 1), "G": len(points)}
        wide["log_length"] = np.zeros((one.full["S"], len(points)))
        value = laplace._log_joint(Study(one.at, wide, one.nu), hyper, c, points)
        cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
        parts.append((points, value + np.log(hyper["weight"][c]) + math.log(cell)))
    points = np.concatenate([p for p, _ in parts])
    logs = np.concatenate([v for _, v in parts])
    share = np.exp(logs - logs.max())
    share /= share.sum()
    mean = share @ points
    return mean, np.sqrt(share @ (points - mean) ** 2), float(share[len(parts[0][0]) :].sum())


BIMODAL = np.array([[17, 20, 7, 15, 617, 389, 427, 402], [30, 190, 25, 40, 380, 60, 310, 900]]).T
"""A gene that may have a large change or a large dispersion, and one whose samples do not agree with either."""


def bimodal_study() -> tuple[Study, Float]:
    """Hyperparameters under which changes are rare and small, so that a large dispersion is a serious rival."""
    model = NegativeBinomialDE(options={"size_factors": "fixed"})
    full = model.complete({"count": BIMODAL, "design": [[-0.5]] * 4 + [[0.5]] * 4})
    study = Study(model.layout(full), full, SLAB_NU)
    hyper = {
        "mu_alpha": 4.0,
        "sigma_alpha": 2.0,
        "a0": 0.2,
        "a1": 2.0,
        "sigma_phi": 0.8,
        "m": np.zeros(1),
        "s": 0.25,
        "weight": np.array([0.98, 0.02]),
        "tau": np.zeros(0),
        "log_f": np.zeros(8),
    }
    return study, study.at.theta(hyper, full["log_size_factor"])


def coordinates(sample: GeneSample, study: Study, theta: Float, gene: int) -> tuple[Float, Float]:
    """Draws [3, draw] of alpha, e and d of a gene, and its chance of a change in each."""
    h = study.at.hyper(theta, study.full["log_size_factor"])
    alpha, log_phi, beta = (getattr(sample.block, n)[0, :, gene].astype(float) for n in ("alpha", "log_phi", "beta"))
    e = (log_phi + np.log(h["a0"] + h["a1"] * np.exp(-alpha))) / h["sigma_phi"]
    return np.stack([alpha, e, (beta[:, 0] - h["m"][0]) / h["s"]]), sample.block.probability[0, :, gene, 1].astype(
        float
    )


@pytest.mark.parametrize("by_chains", [False, True])
def test_bimodal_genes_are_visited_in_both_modes(by_chains: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Means and sds over both explanations against brute force, within a tenth of the sd: 1,000 draws; seed 1."""
    study, theta = bimodal_study()
    if by_chains:
        monkeypatch.setattr(importance, "reliable_k", lambda draws: -math.inf)
    sample = sample_genes(task_of(study, theta, np.arange(2), draws=1000))
    assert sample.moved.all() == by_chains
    for gene in range(2):
        mean, sd, changed = brute_force(study, theta, gene)
        assert 0.02 < changed < 0.98
        values, probability = coordinates(sample, study, theta, gene)
        assert np.allclose(values.mean(axis=1), mean, atol=0.12 * sd.max(), rtol=0.05), gene
        assert np.allclose(values.std(axis=1), sd, rtol=0.15), gene
        assert abs(probability.mean() - changed) < 0.03
        with pytest.raises(AssertionError):  # negative control: one explanation alone is another posterior
            assert abs(float(probability.mean() > 0.5) - changed) < 0.03


def test_genes_do_not_depend_on_their_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty genes at once, in blocks of 7 and of 16: the same draws, chains included; seed 9."""
    study, theta = simulated(NegativeBinomialDE(), 40, 9)
    monkeypatch.setattr(importance, "reliable_k", lambda draws: -0.2)
    monkeypatch.setattr(chains, "ROUNDS", 1)
    monkeypatch.setattr(chains, "ROUND", 5)
    whole = sample_genes(task_of(study, theta, np.arange(40), spread=0.02))
    assert 0 < whole.moved.sum() < 40
    for size in (7, 16):
        cut = [np.arange(k, min(k + size, 40)) for k in range(0, 40, size)]
        parts = [sample_genes(task_of(study, theta, genes, spread=0.02)) for genes in cut]
        for name in ("alpha", "log_phi", "beta", "gamma", "probability"):
            joined = np.concatenate([getattr(p.block, name) for p in parts], axis=2)
            # which draws are kept is exactly the same; sums over samples may be taken in another order
            assert np.allclose(joined, getattr(whole.block, name), rtol=2e-6, atol=1e-9), (size, name)
        assert np.allclose(np.concatenate([p.k for p in parts]), whole.k, rtol=1e-9)


def test_draws_follow_the_hyperparameters_of_their_place() -> None:
    """Intercepts of genes with a count or two follow their prior's mean: draw by draw, as in a joint posterior.

    40 genes, 1,000 draws, sd 0.5 of the mean; seeds 8 and 10. Shuffled, the correlation is gone (negative control).
    """
    model = NegativeBinomialDE(options={"effects": "normal"})
    count = np.random.default_rng(10).poisson(0.1, (8, 40))
    full = model.complete({"count": count, "design": [[-0.5]] * 4 + [[0.5]] * 4})
    study = Study(model.layout(full), full, None)
    theta = np.zeros(study.at.H)
    theta[0], theta[study.at.s] = 1.0, -1.0
    task = task_of(study, theta, np.arange(40), draws=1000)
    shift = np.random.default_rng(8).normal(0, 0.5, 1000)
    sample = sample_genes(dataclasses.replace(task, theta=theta + shift[:, None] * (np.arange(study.at.H) == 0)))
    mean = sample.block.alpha[0].mean(axis=1)
    assert np.corrcoef(mean, shift)[0, 1] > 0.5
    assert abs(np.corrcoef(mean, np.random.default_rng(1).permutation(shift))[0, 1]) < 0.15


# chains


def test_chains_that_stand_still_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: after no step the groups still lie where they started, and R-hat says so."""
    study, theta = simulated(NegativeBinomialDE(), 4, 11)
    proposal = propose(study, theta)
    hyper = HyperDraws.of(study, np.tile(theta, (400, 1)))
    begin = np.repeat(proposal.center[1][:, :, None] + 1.0, 400, axis=2)
    monkeypatch.setattr(chains, "ROUND", 0)
    still = sample_by_chains(study, np.arange(4), proposal, begin, hyper, 1)
    assert (still.rhat > 1.05).all()
    monkeypatch.setattr(chains, "ROUND", 100)
    moved = sample_by_chains(study, np.arange(4), proposal, begin, hyper, 1)
    assert (moved.rhat < 1.05).all()
    assert (moved.ess_bulk > 100).all()


@pytest.mark.parametrize("options", [*STRUCTURES, {"size_factors": "fixed"}])
def test_every_structure_can_be_sampled(options: dict[str, str]) -> None:
    study, theta = simulated(NegativeBinomialDE(options=options), 5, 13)
    sample = sample_genes(task_of(study, theta, np.arange(5), draws=200))
    for name in ("alpha", "log_phi", "beta", "gamma", "probability"):
        assert np.isfinite(getattr(sample.block, name)).all()
    assert (sample.ess_bulk > 50).all()
    assert dataclasses.fields(sample)[0].name == "block"
