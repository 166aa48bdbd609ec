"""Genes that mix slowly under the blocked sampler: found, moved further by an exact move; needs a C++ compiler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_blocked import exact_quantiles, small_target, study

from bayesexpr.blocked import chain as chain_module
from bayesexpr.blocked import sampling, slow
from bayesexpr.blocked.chain import Chain, seen
from bayesexpr.blocked.slow import BATCH, LEAST_BATCHES, SLOW, Further, Mixing
from bayesexpr.blocked.target import Target
from bayesexpr.empirical_bayes.hyper import marginal
from bayesexpr.empirical_bayes.laplace import Study, start
from bayesexpr.empirical_bayes.whitening import warm_start
from bayesexpr.models.de_layout import Whitening
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.posterior.diagnostics import ess_bulk
from bayesexpr.stan.settings import SamplerSettings

SLOW_GENES, STICKY_GENE = (5, 40), 20
ONE_SIDED = ([0, 0, 0, 0, 81, 87, 129, 213], [0, 0, 0, 0, 15, 7, 6, 13])
"""Counts of two genes of airway that no sample has on one side: the slowest of 33,469 without a further move."""

STICKY = [42277, 64401, 75351, 46671, 48853, 70719, 82819, 51941]
"""Normalised counts of a gene of airway whose dispersion may be 0.02 or 0.001; chains stood still there for long."""


def autoregressive(genes: int, iterations: int, memory: Any, seed: int) -> Any:
    """Draws [iterations, genes, 2] of unit variance; `memory`: autocorrelation of the first of a gene's coordinates."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(iterations, genes, 2))
    rho = np.stack([np.broadcast_to(memory, genes), np.zeros(genes)], axis=1)
    draws = [noise[0]]
    for k in range(1, iterations):
        draws.append(rho * draws[-1] + np.sqrt(1 - rho**2) * noise[k])
    return np.array(draws)


def mixing_of(draws: Any) -> Mixing:
    mixing = Mixing()
    for z in draws:
        mixing.add(np.asfortranarray(z))
    return mixing


def test_iterations_per_draw_are_those_of_autoregressions() -> None:
    """400 iterations of 2,000 genes, seed 1: the median within 15 % of the variance of batch means by its formula."""
    for memory in (0.0, 0.5, 0.9):
        # of a mean of b draws: (1 + 2 sum_{k<b} (1 - k / b) rho^k) / b
        lags = np.arange(1, BATCH)
        expected = 1 + 2 * ((1 - lags / BATCH) * memory**lags).sum()
        found = mixing_of(autoregressive(2000, 400, memory, 1)[..., :1]).iterations_per_draw()
        assert abs(np.median(found) / expected - 1) < 0.15


def test_slow_genes_are_found_and_few() -> None:
    memory = np.zeros(200)
    memory[[3, 50, 51, 199]] = 0.97
    mixing = mixing_of(autoregressive(200, 400, memory, 2))
    np.testing.assert_array_equal(mixing.slow(), [3, 50, 51, 199])
    assert mixing.iterations_per_draw()[3] > SLOW
    # the negative control: where all mix well, none is slow
    assert mixing_of(autoregressive(200, 400, 0.0, 2)).slow().size == 0
    # no more than one in twenty, and of those the slowest
    memory = np.where(np.arange(200) < 100, 0.0, np.where(np.arange(200) < 190, 0.8, 0.995))
    many = mixing_of(autoregressive(200, 2000, memory, 3))
    assert (many.iterations_per_draw() > SLOW).sum() > 50
    np.testing.assert_array_equal(many.slow(), np.arange(190, 200))


def test_chains_are_taken_together() -> None:
    """A gene that two chains of four saw elsewhere is slow, though none saw it move slowly; seed 5."""
    draws = [autoregressive(100, 400, 0.0, seed) for seed in (5, 6, 7, 8)]
    whole = Mixing.together([mixing_of(one) for one in draws]).iterations_per_draw()
    np.testing.assert_allclose(whole, mixing_of(np.concatenate(draws)).iterations_per_draw())
    draws[1][:, 3] += 1.5
    draws[2][:, 3] += 1.5
    mixings = [mixing_of(one) for one in draws]
    assert [one.slow().size for one in mixings] == [0, 0, 0, 0]
    np.testing.assert_array_equal(Mixing.together([Mixing(), *mixings]).slow(), [3])


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1.5])  # sums of a tenth are rounded, of three halves not
def test_a_gene_that_stood_still_is_slow_and_too_few_batches_tell_nothing(value: float) -> None:
    draws = autoregressive(40, LEAST_BATCHES * BATCH, 0.0, 4)
    draws[:, 7] = value
    assert 7 in mixing_of(draws).slow()
    assert mixing_of(draws[:-1]).slow().size == 0
    assert Mixing().slow().size == 0


