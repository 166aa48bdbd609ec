"""The blocked sampler without Stan: gradients, moves that keep a density, chains that repeat; needs a C++ compiler."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

from bayesexpr.blocked import sampling
from bayesexpr.blocked.chain import Chain
from bayesexpr.blocked.target import Target, hyper_gradient
from bayesexpr.distributions import nb2_logpmf, normal_logpdf, spherical_student_t_logpdf
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.whitening import WarmStart, warm_start
from bayesexpr.models.de_core import PART, GeneCore
from bayesexpr.models.de_layout import Whitening
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.stan.settings import SamplerSettings


def study(
    effects: str, genes: int, seed: int = 1, dispersion: str = "trend"
) -> tuple[NegativeBinomialDE, dict[str, Any]]:
    """Six samples, two tested columns, two other terms, effective lengths."""
    model = NegativeBinomialDE(options={"effects": effects, "dispersion": dispersion})
    rng = np.random.default_rng(seed)
    given = {
        "genes": genes,
        "design": np.repeat(np.array([[-1.0, 0.0], [0.5, -0.5], [0.5, 0.5]]), 2, axis=0),
        "nuisance_design": rng.normal(size=(6, 2)).round(1),
        "nuisance_term": [0, 1],
        "effective_length": rng.uniform(300, 3000, (6, genes)),
    }
    _, data = model.simulate(given, rng)
    return model, model.complete(data)


@pytest.mark.parametrize(
    ("effects", "dispersion"),
    [("spike_slab", "trend"), ("student_t", "trend"), ("normal", "trend"), ("normal", "global")],
)
def test_gradients_are_those_of_the_densities(library: Path, effects: str, dispersion: str) -> None:
    """Central differences in every hyperparameter, of the prior alone and of the joint density; 19 genes, seed 1."""
    model, data = study(effects, 19, dispersion=dispersion)
    at = model.layout(data)
    rng = np.random.default_rng(2)
    warm = warm_start(model, data, rng, library)
    target = Target(model, data, warm.whitening, library)
    theta, step = warm.theta + rng.normal(0, 0.1, at.H), 1e-5

    def prior(x: Any) -> float:
        return model.hyper_log_density(at, x, at.hyper(x, data["log_size_factor"]))

    expected = [(prior(theta + step * u) - prior(theta - step * u)) / (2 * step) for u in np.eye(at.H)]
    found = hyper_gradient(model, at, theta, at.hyper(theta, data["log_size_factor"]))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert not np.allclose(1.001 * found, expected, rtol=1e-6, atol=1e-6)

    zeta, z = rng.normal(size=at.H), np.asfortranarray(rng.normal(size=(19, at.P)))
    for start in (None, zeta - 0.2):  # genes as they are, and carried along from elsewhere
        _, slope = target.log_density(zeta, z, start)
        up, down = ([target.log_density(zeta + s * step * u, z, start)[0] for u in np.eye(at.H)] for s in (1, -1))
        np.testing.assert_allclose(slope, (np.array(up) - down) / (2 * step), atol=2e-6 * np.abs(slope).max())


def test_genes_are_carried_along_with_their_volume(library: Path) -> None:
    """There and back is where they were; the density of what is held is the joint one times the volume; seed 3."""
    model, data = study("spike_slab", 19)
    at, rng = model.layout(data), np.random.default_rng(3)
    target = Target(model, data, warm_start(model, data, rng, library).whitening, library)
    zeta, other = rng.normal(size=(2, at.H))
    theta, there = target.whitening.theta(zeta), target.whitening.theta(other)
    z = np.asfortranarray(rng.normal(size=(19, at.P)))
    moved, volume = target.carried(z, theta, there)
    back, same = target.carried(moved, there, theta)
    np.testing.assert_allclose(back, z, rtol=1e-12)
    np.testing.assert_allclose(volume, -same, rtol=1e-12)
    np.testing.assert_allclose(volume, np.log(moved / z).sum(), rtol=1e-9)
    np.testing.assert_array_equal(np.flatnonzero((moved != z).any(axis=0)), np.arange(at.P)[at.u])
    np.testing.assert_allclose(target.log_density(other, z, zeta)[0], target.log_density(other, moved)[0] + volume)
    # well-known effects are held as they are, unknown ones in units of their scale
    factor, away = moved[:, at.u] / z[:, at.u], (there - theta)[at.tau]
    known = np.minimum(target.whitening.scale[:, at.u], 1) ** 2
    np.testing.assert_allclose(factor, np.exp(-(1 - known) * away))
    assert known.min() < 0.9


@pytest.mark.parametrize("dispersion", ["trend", "global"])
def test_the_joint_density_is_the_models(library: Path, dispersion: str) -> None:
    """Differences of the log density between points equal those of the NumPy twin, Jacobians of the maps included."""
    model, data = study("spike_slab", 23, 3, dispersion)
    rng = np.random.default_rng(4)
    warm = warm_start(model, data, rng, library)
    target, at = Target(model, data, warm.whitening, library), model.layout(data)
    points = [(0.5 * rng.normal(size=at.H), np.asfortranarray(rng.normal(size=(23, at.P)))) for _ in range(3)]
    mine = [target.log_density(*point)[0] for point in points]
    maps, twin = warm.whitening, []
    for zeta, z in points:
        theta = maps.theta(zeta)
        twin.append(model.log_density({"theta": theta, "psi": maps.psi(z, theta)}, data))
    np.testing.assert_allclose(np.diff(mine), np.diff(twin), rtol=1e-8)


@pytest.mark.parametrize("nu", [4.0, 0.0])
def test_moves_keep_the_density(library: Path, nu: float) -> None:
    """Known hyperparameters: six genes' distributions of alpha, e and d against quadrature; 5,000 moves, seed 5.

    The share of draws below the 10, 50 and 90 % points within 4 % (Monte Carlo error below 1 %). The negative control:
    another gene's points.
    """
    target = small_target(library, nu)
    rng = np.random.default_rng(5)
    zeta, z = np.zeros(target.at.H), np.zeros((16, 3), order="F")
    step, draws, taken = np.full(16, 0.8), [], []
    for k in range(5200):
        taken.append(target.move_genes(zeta, z, step, 3, rng))
        if k >= 200:
            draws.append(target.whitening.psi(z, target.whitening.theta(zeta)))
    found = np.array(draws)
    levels = np.array([0.1, 0.5, 0.9])
    points = [exact_quantiles(target, zeta, gene, levels) for gene in range(6)]
    for gene in range(6):
        below = (found[:, gene, :, None] < points[gene]).mean(0)
        assert np.abs(below - levels).max() < 0.04
        assert np.abs((found[:, gene - 1, :, None] < points[gene]).mean(0) - levels).max() > 0.04
    acceptance, fresh = (np.array([t[k] for t in taken]) for k in (0, 1))
    assert (acceptance >= 0).all()
    assert (acceptance <= 1).all()
    assert 0.5 < acceptance.mean() < 1
    assert set(np.unique(fresh)) == {0.0, 1.0}


def small_target(library: Path, nu: float) -> Target:
    """Two samples a side, one tested column, maps of a rough size only."""
    effects = "spike_slab" if nu else "normal"
    model = NegativeBinomialDE(options={"effects": effects, "size_factors": "fixed"})
    rng = np.random.default_rng(11)
    count = rng.negative_binomial(4, 0.05, (4, 16))
    count[2:, :5] *= 4
    data = model.complete({"count": count, "design": [[-0.5], [-0.5], [0.5], [0.5]], "log_size_factor": np.zeros(4)})
    at = model.layout(data)
    plain = Whitening.plain(at, 16, mu_alpha=4.0)
    hyper = {"mu_alpha": 4.0, "sigma_alpha": 1.0, "a0": 0.1, "a1": 1.0, "sigma_phi": 0.6, "s": 0.8, "tau": np.zeros(0)}
    hyper |= {"m": np.zeros(1), "weight": np.array([0.6, 0.4]), "log_f": np.zeros(4)}
    theta = at.theta(hyper, data["log_size_factor"])
    scale = np.tile([0.3, 0.8, 0.7], (16, 1))
    whitening = Whitening(theta, plain.theta_scale, plain.center, scale, plain.slope, plain.driver)
    return Target(model, data, whitening, library)


def exact_quantiles(target: Target, zeta: Any, gene: int, levels: Any) -> Any:
    """Quantiles [3, levels] of alpha, e and d of a gene by a grid of 81 x 31 x 201 points."""
    data, at = target.data, target.at
    axes = np.linspace(1, 8, 81), np.linspace(-4.5, 4.5, 31), np.linspace(-15, 15, 201)
    psi = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    h = at.hyper(target.whitening.theta(zeta), data["log_size_factor"])
    log_phi = at.log_phi(psi, h)
    joint = normal_logpdf(psi[:, 0], h["mu_alpha"], h["sigma_alpha"]) + normal_logpdf(psi[:, 1], 0, 1)
    d = psi[:, 2:]
    joint += spherical_student_t_logpdf(d, target.nu) if target.nu else normal_logpdf(d[:, 0], 0, 1)
    effect = h["s"] * d + h.get("m", np.zeros(1))
    parts = []
    for design in data["component_design"]:
        log_mu = psi[:, 0] + design @ effect.T
        parts.append(nb2_logpmf(data["count"][:, gene, None], np.exp(log_mu), np.exp(log_phi)).sum(0))
    weight = h["weight"] if at.C > 1 else np.ones(1)
    joint += special.logsumexp(np.log(weight)[:, None] + np.stack(parts), axis=0)
    mass = np.exp(joint - joint.max()).reshape([len(axis) for axis in axes])
    out = []
    for k, axis in enumerate(axes):
        share = mass.sum(axis=tuple(other for other in range(3) if other != k))
        # each grid point stands for the interval around it
        ends = np.concatenate([axis - (axis[1] - axis[0]) / 2, [axis[-1] + (axis[1] - axis[0]) / 2]])
        out.append(np.interp(levels, np.concatenate([[0], np.cumsum(share) / share.sum()]), ends))
    return np.array(out)


def test_chains_repeat_and_differ(library: Path, tmp_path: Path) -> None:
    model, data = study("spike_slab", 20)
    warm = warm_start(model, data, np.random.default_rng(1), library)

    def run(name: str, **changed: int) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        settings = SamplerSettings(**({"chains": 2, "warmup": 20, "draws": 30, "thin": 3, "seed": 1} | changed))
        return sampling.sample(model, data, warm, library, settings, folder)

    first, again, other = run("a"), run("b", cores=2), run("c", seed=2)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.draws, two.draws)
        assert one.draws.shape == (10, model.layout(data).H + 20 * model.layout(data).P)
        assert one.names[0] == "zeta.1"
        assert one.names[-1] == f"z.20.{model.layout(data).P}"
    assert not np.array_equal(first[0].draws, first[1].draws)
    assert not np.array_equal(first[0].draws, other[0].draws)


def test_progress_is_told_and_a_failure_stops_all(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = study("spike_slab", 20)
    warm = warm_start(model, data, np.random.default_rng(1), library)
    settings = SamplerSettings(chains=2, warmup=50, draws=400, seed=1, cores=2)
    told: list[tuple[int, int, int, bool]] = []
    monkeypatch.setattr(sampling, "POLL_SECONDS", 0.01)
    sampling.sample(model, data, warm, library, settings, tmp_path, lambda *news: told.append(news))
    assert {chain for chain, *_ in told} == {1, 2}
    assert {total for _, _, total, _ in told} == {450}
    assert told[0][3]
    assert not told[-1][3]

    def broken(self: Chain) -> Any:
        raise RuntimeError("planted")

    monkeypatch.setattr(Chain, "draw", broken)
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="planted"):
        sampling.sample(model, data, warm, library, settings, tmp_path)
    assert threading.active_count() <= before


def test_an_interrupt_stops_the_chains(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = study("spike_slab", 20)
    warm: WarmStart = warm_start(model, data, np.random.default_rng(1), library)
    settings = SamplerSettings(chains=2, warmup=50, draws=10**6, thin=10**4, seed=1, cores=2)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampling.sample(model, data, warm, library, settings, tmp_path, interrupt)


@pytest.mark.parametrize("genes", [PART - 1, PART, PART + 1])
def test_genes_come_in_parts(library: Path, genes: int) -> None:
    """What is said of threads rests on the core's own number."""
    core = GeneCore(library, np.ones((2, genes), dtype=int), np.zeros((1, 2, 1)), np.zeros((2, 0)))
    assert core.parts == (2 if genes > PART else 1)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_nothing_depends_on_the_number_of_threads(library: Path, threads: int) -> None:
    """Densities, gradients and moves to the last bit; 2,049 genes in five parts, maps that follow drivers, seed 6.

    The negative control: with whole parts of the genes in another order the last bits differ, since sums go in order.
    """
    G = 2049
    model, data = study("spike_slab", G)
    at, rng = model.layout(data), np.random.default_rng(6)
    maps = Whitening.plain(at, G, mu_alpha=4.0)
    slope, driver = rng.normal(0, 0.1, (at.P, G, 2)), rng.normal(0, 0.1, (at.P, 2, at.H))
    maps = replace(maps, slope=slope, driver=driver, scale=rng.uniform(0.3, 1, maps.scale.shape))
    zeta, z = rng.normal(0, 0.1, at.H), np.asfortranarray(rng.normal(size=(G, at.P)))
    step = rng.uniform(0.1, 0.5, G)
    found = []
    for count in (1, threads):
        target, moved = Target(model, data, maps, library, threads=count), z.copy(order="F")
        accepted = target.move_genes(zeta, moved, step, 3, np.random.default_rng(7))
        found.append([*target.log_density(zeta, z), moved, *accepted])
    for alone, shared in zip(*found, strict=True):
        np.testing.assert_array_equal(alone, shared)
    assert not np.array_equal(found[0][2], z)
    order = np.concatenate([np.arange(2048).reshape(4, 512)[::-1].ravel(), [2048]])
    turned = Study(at, data, None).subset(order).full
    other = replace(maps, slope=slope[:, order], scale=maps.scale[order])
    slopes = Target(model, turned, other, library).log_density(zeta, z[order])[1]
    np.testing.assert_allclose(slopes, found[0][1], rtol=1e-9)
    assert not np.array_equal(slopes, found[0][1])