def test_a_part_of_the_genes_has_its_part_of_the_density(library: Path) -> None:
    """37 genes with effective lengths, cut into two sets in another order; the prior of what they share counts once."""
    model, data = study("spike_slab", 37)
    rng = np.random.default_rng(3)
    target = Target(model, data, warm_start(model, data, rng, library).whitening, library)
    zeta, z = rng.normal(0, 0.5, target.at.H), np.asfortranarray(rng.normal(size=(37, target.at.P)))
    order = rng.permutation(37)
    parts = [target.subset(genes).log_density(zeta, z[genes])[0] for genes in (order[:11], order[11:])]
    theta = target.whitening.theta(zeta)
    shared = model.hyper_log_density(target.at, theta, target.at.hyper(theta, data["log_size_factor"]))
    whole = target.log_density(zeta, z)[0]
    np.testing.assert_allclose(sum(parts) - shared, whole, rtol=1e-11)
    assert abs(sum(parts) - whole) > 1e-3


def test_further_moves_keep_the_density(library: Path) -> None:
    """Known hyperparameters: alpha, e and d of a gene moved once and two moved twice, against quadrature.

    3,000 iterations, seed 6, usual and short trajectories of usual and further length; the share of draws below the
    10, 50 and 90 % points within 4 %. The negative control: another gene's points.
    """
    chain = still(small_target(library, 4.0), np.random.default_rng(6))
    chain.further, chain.further_log_step = Further(chain.target, np.array([1, 3, 5, 14])), np.log(np.full(4, 0.8))
    theta, draws = chain.target.whitening.theta(chain.zeta), []
    for _ in range(3000):
        chain._move_genes()
        draws.append(chain.target.whitening.psi(chain.z, theta))
    found, levels = np.array(draws[200:]), np.array([0.1, 0.5, 0.9])
    for gene in (0, 1, 3):
        points = exact_quantiles(chain.target, chain.zeta, gene, levels)
        assert np.abs((found[:, gene, :, None] < points).mean(0) - levels).max() < 0.04
        assert np.abs((found[:, gene - 1, :, None] < points).mean(0) - levels).max() > 0.04


def still(target: Target, rng: np.random.Generator) -> Chain:
    """Return a chain at the centre of the hyperparameters, genes at random."""
    return Chain(target, np.zeros(target.at.H), rng.normal(size=(target.data["G"], target.at.P)), rng)


def airway_like(library: Path) -> Target:
    """64 genes of four donors before and after: two slow, one sticky, others drawn at airway's hyperparameters."""
    model = NegativeBinomialDE(options={"size_factors": "fixed"})
    donors = np.linalg.qr(np.column_stack([np.ones(4), np.eye(4)[:, :3]]))[0][:, 1:]
    design, nuisance = np.repeat([[-0.5], [0.5]], 4, axis=0), np.tile(donors, (2, 1))
    hyper = {"mu_alpha": 2.5, "sigma_alpha": 3.2, "a0": 0.0094, "a1": 0.67, "sigma_phi": 0.84, "s": 0.22}
    hyper |= {"m": np.array([0.07]), "weight": np.array([0.19, 0.81]), "tau": np.array([0.11]), "log_f": np.zeros(8)}
    rng = np.random.default_rng(8)
    alpha = rng.normal(hyper["mu_alpha"], hyper["sigma_alpha"], 64)
    effect = design * (rng.random(64) < 0.8) * (0.07 + 0.22 * rng.standard_t(4, 64))
    mean = np.exp(alpha + effect + nuisance @ rng.normal(0, 0.11, (3, 64)))
    precision = np.exp(0.84 * rng.normal(size=64)) / (0.0094 + 0.67 * np.exp(-alpha))
    count = rng.negative_binomial(precision, precision / (precision + mean))
    count[:, [*SLOW_GENES, STICKY_GENE]] = np.transpose([*ONE_SIDED, STICKY])
    given = {"count": count, "design": design, "log_size_factor": np.zeros(8)}
    data = model.complete({**given, "nuisance_design": nuisance, "nuisance_term": [0, 0, 0]})
    at, whole = model.layout(data), Study.of(model, data, library)
    theta = at.theta(hyper, data["log_size_factor"])
    genes, plain = marginal(whole, theta, [start(whole)] * at.C, nodes=5), Whitening.plain(at, 64, mu_alpha=2.5)
    maps = replace(plain, theta_center=theta, center=genes.mean(), scale=genes.sd())
    return Target(model, data, maps, library)


def adapted(target: Target, seed: int, iterations: int) -> tuple[Chain, Mixing]:
    """Return a chain whose genes' step sizes were fitted, and how they mixed in the later half."""
    chain, mixing = still(target, np.random.default_rng(seed)), Mixing()
    for k in range(iterations):
        chain._move_genes(1.5 / (1 + k) ** 0.6)
        if k >= iterations // 2:
            mixing.add(chain.z)
    return chain, mixing


def test_slow_genes_are_found_and_gain(library: Path) -> None:
    """Known hyperparameters, eight copies of the slow genes, 1,500 iterations, seed 9: 2.5 times the effective draws.

    The negative control: with no further move.
    """
    target = airway_like(library)
    assert set(SLOW_GENES) <= set(adapted(target, 9, 600)[1].slow())
    chain, _ = adapted(target.subset(np.tile(SLOW_GENES, 8)), 9, 300)
    effective = {}
    for further in (True, False):
        chain.further = Further(chain.target, np.arange(16)) if further else None
        chain.further_log_step = chain.log_step.copy()
        draws = []
        for _ in range(1500):
            chain._move_genes()
            draws.append(chain.z[:, 2].copy())
        effective[further] = ess_bulk(np.reshape(draws, (1500, 8, 2)).transpose(1, 0, 2))
    assert (effective[True] > 2.5 * effective[False]).all(), effective


def test_no_gene_stands_still_where_its_dispersion_is_small(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """800 copies of a gene, each from where its dispersion was least in 400 iterations; 40 more, seed 10.

    Hardly any is still there. The negative control: without short trajectories many are.
    """
    chain, _ = adapted(airway_like(library).subset(np.full(800, STICKY_GENE)), 10, 200)
    start = chain.z.copy(order="F")
    for _ in range(400):
        chain._move_genes()
        higher = chain.z[:, 1] > start[:, 1]
        start[higher] = chain.z[higher]
    standing = []
    for share in (chain_module.SHORT_SHARE, 0.0):
        monkeypatch.setattr(chain_module, "SHORT_SHARE", share)
        chain.z = start.copy(order="F")
        for _ in range(40):
            chain._move_genes()
        standing.append(int((chain.z[:, 1] == start[:, 1]).sum()))
    assert standing[0] <= 8, standing
    assert standing[1] >= 25, standing


def test_what_the_warm_up_chose_stays(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of 40 genes, seed 12; in the warm-up step sizes change in every iteration, afterwards nothing does."""
    monkeypatch.setattr(slow, "SLOW", 0.5)
    model, data = study("spike_slab", 40)
    maps = warm_start(model, data, np.random.default_rng(1), library).whitening
    chain = still(Target(model, data, maps, library), np.random.default_rng(12))
    assert seen(240) == (60, 180)
    for iteration in range(240):
        if iteration == 180:
            assert chain.leaps == 7
            chain.move_further(chain.mixing.slow())
        before = chain.log_step.copy()
        chain.warm(iteration, 240)
        assert not np.array_equal(before, chain.log_step)
    fixed, chosen = tuned(chain), chain.further
    assert chosen is not None
    assert len(chosen.genes) == 2
    assert not np.array_equal(chain.further_log_step, chain.log_step[chosen.genes])
    assert chain.leaps == 7 + 9 * 2 / 40
    for _ in range(50):
        chain.draw()
    assert chain.further is chosen
    for one, other in zip(fixed, tuned(chain), strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_chains_move_the_same_genes_further(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 genes, three chains of 240 + 20 iterations, seed 13: the same draws whether they run at once or in turn.

    The negative control: where no gene is slow, nothing is moved further, and draws are others.
    """
    model, data = study("spike_slab", 40)
    warm = warm_start(model, data, np.random.default_rng(1), library)
    found = []
    for number, (limit, cores) in enumerate([(0.5, 1), (0.5, 2), (np.inf, 1)]):
        monkeypatch.setattr(slow, "SLOW", limit)
        folder = tmp_path / str(number)
        folder.mkdir()
        settings = SamplerSettings(chains=3, warmup=240, draws=20, seed=13, cores=cores)
        found.append(sampling.sample(model, data, warm, library, settings, folder))
    for one, other, plain in zip(*found, strict=True):
        np.testing.assert_array_equal(one.draws, other.draws)
        np.testing.assert_allclose(one.sampler[:, 4], 7 + 9 * 2 / 40)
        np.testing.assert_array_equal(plain.sampler[:, 4], 7)
        assert not np.array_equal(one.draws, plain.draws)


def tuned(chain: Chain) -> list[Any]:
    """Everything that the warm-up fits, and the genes that it chose."""
    genes = np.empty(0) if chain.further is None else chain.further.genes
    return [np.copy(x) for x in (chain.log_step, chain.further_log_step, genes, chain.root, chain.hyper_step)]


def test_further_moves_do_not_depend_on_the_number_of_threads(library: Path) -> None:
    """Every other of 2,100 genes moved further, in three parts; three iterations, seed 11."""
    model, data = study("spike_slab", 2100)
    plain = Whitening.plain(model.layout(data), 2100, mu_alpha=4.0)
    maps = replace(plain, scale=np.full(plain.scale.shape, 0.3))
    ends = []
    for threads in (1, 3):
        chain = still(Target(model, data, maps, library, threads=threads), np.random.default_rng(11))
        genes = np.arange(0, 2100, 2)
        chain.further, chain.further_log_step = Further(chain.target, genes), chain.log_step[genes]
        begin = chain.z.copy()
        for _ in range(3):
            chain.draw()
        ends.append((chain.z, chain.zeta))
        assert not np.array_equal(chain.z[genes], begin[genes])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)
